/** The configuration: where each variable comes from, what is wrong with it, what is said of it. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, test } from 'node:test'
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
  PASS,
  PROGRAM,
  program,
  recorded,
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
const SECRET = 'hunter2-zebra'

/** A .env with these values, each in quotes that it does not hold. */
const asDotenv = (values: Variables): string =>
  Object.entries(values).reduce((file, [name, value]) => {
    const quote = ["'", '"', '`'].find((each) => !value.includes(each))
    return `${file}${name}=${quote}${value}${quote}\n`
  }, '')

/** The faulty variables, and the fault. No advice on others is given, and no value repeated. */
function refusalOf(env: Variables, dotenv = ''): { names: string[]; fault: string } {
  const namedIn = (text: string) => text.match(/\b(BASE_URL|IDENT|PASS|HTTPS?_PROXY)\b/g) ?? []
  try {
    readConfig(env, dotenv)
  } catch (thrown) {
    const { exit_code, step, variables, ...told }: Record<string, unknown> = Object(thrown).failure
    const [fault, hint] = [String(told.error), String(told.hint)]
    const names = namedIn(fault)
    assert.deepEqual([exit_code, step, variables], [2, 'read configuration', names])
    const concerned = /not set/.test(fault) ? ['IDENT', 'PASS'] : names // these two go together
    assert.ok(hint.length > 8 && namedIn(hint).every((name) => concerned.includes(name)), hint)
    assert.ok(!`${fault}${hint}`.includes(SECRET), `${fault}; ${hint}`)
    return { names, fault }
  }
  assert.fail('it is taken')
}

// ---- Each variable, with no server

test('the environment wins over .env, .env over the demo, and IDENT goes with PASS', () => {
  const places = ['environment', resolve('.env'), 'demo default'] as const
  for (let nth = 0; nth < 27; nth++) {
    const [env, dotenv]: [Variables, Variables] = [{}, {}]
    const from = NAMES.map((_, index) => places[Math.floor(nth / 3 ** index) % 3])
    const unset = NAMES.filter((_, index) => from[index] === 'demo default')
    for (const [index, name] of NAMES.entries()) {
      const prefix = name === 'BASE_URL' ? LOCAL : name
      if (from[index] === 'environment') env[name] = `${prefix}/environment`
      if (!unset.includes(name)) dotenv[name] = `${prefix}/file`
    }
    const missing = unset.filter((name) => name !== 'BASE_URL')
    if (missing.length === 1) {
      assert.deepEqual(refusalOf(env, asDotenv(dotenv)).names, missing)
      continue
    }
    const { baseUrl, identifier, password, ...config } = readConfig(env, asDotenv(dotenv))
    const values = NAMES.map((name) => env[name] ?? dotenv[name] ?? DEMO[name])
    assert.deepEqual([baseUrl, identifier, password, config.unset], [...values, unset])
    for (const [index, name] of NAMES.entries())
      assert.equal(config.sources[index], `${name} from ${from[index]}`)
  }
})

test('what is blank or not UTF-8 is named, and nothing takes its place', () => {
  for (const value of ['', ' ', '\t\r\n \u00a0\ufeff', `${LOCAL}/${SECRET}\ufffd`])
    for (const bits of [1, 2, 3, 4, 5, 6, 7]) {
      const names = NAMES.filter((_, index) => bits & (1 << index))
      const bad = { ...DEMO, ...Object.fromEntries(names.map((name) => [name, value])) }
      const refusal = refusalOf(bad, asDotenv(DEMO))
      assert.deepEqual(refusal.names, names)
      assert.match(refusal.fault, value.includes('\ufffd') ? /UTF-8/ : /empty/)
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
  [/placeholder/, 'https://<slug>.projects.oryapis.com', '<slug>', `https://${SLUG}>`],
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
  [true, 'http://localhost:4433', 'HTTPS://LocalHost', 'http://[::1]:4433'],
  [false, REMOTE, 'http://localhost.invalid', 'http://notlocalhost', 'http://x.invalid/localhost'],
  [false, 'http://127.0.0.1.invalid', 'http://127.ory.invalid', 'http://192.0.2.1', 'http://[::]'],
  [false, 'http://0.0.0.0:4433', 'http://[2001:db8::1]', 'http://x127.x', 'http://x.localhost'],
]
test('which hosts are loopback: the demo identity is for them, and no proxy is', () => {
  const [HTTP_PROXY, HTTPS_PROXY] = ['http://proxy:1', 'http://proxy:2']
  for (const [isLocal, ...urls] of HOSTS)
    for (const BASE_URL of urls) {
      const proxies = isLocal ? ['', ''] : [HTTP_PROXY, HTTPS_PROXY]
      const config = readConfig({ ...DEMO, HTTP_PROXY, HTTPS_PROXY, BASE_URL }, '')
      assert.deepEqual([config.httpProxy, config.httpsProxy], proxies, BASE_URL)
      if (isLocal) assert.equal(readConfig({ BASE_URL }, '').password, PASS)
      else assert.deepEqual(refusalOf({ BASE_URL }).names, ['IDENT', 'PASS'])
    }
})

const NO_PROXIES = ['host:3128', 'http://', ' ', `http://u:${SECRET}@a b`, `socks5://${SECRET}@a`]
test('a proxy variable that is no URL is named, unless BASE_URL is loopback or it is empty', () => {
  const env = { IDENT, PASS, BASE_URL: REMOTE }
  for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy']) {
    for (const value of NO_PROXIES) {
      assert.deepEqual(refusalOf({ ...env, [name]: value }).names, [name.toUpperCase()])
      assert.equal(readConfig({ ...DEMO, [name]: value }, '').baseUrl, LOCAL)
    }
    assert.equal(readConfig({ ...env, [name]: '' }, '').baseUrl, REMOTE)
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
      const config = readConfig({ IDENT }, file)
      assert.deepEqual([config.password, config.isCut], [pass, isCut], file)
      assert.equal(readConfig({ IDENT, PASS }, file).isCut, false)
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
  assertFailed(late, 4, 'start', /note: .*default.*: BASE_URL\n/, /hint: .*npm run demo/)
})

test('http to another machine gives a warning, before a failure too; https does not', async (t) => {
  const ory = await startOry(t)
  const [open, refusing] = [await startProxy(t), await startProxy(t, answerWith('403 Forbidden'))]
  const far = { ...credentials(ory), BASE_URL: `${REMOTE}:${ory.port}` }
  const warning = /^ory-login: warning: .*password.*unencrypted\n/
  assertVerified(await run({ ...far, HTTP_PROXY: open.url }), new RegExp(`${warning.source}$`))
  assertFailed(await run({ ...far, HTTP_PROXY: refusing.url }), 1, 'start', warning)
  const tls = await run({ ...far, BASE_URL: 'https://ory.invalid', HTTPS_PROXY: refusing.url })
  assertFailed(tls, 4, 'start')
  assert.doesNotMatch(tls.stderr, /warning/)
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
  assertFailed(below, 2, 'read configuration', /not set: PASS/)
})

const write = (bytes: string | Buffer) => (path: string) => writeFileSync(path, bytes)
const utf16 = Buffer.from(`\ufeffPASS='${PASS}'\r\n`, 'utf16le')
// biome-ignore format: a table
const UNREADABLE: [what: string, make: (path: string) => void, says: RegExp][] = [
  ['a folder', (path) => mkdirSync(path), /\.env cannot be read/],
  ['UTF-16 LE', write(utf16), /\.env.*UTF-16/],
  ['UTF-16 BE', write(Buffer.from(utf16).swap16()), /\.env.*UTF-16/],
  ['a text with NUL bytes', write(`PASS=${PASS}\n\0\0`), /\.env.*NUL/],
  ['Windows-1252', write(Buffer.from('PASS=p\xe4ss-word', 'latin1')), /UTF-8: PASS\n/],
]
if (process.platform !== 'win32')
  UNREADABLE.push(
    ['a loop of links', (path) => symlinkSync('.env', path), /\.env cannot be read/],
    ['an endless device', (path) => symlinkSync('/dev/zero', path), /it is no file/],
  )
for (const [what, make, says] of UNREADABLE)
  test(`a .env that is ${what} is an error, unless the environment has all`, async (t) => {
    const ory = await startOry(t)
    const cwd = folder()
    make(join(cwd, '.env'))
    assertFailed(await runIn(cwd, { BASE_URL: ory.url, IDENT }), 2, 'read configuration', says)
    assert.equal(ory.contacts.length, 0)
    assertVerified(await runIn(cwd, credentials(ory)))
  })

const MISTAKE = /\b(IDENT|PASS) (?:is|begins) [^;\n]*?(space|quotes|not closed|typographic|#)/g
const mistakesIn = (stderr: string): string =>
  [...stderr.matchAll(MISTAKE)].map(([, name, what]) => `${name} ${what}`).join(', ')

const SEVERAL = `\u2018${SECRET}#1\nIDENT='"${IDENT}"'\n`
// biome-ignore format: a table
const REFUSED: [recordings: string, mistakes: string, ...passwords: string[]][] = [
  ['wrong-password', '', SECRET, `'two words"\`'`, `'${SECRET}#1' # mine`, `"${SECRET}#1"`],
  ['wrong-password', 'PASS space', `'\t${SECRET}'`, `"${SECRET}\\n"`],
  ['wrong-password', 'PASS quotes', `'"${SECRET}"'`, `"'${SECRET}'"`, `'\`${SECRET}\n\`'`],
  ['wrong-password', 'PASS space, PASS quotes', `'"${SECRET}"\n'`],
  ['wrong-password', 'PASS not closed', `'${SECRET}`, `"${SECRET}'`],
  ['wrong-password', 'PASS typographic', `\u201c${SECRET}\u201d`, `\u00ab${SECRET}\u00bb`],
  ['wrong-password', 'PASS #', `${SECRET}#1`, `${SECRET} # mine`],
  ['wrong-password empty-password', 'IDENT quotes, PASS typographic, PASS #', SEVERAL],
  ['wrong-path expired-flow password-method-disabled unverified-address', '', SEVERAL],
]
test('a refused login, and it alone, tells what PASS and IDENT hold by mistake', async (t) => {
  for (const [recordings, mistakes, ...passwords] of REFUSED)
    for (const recording of recordings.split(' '))
      for (const password of passwords) {
        const { url } = await startOry(t, at(recorded(recording)))
        const cwd = folder(`IDENT=${IDENT}\nPASS=${password}`)
        const outcome = await runIn(cwd, { BASE_URL: url })
        assert.ok(outcome.code, outcome.stderr)
        assertNoSecrets(outcome, SECRET, IDENT)
        assert.equal(mistakesIn(outcome.stderr), mistakes, outcome.stderr)
      }
})

test('--verbose begins with what is in force, and tells no value of IDENT or PASS', async (t) => {
  const ory = await startOry(t)
  const { url, heads } = await startProxy(t)
  const proxied = { HTTP_PROXY: url.replace('//', `//somebody:${SECRET}@`) }
  const near = { BASE_URL: ory.url }
  const far = { BASE_URL: `${REMOTE}:${ory.port}` }
  const mine = { IDENT: 'me@example.com', PASS: SECRET }
  // biome-ignore format: a table
  const cases: [dotenv: Variables, env: Variables, ...says: (string | RegExp)[]][] = [
    [mine, { ...near, ...mine, ...proxied }, `${ory.url};`, /IDENT from env.*; no proxy;/],
    [mine, near, /BASE_URL from env.*IDENT from .*\.env, PASS from .*\.env; no proxy;/],
    [{}, near, /IDENT from demo default, PASS from demo default/],
    [{ ...far, ...mine }, proxied, `${far.BASE_URL};`, /URL from .*\.env/, new URL(url).host],
    [{}, { ...mine, BASE_URL: `${ory.url}/${SECRET}` }, /BASE_URL is .withheld/],
  ]
  for (const [dotenv, env, ...says] of cases) {
    const outcome = await runIn(folder(asDotenv(dotenv)), env, '--verbose')
    assert.equal(outcome.code, 0, outcome.stderr)
    assertNoSecrets(outcome, PASS, SECRET, IDENT, mine.IDENT, 'somebody')
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
      assertFailed(outcome, 2, 'read configuration', /UTF-8: PASS\n/)
      assert.equal(ory.contacts.length, 0)
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
  assertFailed(demo, 3, 'submit', /hint: .*the demo identity was sent/)
  assert.doesNotMatch(demo.stderr, /hint: .*BASE_URL is not set/)
  assert.doesNotMatch((await run(credentials(ory))).stderr, /demo identity|not set/)
  const late = await run({ IDENT, PASS: SECRET }, '--timeout', '0.001')
  assertFailed(late, 4, 'start', /hint: .*BASE_URL is not set, so the demo default was asked/)
})
