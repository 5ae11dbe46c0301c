/** The settings: where they come from, what is refused at once, what is told once Ory refuses. */
import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import * as harness from './harness.ts'
import { errorOf, folder, IDENT, login, PASS, run, startOry, type Variables } from './harness.ts'

const { readConfig } = harness.program
const LOCAL = 'http://127.0.0.1:4433'
const [HTTP, HTTPS, IPV6] = ['http://api.ory.test:81', 'https://ory.test', 'http://[2001:db8::1]:1']
const MINE = { BASE_URL: HTTP, IDENT: 'mine', PASS: 'two' }
const HIGH = { BASE_URL: HTTPS }
const FILE = `BASE_URL=${HTTPS}\nIDENT='first'\nPASS='one'\n`

const [ENV, DOTENV, DEMO] = ['the environment', '.env', 'the demo']
// biome-ignore format: a table
const SOURCES = [
  [{}, '', [LOCAL, IDENT, PASS], [DEMO, DEMO, DEMO]],
  [{ IDENT: 'me' }, 'A=\ufffd\nPASS=x', [LOCAL, 'me', 'x'], [DEMO, ENV, DOTENV]],
  [{ PASS: 'x' }, FILE, [HTTPS, 'first', 'x'], [DOTENV, DOTENV, ENV]],
  [MINE, 'BASE_URL=<slug>\nIDENT=\nPASS=\ufffd', [HTTP, 'mine', 'two'], [ENV, ENV, ENV]],
] as const
for (const [env, dotenv, values, sources] of SOURCES)
  test(`BASE_URL, IDENT and PASS come from ${sources}`, () => {
    const { baseUrl, identifier, password, sourceOf } = readConfig(env, dotenv)
    assert.deepEqual([baseUrl, identifier, password], values)
    assert.deepEqual(['BASE_URL', 'IDENT', 'PASS'].map(sourceOf), sources)
  })

/** All that has a name, beside MINE, and gets each of the values; a .env is named, too. */
type Row = [is: unknown, names: string, values: string[], more?: object]
const [ONE, OTHER] = ['http://u:p@one:1', 'no proxy, and not judged']
const PROXIES = { HTTP_PROXY: ONE, HTTPS_PROXY: ONE }
const proxy = (name: string) => ({ name, url: ONE, host: 'one:1' })
const both = (word: string) => RegExp(`^IDENT .*${word}.*\nPASS .*${word}.*$`)
const BOTH = 'IDENT PASS'
const UNSET = { IDENT: undefined, PASS: undefined }
// biome-ignore format: a list
const NEEDED = ['X-Session-Token', 'x-request-id', 'Cookie', 'origin', 'host', 'user-agent', 'te',
  'content-a', 'accept-a', 'proxy-a', 'connection', 'keep-alive', 'trailer', 'transfer-encoding',
  'upgrade', 'expect']
// biome-ignore format: a table
const READ: Record<string, Row[]> = {
  baseUrl: [
    [LOCAL, 'BASE_URL', [`\n\ufeff ${LOCAL}/// \t\u00a0\r\n`]],
    [`${HTTPS}/a%20b/sessions-of`, 'BASE_URL', ['HTTPS://Ory.Test:443/a%20b/sessions-of//']],
  ],
  headers: [
    [{ 'a-b': 'x: "y"', c: '2, 3' }, 'HEADERS', ['\r\n A-b:x: "y" \r\n\n\tC:\t2\nc: 3']],
    [{ a: '1#', b: '2' }, '.env', ["HEADERS='a: 1#\nb: 2'", 'HEADERS="a: 1#\\nb: 2"']],
    [{}, '.env', ["HEADERS='a: 1'"], { HEADERS: '' }],
  ],
  error: [
    [/^BASE_URL must not be empty$/, 'BASE_URL', ['']],
    [/^IDENT must not be empty$/, 'IDENT', ['\t\r\n \u00a0\ufeff']],
    [/^BASE_URL, IDENT and PASS must not be empty$/, 'BASE_URL IDENT PASS', [' ']],
    [/^IDENT and PASS must be in UTF-8$/, BOTH, ['zebra\ufffd']],
    [/must not have quotes/, 'BASE_URL', ['"https://zebra"', "'a", '\u201ca',
      '<a', 'http://a/$A', 'http://{zebra}',
      `${LOCAL} zebra`, 'http://a\x1b', 'http://a\nb',
      `${LOCAL}/?zebra`, `${LOCAL}?`, `${LOCAL}/#zebra`]],
    [/must have a plain host/, 'BASE_URL', ['http://u:zebra@a', 'http://zebra@a', 'http://zebra,a',
       'http://a\\zebra', 'http://a%41']],
    [/must end before/, 'BASE_URL', [`${LOCAL}/self-service/zebra`, `${LOCAL}/a/sessions`]],
    [/must be an http/, 'BASE_URL', ['zebra:4433', '//zebra', 'a://://', 'https:/zebra',
      'ftp://zebra', 'https://', 'http://[zebra]', 'http://a:65536']],
    [/^HTTP_PROXY must be the URL/, 'HTTP_PROXY', ['zebra:3128', ' ', 'socks5://zebra',
    'http://a/zebra', 'http://a?z', 'http://a#z', 'http://a\\zebra', 'http://zebra@a', 'http://a b',
    'http://u:@a', 'http://:zebra@a', 'http://u:zebra@b@a', 'http://zebra:99999', 'http://u:%f@a']],
    [/a "Name: value"/, 'HEADERS', ['a: 1\nzebra', 'zebra:', 'zebra : 1', 'a: zebra\0']],
    [/must not have Cookie/, 'HEADERS', NEEDED.map((name) => `a: 1\n${name}: zebra`)],
    [/^IDENT and PASS must be set$/, 'BASE_URL', [HTTP, 'http://127.0.0.1.test'], UNSET],
    [/^PASS must be set$/, 'BASE_URL', [LOCAL], { PASS: undefined }],
  ],
  isLocal: [
    [true, 'BASE_URL', ['https://127.1.2.3', 'http://0x7f.1', 'HTTPS://LocalHost',
    'http://[::1]:1', 'http://[::]', 'http://localhost.', 'http://b.localhost', 'http://0.0.0.0']],
    [false, 'BASE_URL', [HTTP, IPV6, 'http://localhost.test', 'http://notlocalhost',
    'http://a.test/localhost', 'http://127.0.0.1.test', 'http://0.0.0.1']],
  ],
  password: [
    [PASS, 'BASE_URL', [LOCAL, 'http://localhost'], UNSET],
  ],
  proxy: [
    [proxy('HTTP_PROXY'), 'https_proxy', [OTHER], { HTTP_PROXY: ONE, HTTPS_PROXY: OTHER }],
    [proxy('http_proxy'), 'HTTP_PROXY', [OTHER], { http_proxy: ONE, no_proxy: 'b', NO_PROXY: '*' }],
    [proxy('HTTPS_PROXY'), 'HTTP_PROXY', [OTHER], { ...HIGH, HTTPS_PROXY: ONE }],
    [proxy('https_proxy'), 'HTTPS_PROXY', [OTHER], { ...HIGH, https_proxy: ONE }],
    [undefined, 'HTTP_PROXY ALL_PROXY http_proxy', [OTHER], HIGH],
    [undefined, 'HTTP_PROXY', [OTHER], { http_proxy: '' }],
    [undefined, 'NO_PROXY', ['API.Ory.Test', '.ory.test', '*.test', 'test.', '*',
    'b, \tory.test:81'], PROXIES],
    [proxy('HTTP_PROXY'), 'NO_PROXY', ['.', 'ory.test:80', 'y.test', 'a.api.ory.test'], PROXIES],
    [undefined, 'NO_PROXY', ['.test:443'], { ...PROXIES, ...HIGH }],
    [undefined, 'NO_PROXY', ['ory.test:80'], { ...PROXIES, BASE_URL: 'http://ory.test.' }],
    [undefined, 'NO_PROXY', ['2001:DB8::1', '[2001:db8::1]:1'], { ...PROXIES, BASE_URL: IPV6 }],
    [proxy('HTTP_PROXY'), 'NO_PROXY', ['[2001:db8::1]:8', '1'], { ...PROXIES, BASE_URL: IPV6 }],
  ],
  mistakes: [
    [/^$/, BOTH, ['two words"`', '#1', 'a\\', '{a', '***a', 'nulls']],
    [/^$/, 'BASE_URL', [`${LOCAL}/\u3164/\\"`]],
    [both('invisible'), BOTH, ['a\u200b', '\u200ea', 'a\u00a0b']],
    [both('a line break'), BOTH, ['a\nb']], [both('a backslash'), BOTH, ['a\\"b']],
    [/^PASS .*white space.*$/, BOTH, ['\ta', 'a\n']], // IDENT is trimmed
    [both('with a quote'), BOTH, ['"a"', "'a", '`a`', '\u201ca', '\u00aba']],
    [both('a placeholder'), BOTH, ['undefined', 'null', '***', '$(a)', '{{ a }}', '$A', '%A%']],
    [both('not read'), BOTH, ['op://a', 'vault:a', 'arn:a', 'ENC[a]',
    'encrypted:a', '@Microsoft.KeyVault(a)']],
    [both('an Ory key'), BOTH, ['ory_pat_a']],
    [/^IDENT is the id of .*$/, BOTH, [harness.IDENTITY]],
    [/^PASS is an email address/, 'PASS', ['a@b.test']],
    [/^the demo identity was sent/, 'BASE_URL', [LOCAL], UNSET],
    [/^in .env, PASS is cut/, '.env', ['PASS=a#b', '\ufeffexport PASS: a #b\r\n'],
    { PASS: undefined }],
    [/^$/, '.env', ['PASS=a\r\nB=a#b', '# PASS=a#b\nPASS=a', "PASS='a#b' # c", 'PASS: "a#"'],
    { PASS: undefined }],
    [/^$/, '.env', ['PASS=a#b']],
  ],
  notes: [
    [/^$/, 'BASE_URL', [LOCAL, HTTPS], { HTTPS_PROXY: ONE }],
    [/^not set.*: IDENT, PASS$/, 'BASE_URL', [LOCAL], UNSET],
    [/^BASE_URL is from .env/, '.env', [FILE], { BASE_URL: undefined }],
    [/unencrypted\n.*HTTP_PROXY sees.*$/, 'HTTP_PROXY', [ONE]],
  ],
}
for (const [result, rows] of Object.entries(READ))
  for (const [is, names, values, more] of rows)
    for (const value of values)
      test(`${names} of ${JSON.stringify([value, more])}: ${result} ${is}`, () => {
        const given = Object.fromEntries(names.split(' ').map((name) => [name, value]))
        const { '.env': dotenv = '', ...env } = { ...MINE, ...more, ...given } as Variables
        try {
          const got: unknown = Reflect.get(readConfig(env, dotenv), result)
          if (is instanceof RegExp) assert.match([got].flat().filter(Boolean).join('\n'), is)
          else assert.deepEqual(got, is)
        } catch (thrown) {
          const { exit_code, error, hints } = Object(thrown)
          if (exit_code !== 2 || !(is instanceof RegExp) || result !== 'error') throw thrown
          assert.match(error, is)
          assert.doesNotMatch(`${error} ${hints}`, /zebra/)
        }
      })

// ---- What is sent and told, in whole runs

test('PASS is sent as it is, IDENT is trimmed', async (t) => {
  const odd = ` '"\`a#b $HOME \\n\\u0041\r\n\te\u0301 \u212b 🔑👩‍👧\ufeff\u001b[31m%41+&= `
  const { ory } = await login(t, {}, { IDENT: `\t Ä  ${odd}. \r\n`, PASS: odd.repeat(99) })
  const body = { method: 'password', identifier: `Ä  ${odd}.`, password: odd.repeat(99) }
  assert.equal(ory.seen[1]?.body, JSON.stringify(body))
})

test('a mistake is told after a wrong password, and not after another refusal', async (t) => {
  for (const name of ['wrong-password', 'inactive-identity']) {
    const { stderr } = await login(t, harness.recorded(name), { PASS: '"a' })
    assert.equal(/hint +PASS begins with a quote/.test(stderr), name === 'wrong-password')
  }
})

const isPosix = process.platform !== 'win32'
const NO_FILE = /^\.env cannot be read: it is not a file$/
// biome-ignore format: a table
const UNREADABLE: [what: string, make: () => unknown, error: RegExp][] = [
  ['not there', () => {}, /^PASS must be set$/], ['a folder', () => mkdirSync('.env'), NO_FILE],
  ['UTF-16', () => writeFileSync('.env', "PASS='a'", 'utf16le'), /^\.env cannot be read: .*NUL/],
  ['not UTF-8', () => writeFileSync('.env', 'PASS=\xe4', 'latin1'), /^PASS must be in UTF-8$/],
  ['a link to itself', () => isPosix && symlinkSync('.env', '.env'), /ELOOP|PASS must be set/],
]
for (const [what, make, error] of UNREADABLE)
  test(`a .env that is ${what} is an error, unless the environment has all`, async (t) => {
    const ory = await startOry(t)
    const before = process.cwd()
    process.chdir(folder())
    t.after(() => process.chdir(before))
    make()
    const outcome = await run({ BASE_URL: ory.url, IDENT })
    assert.deepEqual([outcome.code, ory.contacts()], [2, 0])
    assert.match(errorOf(outcome), error)
    assert.equal((await run(harness.credentials(ory))).code, 0)
  })

test('a .env that is a pipe is an error', { skip: !isPosix }, async () => {
  const node = [process.execPath, harness.compiled()]
  const command = ['sh', '-c', 'mkfifo .env; exec "$0" "$@"', ...node]
  assert.match(errorOf(await harness.runChild({ IDENT }, [], { command })), NO_FILE)
})

test('DOTENV_* changes nothing, and dotenv prints nothing', async (t) => {
  const ory = await startOry(t)
  const path = join(folder("PASS='other'"), '.env')
  const paths = { DOTENV_PATH: path, DOTENV_CONFIG_PATH: path, DOTENV_ENCODING: 'latin1' }
  const env = {
    ...paths,
    DOTENV_OVERRIDE: 'true',
    DOTENV_DEBUG: 'true',
    DOTENV_QUIET: 'false',
    IDENT,
  }
  const cwd = folder(`BASE_URL=${ory.url}\nIDENT=no\nPASS='ä 🔑'\nDOTENV_DEBUG=true`)
  const { stdout, stderr } = await harness.runChild(env, [], { cwd })
  assert.deepEqual([stdout, stderr], [harness.TWO_LINES, ''])
  assert.match(`${ory.seen[1]?.body}`, RegExp(`"${IDENT}","password":"ä 🔑"`))
})
