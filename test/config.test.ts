/** The settings: where a value comes from, what is wrong with it, what is sent and told of it. */
import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { readConfig } from '../src/ory-login.ts'
import * as harness from './harness.ts'
import { assertFailed, assertVerified, at, folder, IDENT, PASS, run, startOry } from './harness.ts'

type Variables = harness.Variables
const LOCAL = 'http://127.0.0.1:4433'
const HTTP = 'http://ory.invalid'
const HTTPS = 'https://ory.invalid'
const SECRET = 'hunter2-zebra'
const DEMO = { BASE_URL: LOCAL, IDENT, PASS }
const FILE = { BASE_URL: 'http://127.0.0.1:1', IDENT: 'first', PASS: 'one' }
const MINE = { BASE_URL: 'http://127.0.0.1:2', IDENT: 'second', PASS: 'two' }
/** Any value, in the name of a test. */
const quoted = (value: unknown) => JSON.stringify(value).slice(0, 90)

const asDotenv = (values: Variables): string =>
  Object.entries(values).reduce((file, [name, value]) => `${file}${name}='${value}'\n`, '')

/** Why a configuration is refused, and the variables at fault: no value is repeated. */
function refusalOf(env: Variables, dotenv = ''): { error: string; variables: string[] } {
  try {
    readConfig(env, dotenv)
  } catch (thrown) {
    const { exit_code, step, error, variables, hints } = Object(thrown).failure
    assert.deepEqual([exit_code, step, hints.length > 0], [2, 'read settings', true])
    assert.doesNotMatch(`${error} ${hints}`, RegExp(SECRET))
    return { error, variables }
  }
  assert.fail('it is taken')
}

// ---- Where values come from

const [OF_ENV, OF_FILE, OF_DEMO] = ['the environment', '.env', 'the demo']
// biome-ignore format: a table
const SOURCES: [env: Variables, dotenv: Variables, ...sources: string[]][] = [
  [{}, {}, OF_DEMO, OF_DEMO, OF_DEMO],
  [{}, FILE, OF_FILE, OF_FILE, OF_FILE],
  [MINE, FILE, OF_ENV, OF_ENV, OF_ENV],
  [{ BASE_URL: LOCAL }, {}, OF_ENV, OF_DEMO, OF_DEMO],
  [{}, { BASE_URL: LOCAL }, OF_FILE, OF_DEMO, OF_DEMO],
  [{ BASE_URL: LOCAL }, FILE, OF_ENV, OF_FILE, OF_FILE],
  [{ IDENT: 'me' }, FILE, OF_FILE, OF_ENV, OF_FILE],
  [{ IDENT: 'me' }, { PASS: 'x' }, OF_DEMO, OF_ENV, OF_FILE],
  [{ PASS: 'x' }, { IDENT: 'me' }, OF_DEMO, OF_FILE, OF_ENV],
]
for (const [env, dotenv, ...sources] of SOURCES)
  test(`BASE_URL, IDENT and PASS from ${sources.join(', ')}`, () => {
    const config = readConfig(env, asDotenv(dotenv))
    assert.deepEqual(Object.values(config.sources), sources)
    const values = { BASE_URL: config.baseUrl, IDENT: config.identifier, PASS: config.password }
    assert.deepEqual(values, { ...DEMO, ...dotenv, ...env })
  })

// biome-ignore format: a table
const MISSING: [name: string, env: Variables, dotenv: string][] = [
  ['PASS', { IDENT }, ''], ['PASS', {}, `IDENT=${IDENT}`], ['PASS', { IDENT }, 'PASS=#cut\n'],
  ['PASS', { IDENT }, 'PASS=\n'], ['PASS', { IDENT }, `PASSWORD='${SECRET}'\n`],
  ['IDENT', { PASS }, ''], ['IDENT', {}, `BASE_URL=${LOCAL}\nPASS=${PASS}`],
]
for (const [name, env, dotenv] of MISSING)
  test(`${name} is missing in ${quoted(env)} and ${quoted(dotenv)}`, () =>
    assert.deepEqual(refusalOf(env, dotenv).variables, [name]))

test('a faulty .env does not matter but for what is read of it', () => {
  assert.equal(readConfig({ IDENT }, '# \ufffd\nOTHER=\ufffd\nPASS=x').password, 'x')
  assert.equal(readConfig(MINE, 'BASE_URL=<slug>\nIDENT=\nPASS=\ufffd').password, MINE.PASS)
})

// ---- What is wrong with values

const SLUG = `${SECRET}.projects.oryapis.com`
const EMPTY = ['', ' ', '\t\r\n \u00a0\ufeff']
// biome-ignore format: a table: variables, the fault, values
const REFUSED: [names: string, fault: RegExp, ...values: string[]][] = [
  ['BASE_URL', /is set but empty/, ...EMPTY], ['IDENT', /is set but empty/, ...EMPTY],
  ['PASS', /is set but empty/, ...EMPTY], ['IDENT and PASS', /are set but empty/, ...EMPTY],
  ['BASE_URL, IDENT and PASS', /are set but empty/, ...EMPTY],
  ['BASE_URL', /is not in UTF-8/, `${LOCAL}/${SECRET}\ufffd`], ['PASS', /is not in UTF/, '\ufffd'],
  ['IDENT and PASS', /are not in UTF-8/, `${SECRET}\ufffd`],
  ['BASE_URL', /placeholder/, 'https://<slug>.a.com', '<slug>', `https://${SLUG}>`, 'http://a/<b>'],
  ['BASE_URL', /variable/, 'https://$SLUG.a.com', `https://$${'{SLUG}'}.a.com`, 'https://{slug}.a'],
  ['BASE_URL', /whole endpoint/, `${LOCAL}/self-service/login/api`, `${LOCAL}/a/sessions/whoami`],
  ['BASE_URL', /end it before .sessions$/, `${LOCAL}/kratos/sessions`, `${LOCAL}/sessions/`],
  ['BASE_URL', /in quotes/, `"${SLUG}"`, `'${SLUG}'`, '`https://a', '\u201chttps://a', '\u2018a'],
  ['BASE_URL', /https?:/, SECRET, SLUG, `${SECRET}:4433`, `//${SLUG}`, `https:/${SLUG}`],
  ['BASE_URL', /https?:/, `https:\\\\${SLUG}`, `ftp://${SLUG}`, 'ws://a', `file:///${SECRET}`],
  ['BASE_URL', /https?:/, `javascript:${SECRET}`],
  ['BASE_URL', /white/, `${LOCAL} ${SECRET}`, 'http://a\nb', 'http://a\x1b', 'http://a\u202e'],
  ['BASE_URL', /not a URL/, 'https://', `http://a:${SECRET}/x@b`, 'http://[a]', 'http://a:99999'],
  ['BASE_URL', /query/, `${LOCAL}/?x=${SECRET}`, `${LOCAL}/?`, `${LOCAL}/#${SECRET}`, `${LOCAL}#`],
  ['BASE_URL', /user/, `http://user:${SECRET}@a`, `http://${SECRET}@a`, `http://:${SECRET}@a`],
  ['HTTP_PROXY', /HTTP proxy/, 'host:3128', 'http://', ' ', `http://u:${SECRET}@a b`],
  ['HTTP_PROXY', /HTTP proxy/, `socks5://${SECRET}@a`, `http://a/${SECRET}`, `http://a?${SECRET}`],
  ['http_proxy', /HTTP proxy/, 'http://a:99999', `http://%zz:${SECRET}@a`],
]
for (const [names, fault, ...values] of REFUSED)
  for (const value of values)
    test(`${names} of ${quoted(value)}: ${fault}`, () => {
      const all = names.split(/, | and /)
      const bad = Object.fromEntries(all.map((name) => [name, value]))
      const { error, variables } = refusalOf({ ...MINE, BASE_URL: HTTP, ...bad }, asDotenv(FILE))
      assert.deepEqual([variables, error.startsWith(`${names} `)], [all, true])
      assert.match(error, fault)
    })

const TAKEN = {
  [`\n\ufeff ${LOCAL}/// \t\u00a0\r\n`]: LOCAL,
  'https://slug.projects.oryapis.com:443/': 'https://slug.projects.oryapis.com',
  [`${LOCAL}/sessions-of/$/`]: `${LOCAL}/sessions-of/$`,
  [`${LOCAL}/a%20b%2Fc/kratos.public//`]: `${LOCAL}/a%20b%2Fc/kratos.public`,
}
for (const [BASE_URL, baseUrl] of Object.entries(TAKEN))
  test(`BASE_URL ${quoted(BASE_URL)} is taken as ${baseUrl}`, () =>
    assert.equal(readConfig({ ...MINE, BASE_URL }, '').baseUrl, baseUrl))

// biome-ignore format: a table
const HOSTS: [isLocal: boolean, ...urls: string[]][] = [
  [true, LOCAL, 'https://127.1.2.3', 'http://127.1:4433/x', 'http://0x7f.1', 'http://2130706433'],
  [true, 'http://localhost:4433', 'HTTPS://LocalHost', 'http://localhost.', 'http://a.b.localhost'],
  [true, 'http://[::1]:4433', 'http://0.0.0.0:4433', 'http://[::]'],
  [false, HTTP, 'http://localhost.invalid', 'http://notlocalhost', 'http://x.invalid/localhost'],
  [false, 'http://127.0.0.1.invalid', 'http://127.invalid', 'http://192.0.2.1', 'http://0.0.0.1'],
  [false, 'http://[2001:db8::1]', 'http://[::ffff:192.0.2.1]', 'http://[::7f00:1]', 'http://[::2]'],
  [false, 'http://x127.x', 'http://localhost-x', 'http://127-0-0-1.x', 'http://[::ffff:127.0.0.1]'],
]
for (const [isLocal, ...urls] of HOSTS)
  for (const BASE_URL of urls)
    test(`${BASE_URL} is this machine, for the demo and without a proxy: ${isLocal}`, () => {
      const proxies = { HTTP_PROXY: 'http://proxy:1', HTTPS_PROXY: 'http://proxy:1' }
      const config = readConfig({ ...MINE, ...proxies, BASE_URL }, '')
      assert.deepEqual([config.isLocal, config.proxy === undefined], [isLocal, isLocal])
      if (isLocal) assert.equal(readConfig({ BASE_URL }, '').password, PASS)
      else assert.equal(refusalOf({ BASE_URL }).error, 'IDENT and PASS are not set')
    })

const [ONE, OTHER] = ['http://one:1', 'no proxy, and not judged']
// biome-ignore format: a table
const PROXIES: [baseUrl: string, name: string, env: Variables][] = [
  [HTTP, 'HTTP_PROXY', { HTTP_PROXY: ONE, HTTPS_PROXY: OTHER, https_proxy: OTHER }],
  [HTTP, 'http_proxy', { http_proxy: ONE, HTTP_PROXY: OTHER }],
  [HTTPS, 'HTTPS_PROXY', { HTTPS_PROXY: ONE, HTTP_PROXY: OTHER, http_proxy: OTHER }],
  [HTTPS, 'https_proxy', { https_proxy: ONE, HTTPS_PROXY: OTHER }],
  [HTTPS, 'none', { http_proxy: OTHER, HTTP_PROXY: OTHER }],
  [HTTP, 'none', { https_proxy: OTHER, HTTPS_PROXY: OTHER, ALL_PROXY: OTHER }],
  [HTTP, 'none', { HTTP_PROXY: '' }],
  [HTTP, 'none', { http_proxy: '', HTTP_PROXY: OTHER }],
  [HTTP, 'none', { HTTP_PROXY: OTHER, NO_PROXY: 'a.test, ORY.invalid' }],
  [HTTP, 'none', { HTTP_PROXY: OTHER, no_proxy: '*.invalid', NO_PROXY: '' }],
  [HTTP, 'none', { HTTP_PROXY: OTHER, no_proxy: '', NO_PROXY: 'ory.invalid' }],
  [`${HTTP}.`, 'none', { HTTP_PROXY: OTHER, NO_PROXY: 'ory.invalid' }],
  [HTTP, 'none', { HTTP_PROXY: OTHER, NO_PROXY: 'ory.invalid.' }],
  ['http://[2001:db8::1]:4433', 'none', { HTTP_PROXY: OTHER, NO_PROXY: '2001:db8::1' }],
  ['http://[2001:db8::1]:4433', 'none', { HTTP_PROXY: OTHER, NO_PROXY: '[2001:db8::1]:4433' }],
  [HTTPS, 'none', { HTTPS_PROXY: OTHER, NO_PROXY: '*' }],
  [HTTP, 'none', { HTTP_PROXY: OTHER, NO_PROXY: 'ory.invalid:80' }],
  [HTTPS, 'none', { HTTPS_PROXY: OTHER, NO_PROXY: '.invalid:443' }],
  [`${HTTP}:8080`, 'HTTP_PROXY', { HTTP_PROXY: ONE, NO_PROXY: 'ory.invalid:80' }],
  [HTTPS, 'HTTPS_PROXY', { HTTPS_PROXY: ONE, NO_PROXY: 'ory.invalid:80 ry.invalid a.ory.invalid' }],
]
for (const [BASE_URL, name, env] of PROXIES)
  test(`the proxy for ${BASE_URL} of ${quoted(env)} is ${name}`, () => {
    const proxy = name === 'none' ? undefined : { name, url: ONE, host: 'one:1' }
    assert.deepEqual(readConfig({ ...MINE, BASE_URL, ...env }, '').proxy, proxy)
  })

// ---- Mistakes, which a refused login tells

/** The mistakes in short, such as `PASS quote`. */
const mistakesOf = (env: Variables, dotenv = ''): string => {
  const said = readConfig(env, dotenv).mistakes.join()
  return (
    said
      .match(/IDENT|PASS|invisible|white|backslash|line break|begins with a quote|cut/g)
      ?.join(' ') ?? ''
  )
}

// biome-ignore format: a table
const FILES: [pass: string, mistakes: string, ...files: string[]][] = [
  ['plain', '', 'PASS=plain', 'export PASS=plain\n', '\ufeffPASS=plain\r\nOTHER=a#b\r\n'],
  ['a $b \\n', '', '  PASS =   a $b \\n  \t\n'],
  [' a#b $c \\n "d" ', 'PASS white', `PASS=' a#b $c \\n "d" '\n`],
  [" a#b $c 'd'\n", 'PASS white', `PASS=" a#b $c 'd'\\n"\n`],
  ['a\'b"c#d', '', 'PASS=`a\'b"c#d`\n'],
  ['a\nb#\n', 'PASS line break PASS white', "PASS='a\nb#\n'\n"],
  ['a#b', '', "PASS='a#b' # c\n", 'PASS="a#b" # c\n', 'PASS=`a#b` # c\n', "PASS: 'a#b'\n"],
  ['a#b', '', "  export   PASS='a#b'#c", "# c\r\nPASS='a#b'\r\nOTHER=a#b\r\n"],
  ['a', '', "PASS='a' # b\nOTHER=a#b", '# PASS=a#b\n\n  # b\nPASS=a\n# PASS=a#b'],
  ['a', '', 'MY_PASS=a#b\nPASS=a\nPASS_2=a#b\npass=a#b\n', 'PASS=first#cut\nPASS=a\n'],
  ['a\nPASS=b#c\n', 'PASS line break PASS white', "PASS='a\nPASS=b#c\n'\n"],
  ['a', '', "PASS=a\nOTHER='\nPASS=a#b\n'\n"],
  ['before', 'PASS cut', 'PASS=before#after\n', 'PASS=before #after', 'PASS: before#after\n'],
  ['before', 'PASS cut', '\ufeffexport PASS = before#after\r\nOTHER=1\r\n'],
  ['before', 'PASS cut', "PASS='first'\nPASS=before#cut\n# PASS=third\n"],
  ["it's", 'PASS cut', "PASS=it's#1 'or not'\n"],
  ['a\nb', 'PASS line break', 'PASS="a\\nb"'], ['a\rb', 'PASS line break', 'PASS="a\\rb"'],
  ['a\\"b', 'PASS backslash', 'PASS="a\\"b"'],
  ["'not closed", 'PASS begins with a quote', "PASS='not closed\n"],
]
for (const [pass, mistakes, ...files] of FILES)
  for (const file of files)
    test(`a .env of ${quoted(file)}: ${mistakes || 'no mistake'}`, () => {
      assert.equal(readConfig({ IDENT }, file).password, pass)
      assert.equal(mistakesOf({ IDENT }, file), mistakes)
      assert.equal(mistakesOf({ IDENT, PASS }, file), '')
    })

const QUOTE = 'begins with a quote'
// biome-ignore format: a table
const VALUES: [mistakes: string, ...values: string[]][] = [
  ['', SECRET, 'two words"`', '#1'],
  ['IDENT invisible PASS invisible', `${SECRET}\u200b`, `a\u00ad\u2060x`, '\u200ea', 'a\u00a0b'],
  ['PASS white', `\t${SECRET}`, `${SECRET}\n`, `${SECRET}\u00a0`], // IDENT is trimmed
  [`IDENT ${QUOTE} PASS ${QUOTE}`, `"${SECRET}"`, `'${SECRET}'`, `\`${SECRET}\``, `'${SECRET}`],
  [`IDENT ${QUOTE} PASS ${QUOTE}`, `\u201c${SECRET}\u201d`, '\u2018a', '\u00aba\u00bb'],
  [`IDENT ${QUOTE} PASS white PASS ${QUOTE}`, `"${SECRET}"\n`, ` '${SECRET}`],
]
for (const [mistakes, ...values] of VALUES)
  for (const value of values)
    test(`IDENT and PASS of ${quoted(value)}: ${mistakes || 'no mistake'}`, () =>
      assert.equal(mistakesOf({ IDENT: value, PASS: value }), mistakes))

// ---- What is sent and told, in whole runs

/** One whole run in a working directory of its own. */
async function runIn(cwd: string, env: Variables, ...args: string[]) {
  const before = process.cwd()
  process.chdir(cwd)
  return run(env, ...args).finally(() => process.chdir(before))
}
const assertSubmitted = ({ seen }: harness.Ory, identifier: string, password: string) =>
  assert.equal(seen[1]?.body, JSON.stringify({ method: 'password', identifier, password }))

// biome-ignore format: a list
const PASSWORDS = [
  '  a  b ', `'a' "b" \`c\``, `"${SECRET}"`, 'before#after # end', '$HOME $PATH$ $$ $1 $(id) `id`',
  '\\n \\u0041 \\\\ \\', `${SECRET}\n`, '\r\na\tb\n\n', '\u00e9 e\u0301 \u00e5 \u212b',
  '🔑👩‍👩‍👧‍👦', '\ufeffa\u00a0', '\u0001\u001b[31m\u007f\u202e', '%41+%20&a=b',
  'ä#"1\\'.repeat(1000),
]
for (const PASS of PASSWORDS)
  test(`PASS ${quoted(PASS)} is sent as it is, IDENT trimmed, below BASE_URL`, async (t) => {
    const ory = await startOry(t)
    const ident = `Ä  ${PASS}.`
    assertVerified(await run({ BASE_URL: `${ory.url}/a%20b/`, IDENT: `\t ${ident} \r\n`, PASS }))
    assertSubmitted(ory, ident, PASS)
    assert.ok(ory.seen.every(({ path }) => path.startsWith('/a%20b/se')))
  })

const CLOSED = `http://127.0.0.1:${harness.CLOSED_PORT}`
// biome-ignore format: a table
const NOTES: [env: Variables, note: RegExp][] = [
  [{ ...MINE, BASE_URL: CLOSED }, /^$/],
  [{ BASE_URL: CLOSED }, /^.*default is used: IDENT, PASS$/],
  [{ IDENT, PASS }, /^.*default is used: BASE_URL$/],
  [{ ...MINE, BASE_URL: HTTP, HTTP_PROXY: CLOSED }, /^.* unencrypted$/],
  [{ ...MINE, BASE_URL: HTTPS, HTTPS_PROXY: CLOSED }, /^$/],
]
for (const [env, note] of NOTES)
  test(`what is noted before ${quoted(env)} fails: ${note}`, async () => {
    const outcome = await run(env, '--timeout', '0.001') // too short for any answer
    assertFailed(outcome, 4, 'start')
    assert.match(harness.notesOf(outcome).join('\n'), note)
    assert.equal(/hint .*BASE_URL is not set/.test(outcome.stderr), !env.BASE_URL)
  })

const SEVERAL = `IDENT='"${IDENT}"'\nPASS=\u2018${SECRET}#1`
// biome-ignore format: a table
const HINTS: [recordings: string, env: Variables, dotenv: string, hint: RegExp][] = [
  ['wrong-password', { IDENT, PASS }, SEVERAL, /^check IDENT .from the env.* PASS .from the env/],
  ['wrong-password', { IDENT }, SEVERAL, 
    /^.* PASS is cut .*\nPASS .*\ncheck IDENT .*ment.* PASS .*\.env/],
  ['wrong-password', {}, "IDENT=a#b\nPASS='a'", /^in .env, IDENT is cut .*\ncheck IDENT/],
  ['wrong-password', {}, SEVERAL, 
    /^IDENT .*\n.* PASS is cut .*\nPASS .*\ncheck IDENT .from \.env. /],
  ['wrong-password', {}, '', /^the demo ident.*\ncheck IDENT .from the demo. and PASS .*demo/],
  ['wrong-path expired-flow inactive-identity hook-refused unverified-address empty-password', {},
    SEVERAL, /^(?!.*(begins with a quote|is cut))/s],
]
for (const [recordings, env, dotenv, hint] of HINTS)
  for (const name of recordings.split(' '))
    test(`the hints for ${name}, with ${quoted({ ...env, dotenv })}`, async (t) => {
      const ory = await startOry(t, at(harness.recorded(name)))
      const outcome = await runIn(folder(dotenv), { BASE_URL: ory.url, ...env })
      assert.match(harness.reportOf(outcome).hint ?? '', hint)
      harness.assertNoSecrets(outcome, SECRET, PASS)
    })

const utf16 = Buffer.from(`\ufeffPASS='${PASS}'\r\n`, 'utf16le')
const write = (bytes: string | Buffer) => (path: string) => writeFileSync(path, bytes)
const link = (target: string) => (path: string) => symlinkSync(target, path)
// biome-ignore format: a table
const UNREADABLE: [what: string, make: (path: string) => unknown, says: RegExp][] = [
  ['not there', () => {}, /PASS is not set/],
  ['a folder', (path) => mkdirSync(path), /it is not a file/],
  ['UTF-16 LE', write(utf16), /\.env cannot be read.* UTF-16.*hint +save it as UTF-8/s],
  ['UTF-16 BE', write(Buffer.from(utf16).swap16()), /\.env cannot be read.* UTF-16/],
  ['a text with NUL bytes', write(`PASS=${PASS}\n\0\0`), /NUL bytes/],
  ['Windows-1252', write(Buffer.from('PASS=p\xe4ss-word', 'latin1')), /PASS is not in UTF-8\n/],
  ['a link to itself', link('.env'), /\.env cannot be read.*hint +make it a file that/s],
  ['a link to a device, which could be endless', link('/dev/null'), /it is not a file/],
]
const canLink = process.platform !== 'win32'
for (const [what, make, says] of UNREADABLE.filter(([what]) => canLink || !/link/.test(what)))
  test(`a .env that is ${what} is an error, unless the environment has all`, async (t) => {
    const ory = await startOry(t)
    const cwd = join(folder(`PASS=${PASS}`), 'below') // what is above is not read
    mkdirSync(cwd)
    make(join(cwd, '.env'))
    const outcome = await runIn(cwd, { BASE_URL: ory.url, IDENT }, '--json')
    assertFailed(outcome, 2, 'read settings', says)
    assert.match(outcome.stdout, /"variables":\["(\.env|PASS)"\]/)
    assert.equal(ory.contacts.length, 0)
    assertVerified(await runIn(cwd, harness.credentials(ory)))
  })

describe('as a process', { concurrency: true }, () => {
  test('DOTENV_* changes nothing, and dotenv prints nothing', async (t) => {
    const ory = await startOry(t)
    const path = join(folder(asDotenv({ ...DEMO, PASS: 'other' })), '.env')
    // biome-ignore format: a table
    const settings = { DOTENV_PATH: path, DOTENV_CONFIG_PATH: path, DOTENV_OVERRIDE: 'true',
      DOTENV_DEBUG: 'true', DOTENV_QUIET: 'false', DOTENV_ENCODING: 'latin1', DOTENV_FAST: 'true' }
    const file = { ...settings, BASE_URL: ory.url, IDENT: 'no@a.test', PASS: ' pässwörd 🔑 ' }
    const cwd = folder(asDotenv(file))
    assertVerified(await harness.program({ ...settings, IDENT }, [], { cwd }))
    assertSubmitted(ory, IDENT, file.PASS)
  })

  if (!canLink) return
  const program = [process.execPath, '--import', harness.TSX, harness.PROGRAM]
  // biome-ignore format: a table
  const scripts = {
    'a .env that is a pipe': ['mkfifo .env; exec "$@"', /\.env cannot be read: it is not a file/],
    'a PASS that is not UTF-8': ['PASS=$(printf "p\\344ss") exec "$@"', /PASS is not in UTF-8\n/],
  } as const
  for (const [what, [script, says]] of Object.entries(scripts))
    test(`${what} is an error`, async () => {
      const command = ['sh', '-c', script, 'sh', ...program]
      assertFailed(await harness.program({ IDENT }, [], { command }), 2, 'read settings', says)
    })
})
