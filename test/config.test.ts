/** The configuration: where each variable comes from, what is wrong with it, what is said of it. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { readConfig } from '../src/ory-login.ts'
import {
  answerWith,
  assertFailed,
  assertNoSecrets,
  assertVerified,
  at,
  credentials,
  folder,
  IDENT,
  type Outcome,
  PASS,
  PROGRAM,
  program,
  recorded,
  reportOf,
  run,
  type Seen,
  startOry,
  startProxy,
  TSX,
  type Variables,
} from './harness.ts'

const NAMES = ['BASE_URL', 'IDENT', 'PASS'] as const
const LOCAL = 'http://127.0.0.1:4433'
const DEMO = { BASE_URL: LOCAL, IDENT, PASS }
const REMOTE = 'http://ory.invalid'
const TLS = 'https://ory.invalid'
const SECRET = 'hunter2-zebra'

/** A .env with these values, each in quotes that it does not hold. */
const asDotenv = (values: Variables): string =>
  Object.entries(values).reduce((file, [name, value]) => {
    const quote = ["'", '"', '`'].find((each) => !value.includes(each))
    return `${file}${name}=${quote}${value}${quote}\n`
  }, '')

/** The faulty variables, and the fault. No advice on others is given, and no value repeated. */
function refusalOf(env: Variables, dotenv = ''): { names: string[]; fault: string } {
  const named = /\b(BASE_URL|IDENT|PASS|HTTPS?_PROXY|https?_proxy)\b/g
  try {
    readConfig(env, dotenv)
  } catch (thrown) {
    const { exit_code, step, variables, ...told }: Record<string, unknown> = Object(thrown).failure
    const [fault, hints] = [String(told.error), String(told.hints)]
    const names = fault.match(named) ?? []
    assert.deepEqual([exit_code, step, variables], [2, 'read configuration', names])
    assert.ok(fault.startsWith(`${names.join(' and ')} `) && fault.length <= 100, fault)
    const concerned = /not set/.test(fault) ? ['IDENT', 'PASS'] : names // these two go together
    const advised = hints.match(named) ?? []
    assert.ok(hints.length > 8 && advised.every((name) => concerned.includes(name)), hints)
    assert.ok(!`${fault}${hints}`.includes(SECRET), `${fault}; ${hints}`)
    return { names, fault }
  }
  assert.fail('it is taken')
}

// ---- Each variable, with no server

test('the environment wins over .env, .env over the demo, and IDENT goes with PASS', () => {
  const places = ['the environment', '.env', 'the demo'] as const
  for (let nth = 0; nth < 27; nth++) {
    const [env, dotenv]: [Variables, Variables] = [{}, {}]
    const from = NAMES.map((_, index) => places[Math.floor(nth / 3 ** index) % 3])
    const unset = NAMES.filter((_, index) => from[index] === 'the demo')
    for (const [index, name] of NAMES.entries()) {
      const prefix = name === 'BASE_URL' ? LOCAL : name
      if (from[index] === 'the environment') env[name] = `${prefix}/environment`
      if (!unset.includes(name)) dotenv[name] = `${prefix}/file`
    }
    const missing = unset.filter((name) => name !== 'BASE_URL')
    if (missing.length === 1) {
      assert.equal(refusalOf(env, asDotenv(dotenv)).fault, `${missing} is not set`)
      continue
    }
    const { baseUrl, identifier, password, ...config } = readConfig(env, asDotenv(dotenv))
    const values = NAMES.map((name) => env[name] ?? dotenv[name] ?? DEMO[name])
    assert.deepEqual([baseUrl, identifier, password, config.unset], [...values, unset])
    const sources = NAMES.map((name, index) => [name, from[index]])
    assert.deepEqual(Object.entries(config.sources), sources)
  }
})

test('what is blank or not UTF-8 is named, and nothing takes its place', () => {
  for (const value of ['', ' ', '\t\r\n \u00a0\ufeff', `${LOCAL}/${SECRET}\ufffd`])
    for (const bits of [1, 2, 3, 4, 5, 6, 7]) {
      const names = NAMES.filter((_, index) => bits & (1 << index))
      const bad = { ...DEMO, ...Object.fromEntries(names.map((name) => [name, value])) }
      const refusal = refusalOf(bad, asDotenv(DEMO))
      const fault = value.includes('\ufffd') ? 'not in UTF-8' : 'set but empty'
      const verb = names.length > 1 ? 'are' : 'is'
      assert.equal(refusal.fault, `${names.join(' and ')} ${verb} ${fault}`)
      assert.deepEqual(refusalOf({}, asDotenv(bad)), refusal)
      assert.equal(readConfig(DEMO, asDotenv(bad)).password, PASS)
    }
  for (const line of ['PASS=\n', 'PASS=#cut\n', `PASSWORD='${SECRET}'\n`])
    assert.deepEqual(refusalOf({ IDENT }, line).names, ['PASS'])
  assert.equal(readConfig({ IDENT }, '# \ufffd\nOTHER=\ufffd\nPASS=x').password, 'x')
})

// biome-ignore format: a table
const TAKEN: [baseUrl: string, ...urls: string[]][] = [
  [LOCAL, LOCAL, `${LOCAL}/`, `\n\ufeff ${LOCAL}/// \t\u00a0\r\n`],
  ['https://slug.projects.oryapis.com', 'https://slug.projects.oryapis.com:443/'],
  [`${LOCAL}/a%20b%2Fc/kratos.public`, `${LOCAL}/a%20b%2Fc/kratos.public//`],
]
const SLUG = `${SECRET}.projects.oryapis.com`
// biome-ignore format: a table
const NOT_TAKEN: [fault: RegExp, ...urls: string[]][] = [
  [/^BASE_URL still contains a placeholder such as <slug>$/, 'https://<slug>.projects.oryapis.com'],
  [/placeholder/, '<slug>', `https://${SLUG}>`, `https://${SECRET}/<path>`],
  [/in quotes/, `"${SLUG}"`, `'${SLUG}'`, `\`${SLUG}`, `\u201c${SLUG}\u201d`, `\u2018${SLUG}`],
  [/https?:/, SECRET, SLUG, `${SECRET}:4433`, `//${SLUG}`, `https:/${SLUG}`, `https:\\\\${SLUG}`],
  [/https?:/, `ftp://${SLUG}`, `ws://${SLUG}`, `file:///${SECRET}`, `javascript:${SECRET}`],
  [/query|fragment/, `${LOCAL}/?token=${SECRET}`, `${LOCAL}/?`, `${LOCAL}/#${SECRET}`, `${LOCAL}#`],
  [/user/, `http://user:${SECRET}@localhost`, `http://${SECRET}@[::1]`, `http://:${SECRET}@[::1]`],
  [/not a URL/, 'https://', `http://a:${SECRET}/x@[::1]`, `http://[${SECRET}]`, 'http://a:99999'],
  [/white space/, `${LOCAL}/ ${SECRET}`, `${LOCAL}/\n${SECRET}`, `${LOCAL}/\x1b`, `http://a\u202e`],
]
test('the forms of BASE_URL that are taken, and those that are not', () => {
  for (const [baseUrl, ...urls] of TAKEN)
    for (const BASE_URL of urls) {
      assert.equal(readConfig({ IDENT, PASS, BASE_URL }, '').baseUrl, baseUrl)
      assert.equal(readConfig({ IDENT, PASS }, asDotenv({ BASE_URL })).baseUrl, baseUrl)
    }
  for (const [fault, ...urls] of NOT_TAKEN)
    for (const BASE_URL of urls) {
      const refusal = refusalOf({ IDENT, PASS, BASE_URL })
      assert.deepEqual(refusal.names, ['BASE_URL'], BASE_URL)
      assert.match(refusal.fault, fault)
      assert.deepEqual(refusalOf({ IDENT, PASS }, asDotenv({ BASE_URL })), refusal)
    }
})

// biome-ignore format: a table
const HOSTS: [isLocal: boolean, ...urls: string[]][] = [
  [true, LOCAL, 'https://127.1.2.3', 'http://127.1:4433/x', 'http://0x7f.1', 'http://2130706433'],
  [true, 'http://localhost:4433', 'HTTPS://LocalHost', 'http://localhost.', 'http://a.b.localhost'],
  [true, 'http://[::1]:4433', 'http://[::ffff:127.0.0.1]', 'https://[::ffff:127.1.2.3]:4433'],
  [true, 'http://0.0.0.0:4433', 'http://[::]', 'http://[::ffff:0.0.0.0]'],
  [false, REMOTE, 'http://localhost.invalid', 'http://notlocalhost', 'http://x.invalid/localhost'],
  [false, 'http://127.0.0.1.invalid', 'http://127.ory.invalid', 'http://192.0.2.1'],
  [false, 'http://[2001:db8::1]', 'http://[::ffff:192.0.2.1]', 'http://[::7f00:1]', 'http://[::2]'],
  [false, 'http://x127.x', 'http://localhost-x', 'https://127-0-0-1.x', 'http://0.0.0.1'],
]
test('which hosts are this machine: the demo identity is for them, and no proxy is', () => {
  const proxies = { HTTP_PROXY: 'http://proxy:1', HTTPS_PROXY: 'http://proxy:1' }
  for (const [isLocal, ...urls] of HOSTS)
    for (const BASE_URL of urls) {
      const config = readConfig({ ...DEMO, ...proxies, BASE_URL }, '')
      const host = isLocal ? undefined : 'proxy:1'
      assert.deepEqual([config.isLocal, config.proxy?.host], [isLocal, host], BASE_URL)
      if (isLocal) assert.equal(readConfig({ BASE_URL }, '').password, PASS)
      else assert.equal(refusalOf({ BASE_URL }).fault, 'IDENT and PASS are not set')
    }
})

const [ONE, OTHER] = ['http://one:1', 'no proxy, and not judged']
// biome-ignore format: a table
const PROXIES: [baseUrl: string, name: string | undefined, env: Variables][] = [
  [REMOTE, 'HTTP_PROXY', { HTTP_PROXY: ONE, HTTPS_PROXY: OTHER, https_proxy: OTHER }],
  [REMOTE, 'http_proxy', { http_proxy: ONE, HTTP_PROXY: OTHER }],
  [TLS, 'HTTPS_PROXY', { HTTPS_PROXY: ONE, HTTP_PROXY: OTHER, http_proxy: OTHER }],
  [TLS, 'https_proxy', { https_proxy: ONE, HTTPS_PROXY: OTHER }],
  [TLS, undefined, { http_proxy: ONE, HTTP_PROXY: ONE }],
  [REMOTE, undefined, { https_proxy: ONE, HTTPS_PROXY: ONE, ALL_PROXY: ONE }],
  [REMOTE, undefined, { HTTP_PROXY: '' }],
  [REMOTE, undefined, { HTTP_PROXY: ONE, NO_PROXY: 'a.test, ORY.invalid' }],
  [REMOTE, undefined, { HTTP_PROXY: ONE, no_proxy: '*.invalid', NO_PROXY: '' }],
  [REMOTE, undefined, { HTTP_PROXY: ONE, NO_PROXY: 'ory.invalid:80' }],
  [TLS, undefined, { HTTPS_PROXY: ONE, NO_PROXY: '*' }],
  [TLS, 'HTTPS_PROXY', { HTTPS_PROXY: ONE, NO_PROXY: 'ory.invalid:80 ry.invalid a.ory.invalid' }],
]
const NO_PROXIES = ['host:3128', 'http://', ' ', `http://u:${SECRET}@a b`, `socks5://${SECRET}@a`]
test('one proxy, as curl has it: it alone is judged, and named as it is spelled', () => {
  for (const [BASE_URL, name, env] of PROXIES) {
    const proxy = name ? { name, url: ONE, host: 'one:1' } : undefined
    assert.deepEqual(readConfig({ ...DEMO, BASE_URL, ...env }, '').proxy, proxy)
    for (const value of NO_PROXIES) {
      const bad = Object.entries(env).map(([key, url]) => [key, url === ONE ? value : url])
      const faulty = { ...DEMO, BASE_URL, ...Object.fromEntries(bad) }
      if (name) assert.deepEqual(refusalOf(faulty).names, [name])
      else assert.equal(readConfig(faulty, '').proxy, undefined)
      assert.equal(readConfig({ ...faulty, BASE_URL: LOCAL }, '').proxy, undefined)
    }
  }
})

// biome-ignore format: a table
const FILES: [isCut: boolean, pass: string, ...files: string[]][] = [
  [false, 'plain', 'PASS=plain', 'export PASS=plain\n', '\ufeffPASS=plain\r\nOTHER=a#b\r\n'],
  [false, 'a $b \\n', '  PASS =   a $b \\n  \t\n'],
  [false, ' a#b $c \\n "d" ', `PASS=' a#b $c \\n "d" '\n`],
  [false, " a#b $c 'd'\n", `PASS=" a#b $c 'd'\\n"\n`],
  [false, 'a\'b"c#d', 'PASS=`a\'b"c#d`\n'],
  [false, 'a\nb#\n', "PASS='a\nb#\n'\n"],
  [false, 'a#b', "PASS='a#b' # c\n", 'PASS="a#b" # c\n', 'PASS=`a#b` # c\n', "PASS: 'a#b'\n"],
  [false, 'a#b', "  export   PASS='a#b'#c", "# c\r\nPASS='a#b'\r\nOTHER=a#b\r\n"],
  [false, 'a', "PASS='a' # b\nOTHER=a#b", '# PASS=a#b\n\n  # b\nPASS=a\n# PASS=a#b'],
  [false, 'a', 'MY_PASS=a#b\nPASS=a\nPASS_2=a#b\npass=a#b\n', 'PASS=first#cut\nPASS=a\n'],
  [false, 'a\nPASS=b#c\n', "PASS='a\nPASS=b#c\n'\n"],
  [false, 'a', "PASS=a\nOTHER='\nPASS=a#b\n'\n"],
  [true, 'before', 'PASS=before#after\n', 'PASS=before #after', 'PASS: before#after\n'],
  [true, 'before', '\ufeffexport PASS = before#after\r\nOTHER=1\r\n'],
  [true, 'before', "PASS='first'\nPASS=before#cut\n# PASS=third\n"],
  [true, "it's", "PASS=it's#1 'or not'\n"],
]
for (const [isCut, pass, ...files] of FILES)
  test(`.env with ${JSON.stringify(files[0])}${isCut ? ' is cut at a #' : ''}`, () => {
    for (const file of files) {
      const isTold = (env: Variables) =>
        readConfig(env, file).mistakes.join().includes('in .env, PASS is cut at its #: ')
      assert.equal(readConfig({ IDENT }, file).password, pass, file)
      assert.deepEqual([isTold({ IDENT }), isTold({ IDENT, PASS })], [isCut, false], file)
    }
  })

// ---- What is sent and said, in whole runs

const assertSubmitted = ({ seen }: { seen: Seen[] }, identifier: string, password: string) =>
  assert.equal(seen[1]?.body, JSON.stringify({ method: 'password', identifier, password }))

// biome-ignore format: a table
const PASSWORDS = [
  '  a  b ', `'a' "b" \`c\``, `"${SECRET}"`, 'before#after # end', '$HOME $PATH$ $$ $1 $(id) `id`',
  '\\n \\u0041 \\\\ \\', `${SECRET}\n`, '\r\na\tb\n\n', '\u00e9 e\u0301 \u00e5 \u212b',
  '🔑👩‍👩‍👧‍👦', '\ufeffa\u00a0', '\u0001\u001b[31m\u007f\u202e', '%41+%20&a=b',
  'ä#"1\\'.repeat(1000),
]
test('PASS is sent byte for byte, IDENT trimmed, below the path of BASE_URL', async (t) => {
  for (const password of PASSWORDS) {
    const ory = await startOry(t)
    const [BASE_URL, ident] = [`${ory.url}/a%20b/kratos/`, `Ä  ${password}.`]
    assertVerified(await run({ BASE_URL, IDENT: `\t ${ident} \r\n`, PASS: password }))
    assertSubmitted(ory, ident, password)
    assert.match(ory.seen[2]?.path ?? '', /^\/a%20b\/kratos\/sessions\//)
  }
})

test('where the configuration is refused, nothing is sent', async (t) => {
  const { url, contacts } = await startOry(t)
  const far = { BASE_URL: REMOTE, HTTP_PROXY: url }
  for (const env of [{ IDENT }, { PASS }, { IDENT, PASS: '' }, { IDENT: '\ufffd', PASS }, far])
    assertFailed(await run({ BASE_URL: url, ...env }), 2, 'read configuration')
  assert.equal(contacts.length, 0)
})

test('a note names what is left to the demo, but not its password', async (t) => {
  const ory = await startOry(t)
  const outcome = await run({ BASE_URL: ory.url })
  assertVerified(outcome, /^ory-login: note: .*default.*: IDENT, PASS\n$/)
  assertNoSecrets(outcome, PASS)
  assertSubmitted(ory, IDENT, PASS)
  // Whatever listens at the default address, so soon it has not answered.
  const late = await run({ IDENT, PASS }, '--timeout', '0.001')
  assertFailed(late, 4, 'start', /note: .*default.*: BASE_URL\n/, /hint .*npm run demo/)
})

test('http to another machine gives a warning, before a failure too; https does not', async (t) => {
  const ory = await startOry(t)
  const [open, refusing] = [await startProxy(t), await startProxy(t, answerWith('403 Forbidden'))]
  const far = { ...credentials(ory), BASE_URL: `${REMOTE}:${ory.port}` }
  const warning = /^ory-login: note: .*password.*unencrypted\n/
  assertVerified(await run({ ...far, HTTP_PROXY: open.url }), new RegExp(`${warning.source}$`))
  assertFailed(await run({ ...far, HTTP_PROXY: refusing.url }), 4, 'start', warning)
  const tls = await run({ ...far, BASE_URL: TLS, HTTPS_PROXY: refusing.url })
  assertFailed(tls, 4, 'start')
  assert.doesNotMatch(tls.stderr, /unencrypted/)
})

/** One whole run in a working directory of its own. */
async function runIn(cwd: string, env: Variables, ...args: string[]) {
  const before = process.cwd()
  process.chdir(cwd)
  return run(env, ...args).finally(() => process.chdir(before))
}

test('.env is read in the working directory, and in none above it', async (t) => {
  const ory = await startOry(t)
  const cwd = folder(`\ufeffexport BASE_URL="${ory.url}/"\r\nIDENT=' ${IDENT} ' # me\r\nPASS='a#b'`)
  assertVerified(await runIn(cwd, {}))
  assertSubmitted(ory, IDENT, 'a#b')
  mkdirSync(join(cwd, 'below'))
  const below = await runIn(join(cwd, 'below'), { BASE_URL: ory.url, IDENT })
  assertFailed(below, 2, 'read configuration', /PASS is not set/)
})

const write = (bytes: string | Buffer) => (path: string) => writeFileSync(path, bytes)
const utf16 = Buffer.from(`\ufeffPASS='${PASS}'\r\n`, 'utf16le')
// biome-ignore format: a table
const UNREADABLE: [what: string, make: (path: string) => void, says: RegExp][] = [
  ['a folder', (path) => mkdirSync(path), /\.env cannot be read/],
  ['UTF-16 LE', write(utf16), /\.env.*UTF-16/],
  ['UTF-16 BE', write(Buffer.from(utf16).swap16()), /\.env.*UTF-16/],
  ['a text with NUL bytes', write(`PASS=${PASS}\n\0\0`), /\.env.*NUL/],
  ['Windows-1252', write(Buffer.from('PASS=p\xe4ss-word', 'latin1')), /PASS is not in UTF-8\n/],
]
if (process.platform !== 'win32')
  UNREADABLE.push(
    ['a loop of links', (path) => symlinkSync('.env', path), /\.env cannot be read/],
    ['an endless device', (path) => symlinkSync('/dev/zero', path), /it is not a file/],
  )
for (const [what, make, says] of UNREADABLE)
  test(`a .env that is ${what} is an error, unless the environment has all`, async (t) => {
    const ory = await startOry(t)
    const cwd = folder()
    make(join(cwd, '.env'))
    const outcome = await runIn(cwd, { BASE_URL: ory.url, IDENT })
    assertFailed(outcome, 2, 'read configuration', says)
    assertNoSecrets(outcome, cwd)
    assert.equal(ory.contacts.length, 0)
    assertVerified(await runIn(cwd, credentials(ory)))
  })

const MISTAKE =
  /^(?:in \.env, )?(IDENT|PASS) (?:is|begins|contains) [^;]*?(invis|space|quotes|not closed|typo|#)/
/** What is told of IDENT and PASS, before any other hint. */
function mistakesIn(outcome: Outcome): string {
  const { hint = '' } = reportOf(outcome)
  const told = hint.split('\n').map((each) => MISTAKE.exec(each))
  const mistakes = told.filter((each) => each !== null)
  assert.deepEqual(told.slice(0, mistakes.length), mistakes, 'they come first')
  return mistakes.map(([, name, what]) => `${name} ${what}`).join(', ')
}

const SEVERAL = `\u2018${SECRET}#1\nIDENT='"${IDENT}"'\n`
// biome-ignore format: a table
const REFUSED: [recordings: string, mistakes: string, ...passwords: string[]][] = [
  ['wrong-password', '', SECRET, `'two words"\`'`, `'${SECRET}#1' # mine`, `"${SECRET}#1"`],
  ['wrong-password empty-password', 'PASS invis', `${SECRET}\u200b`, `'${SECRET}\u00ad\u2060x'`],
  ['wrong-password', 'IDENT invis', `${SECRET}\nIDENT=a\u200bb`, `${SECRET}\nIDENT='\u200ea'`],
  ['wrong-password', 'PASS space', `'\t${SECRET}'`, `"${SECRET}\\n"`],
  ['wrong-password', 'PASS quotes', `'"${SECRET}"'`, `"'${SECRET}'"`, `'\`${SECRET}\n\`'`],
  ['wrong-password', 'PASS space, PASS quotes', `'"${SECRET}"\n'`],
  ['wrong-password', 'PASS not closed', `'${SECRET}`, `"${SECRET}'`],
  ['wrong-password', 'PASS typo', `\u201c${SECRET}\u201d`, `\u00ab${SECRET}\u00bb`],
  ['wrong-password', 'PASS #', `${SECRET}#1`, `${SECRET} # mine`],
  ['wrong-password empty-password', 'IDENT quotes, PASS typo, PASS #', SEVERAL],
  ['wrong-path expired-flow inactive-identity hook-refused unverified-address', '', SEVERAL],
]
test('a refused login, and it alone, tells what PASS and IDENT hold by mistake', async (t) => {
  for (const [recordings, mistakes, ...passwords] of REFUSED)
    for (const recording of recordings.split(' '))
      for (const password of passwords) {
        const { url } = await startOry(t, at(recorded(recording)))
        const cwd = folder(`IDENT=${IDENT}\nPASS=${password}`)
        const outcome = await runIn(cwd, { BASE_URL: url })
        assert.ok(outcome.code, outcome.stderr)
        assertNoSecrets(outcome, SECRET)
        assert.equal(mistakesIn(outcome), mistakes, outcome.stderr)
      }
})

test('a refused login names the sources of what was sent', async (t) => {
  const near = { BASE_URL: (await startOry(t, at(recorded('wrong-password')))).url }
  // biome-ignore format: a table
  const cases: [ident: string, pass: string, dotenv: Variables, env: Variables][] = [
    ['.env', 'the environment', { IDENT, PASS: SECRET }, { PASS }],
    ['the environment', '.env', { PASS }, { IDENT }],
    ['the demo', 'the demo', {}, {}],
  ]
  for (const [ident, pass, dotenv, env] of cases) {
    const outcome = await runIn(folder(asDotenv(dotenv)), { ...near, ...env })
    const hint = `check IDENT .from ${ident}. and PASS .from ${pass}., and that the identity has`
    assertFailed(outcome, 3, 'submit', new RegExp(`^  hint {6}${hint} a password$`, 'm'))
  }
})

test('--verbose begins with what is in force, and tells no password', async (t) => {
  const ory = await startOry(t)
  const { url, heads } = await startProxy(t)
  const proxied = { HTTP_PROXY: url.replace('//', `//somebody:${SECRET}@`) }
  const near = { BASE_URL: ory.url }
  const far = { BASE_URL: `${REMOTE}:${ory.port}` }
  const { host } = new URL(url)
  const mine = { IDENT: 'me@example.com', PASS: SECRET }
  // biome-ignore format: a table
  const cases: [dotenv: Variables, env: Variables, ...says: (string | RegExp)[]][] = [
    [mine, { ...near, ...mine, ...proxied }, `${ory.url};`, /IDENT from the env.*; no proxy;/],
    [mine, near, /BASE_URL from the env.*, IDENT from \.env, PASS from \.env; no proxy;/],
    [{}, near, /IDENT from the demo, PASS from the demo/],
    [{ ...far, ...mine }, proxied, `${far.BASE_URL};`, /URL from \.env/, `${host} .HTTP_PROXY.;`],
    [{}, { ...mine, BASE_URL: `${ory.url}/${SECRET}` }, /note: BASE_URL .withheld/],
  ]
  for (const [dotenv, env, ...says] of cases) {
    const outcome = await runIn(folder(asDotenv(dotenv)), env, '--verbose')
    assert.equal(outcome.code, 0, outcome.stderr)
    assertNoSecrets(outcome, PASS, SECRET, 'somebody')
    const [line = ''] = outcome.stderr.split('\n')
    for (const said of says) assert.match(line, new RegExp(said))
  }
  assert.equal(heads.length, 1, 'loopback is asked directly')
})

describe('as a process', { concurrency: true }, () => {
  test('DOTENV_* changes nothing, and dotenv prints nothing', async (t) => {
    const ory = await startOry(t)
    const path = join(folder(asDotenv({ ...DEMO, PASS: 'other' })), '.env')
    // biome-ignore format: a table
    const settings = { DOTENV_PATH: path, DOTENV_CONFIG_PATH: path, DOTENV_OVERRIDE: 'true',
      DOTENV_DEBUG: 'true', DOTENV_QUIET: 'false', DOTENV_ENCODING: 'latin1', DOTENV_FAST: 'true' }
    const file = { ...settings, BASE_URL: ory.url, IDENT: 'no@example.com', PASS: ' pässwörd 🔑 ' }
    assertVerified(await program({ ...settings, IDENT }, [], { cwd: folder(asDotenv(file)) }))
    assertSubmitted(ory, IDENT, file.PASS)
  })

  if (process.platform !== 'win32') {
    test('a PASS of the environment that is not UTF-8 is refused, and not sent', async (t) => {
      const ory = await startOry(t)
      const script = `PASS=$(printf 'p\\344ss-word') exec "$0" "$@"`
      const command = ['sh', '-c', script, process.execPath, '--import', TSX, PROGRAM]
      const outcome = await program({ BASE_URL: ory.url, IDENT }, [], { command })
      assertFailed(outcome, 2, 'read configuration', /PASS is not in UTF-8\n/)
      assert.equal(ory.contacts.length, 0)
    })

    test('with all three variables set the working directory may be gone', async (t) => {
      const cwd = folder()
      // tsx needs a directory to begin with: first it reads the program, which is not started so.
      const script = `import { rmdirSync } from 'node:fs'
        const [, started] = process.argv
        process.argv[1] = process.execPath
        await import('${pathToFileURL(PROGRAM)}?unstarted')
        process.argv[1] = started
        process.chdir('${cwd}') // makes Node forget what it knows of it
        rmdirSync('${cwd}')`
      const gone = ['--import', `data:text/javascript,${encodeURIComponent(script)}`]
      const command = [process.execPath, '--import', TSX, ...gone, PROGRAM]
      assertVerified(await program(credentials(await startOry(t)), [], { cwd, command }))
    })

    test('a .env that is a pipe is read, and without a writer it ends in time', async (t) => {
      const ory = await startOry(t)
      const [cwd, silent] = [folder(), folder()]
      execFileSync('mkfifo', [join(cwd, '.env'), join(silent, '.env')])
      const writer = spawn('sh', ['-c', `echo "PASS='a#b'" > .env`], { cwd, timeout: 20_000 })
      t.after(() => writer.kill())
      const [read, waiting] = await Promise.all([
        program({ BASE_URL: ory.url, IDENT }, [], { cwd }),
        program({ IDENT }, ['--timeout', '1'], { cwd: silent }),
      ])
      assertVerified(read)
      assertSubmitted(ory, IDENT, 'a#b')
      assertFailed(waiting, 2, 'read configuration', /\.env/)
    })
  }
})

test('what is not set is told where it explains a failure', async (t) => {
  const ory = await startOry(t, at(recorded('wrong-password')))
  const demo = await run({ BASE_URL: ory.url })
  assertFailed(demo, 3, 'submit', /hint .*the demo identity was sent/)
  assert.doesNotMatch(demo.stderr, /BASE_URL is not set/)
  assert.doesNotMatch((await run(credentials(ory))).stderr, /demo identity|not set/)
  const late = await run({ IDENT, PASS: SECRET }, '--timeout', '0.001')
  assertFailed(late, 4, 'start', /hint .*BASE_URL is not set, so the demo default was asked/)
})
