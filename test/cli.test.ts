/** The program as a process: exit codes, options, ways to run it, streams, signals, its package. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, describe, type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import * as harness from './harness.ts'
import {
  assertFailed,
  assertVerified,
  at,
  folder,
  login,
  PROGRAM,
  ROOT,
  run,
  TSX,
} from './harness.ts'

const read = (path: string): string => fs.readFileSync(join(ROOT, path), 'utf8')
const MANIFEST = JSON.parse(read('package.json'))
const node = [process.execPath]
const nodeTsx = [...node, '--import', TSX]
const isPosix = process.platform !== 'win32'
/** Plain node runs TypeScript without a warning: 22.18 and later, 24.3 and later. */
const runsTypes = /^v(22\.(1[89]|[2-9]\d)|24\.([3-9]|\d\d)|2[5-9]|[3-9]\d)/.test(process.version)

type Steps = Parameters<typeof at>[0]
type Variables = harness.Variables
const REFUSED = harness.recorded('wrong-password')

/** One login by a process of its own. */
async function launch(t: TestContext, steps: Steps, args: string[], more?: harness.ChildOptions) {
  const ory = await harness.startOry(t, at(steps))
  return harness.program(harness.credentials(ory), args, more)
}

// ---- Exit codes

// biome-ignore format: a table
const EXITS: [code: number, what: string, Steps, args: string[], step: string, says: RegExp][] = [
  [1, 'no Ory there', { start: { status: 404, body: 'no page' } }, [], 'start', /404: no page/],
  [2, 'wrong usage', {}, ['--nonsense'], 'read settings', /unknown option/],
  [3, 'a refused login', REFUSED, ['--logout'], 'submit', /400 4000006: /],
  [4, 'no answer', { start: () => undefined }, ['--timeout', '0.5'], 'start', /0\.5 s/],
]
describe('exit code', { concurrency: 4 }, () => {
  for (const [code, what, steps, args, step, says] of EXITS)
    test(`${code}: ${what}`, async (t) =>
      assertFailed(await launch(t, steps, args), code, step, says))
})

// ---- Options

for (const option of ['--help', '-h'])
  test(`${option} tells every option, variable and exit code, whatever is set`, async () => {
    const { code, stdout, stderr } = await run({ BASE_URL: 'wrong', IDENT: ' ', PASS: '' }, option)
    assert.deepEqual([code, stderr], [0, ''])
    const options = ['--timeout', '--logout', '--json', '--verbose', '-h', '--help', '--version']
    const proxies = ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY', 'NODE_EXTRA_CA_CERTS']
    for (const word of [...options, ...proxies, 'BASE_URL', 'IDENT', 'PASS', '.env', '3600', '30'])
      assert.ok(stdout.split(/[\s,;()]+/).includes(word), word)
    assert.deepEqual(stdout.match(/(?<=^ +)\d(?= +\S)/gm), ['0', '1', '2', '3', '4'])
    assert.match(stdout, /^Usage: .*BASE_URL=https:\S+ IDENT=.*\n.*PASS=.* node ory-l\S+ --.*\n$/s)
    assertFits(stdout)
  })

test('--version is that of package.json, whatever is set', async () => {
  const { code, stdout, stderr } = await run({ PASS: '' }, '--version')
  assert.deepEqual([code, stdout, stderr], [0, `${MANIFEST.version}\n`, ''])
})

test('help, hints and notes name commands that exist', async (t) => {
  const npm = login(t, {}, { npm_config_logout: 'true' })
  const runs = await Promise.all([run({}, '--help'), npm, run({}, '--timeout', '0.001')])
  const told = runs.map(({ stdout, stderr }) => stdout + stderr).join('')
  const commands = [...told.matchAll(/\b(npm run|npx tsx|node) (-s )?([\w./:-]+)( -- )?/g)]
  assert.equal(commands.length, 6)
  for (const [all, command, silent, named = '', dashes] of commands)
    if (command === 'npm run') assert.ok(named in MANIFEST.scripts && !silent === !dashes, all)
    else
      assert.ok(
        `dist/${named}` === MANIFEST.bin['ory-login'] || fs.existsSync(join(ROOT, named)),
        all,
      )
  assert.doesNotMatch(told, /(?<![/\w])ory-login +-/)
})

for (const name of ['logout', 'json', 'timeout'])
  test(`that npm took --${name} is noted, with how to write it`, async (t) => {
    const npm = { npm_config_loglevel: 'verbose', [`npm_config_${name}`]: 'true' }
    const note = new RegExp(`^ory-login: note: .*npm run -s login -- --${name}\\n$`)
    assertVerified(await login(t, {}, npm), note)
  })

for (const value of ['0.5', '3600', '.5', '007', '3600.0', '0 --timeout=8'])
  test(`--timeout ${value} is taken`, async () =>
    assert.equal((await run({}, '--timeout', ...value.split(' '), '--version')).code, 0))

// A password may stand anywhere, and begin with dashes.
// biome-ignore format: a table
const NOT_TAKEN: [error: RegExp, ...args: string[][]][] = [
  [/argument 1\b/, ['--zebra-42'], ['--zebra-42=5'], ['--zebra', '5'], ['---zebra'], ['-zebra']],
  [/argument 1\b/, ['--password=zebra'], ['--no-zebra'], ['--no-logout'], ['--HELP'], ['zebra']],
  [/argument 1\b/, ['-hz'], ['-hzebra'], ['-zh'], ['-z'], ['-'], ['', '--verbose'], ['--h']],
  [/argument 1\b/, ['--', 'zebra'], ['--', '--help'], ['zebra', '--zebra'], ['zebra', '--']],
  [/argument 1\b/, ['--__proto__'], ['--constructor=zebra'], ['--logout=zebra'], ['--help=zebra']],
  [/argument 2\b/, ['--json', 'zebra'], ['--json', '--zebra'], ['-h', '-hz'], ['-h', '--zebra']],
  [/argument 2\b/, ['--version', 'zebra'], ['--timeout=5', 'zebra'], ['--json', '--', '--help']],
  [/argument 3\b/, ['--timeout', '5', 'zebra'], ['--timeout', '5', '--'], ['-h', '-h', '-hz']],
  [/argument 4\b/, ['--timeout', 'zebra', '-h', '--zebra'], ['-h', '--timeout', '-1', '-zebra']],
  [/seconds/, ['--timeout'], ['--timeout', '--zebra'], ['--timeout', '-zebra']],
  [/seconds/, ...['0', '0.0', '3601', '3600.1', '1e3', '0x10', '1,5', '5.5.5', '1_000', '\u0665',
    '', ' ', ' 5', '+5', '-1', '5s', '.', '5.', 'NaN', 'Infinity', 'zebra', '5 zebra'].flatMap(
    (value) => [['--timeout', value], [`--timeout=${value}`]])],
]
for (const [error, ...lines] of NOT_TAKEN)
  for (const args of lines)
    test(`the arguments ${JSON.stringify(args)} are refused, and not repeated`, async () => {
      const outcome = await run({ npm_config_logout: 'true' }, ...args)
      assertFailed(outcome, 2, 'read settings', /^.*npm took.*\n.*error:.*\n {2}hint .*--help.*\n$/)
      assert.match(harness.reportOf(outcome).error, error)
      harness.assertNoSecrets(outcome, 'zebra')
    })

// ---- 80 columns

/** But for what a server or a URL says. */
function assertFits(told: string): void {
  for (const line of told.split('\n'))
    if (!/^ {2}(step|got|log id) |: BASE_URL http/.test(line)) assert.ok(line.length <= 80, line)
}

const CUT: Steps = { submit: (_, { socket }) => void socket?.destroy() }
// biome-ignore format: a table
const TOLD: [what: string, env: Variables, steps: Steps, ...args: string[]][] = [
  ...fs.readdirSync(join(ROOT, 'test/recordings')).map((file): [string, Variables, Steps, string] =>
    [file, {}, harness.recorded(file.replace('.json', '')), '--logout']),
  ['empty variables', { BASE_URL: '', IDENT: '', PASS: '' }, {}],
  ['a proxy that is none', { BASE_URL: 'https://ory.test', HTTPS_PROXY: 'proxy' }, {}],
  ['plain http', { BASE_URL: 'http://a.b', HTTP_PROXY: 'http://127.0.0.1:2' }, {}, '--timeout=.1'],
  ['a wait that does not fit', {}, { whoami: { status: 503, headers: { 'retry-after': '3000' } } }],
  ['another try after a 503', {}, { start: { status: 503 } }],
  ['another try after an error', {}, CUT],
  ['the settings, and no answer', {}, CUT, '--verbose'],
]
describe('80 columns are enough for', { concurrency: 4 }, () => {
  for (const [what, env, steps, ...args] of TOLD)
    test(what, async (t) => assertFits((await login(t, steps, env, ...args)).stderr))
})

// ---- GitHub Actions

const TEXTS = ['50% off', '::error::x', '%0A::warning::zebra', '::add-mask::a', '##[error]x']
const saying = (reason: string): Steps => ({ submit: { status: 418, body: { reason } } })
type Annotated = [what: string, env: Variables, Steps, command: RegExp]
// biome-ignore format: a table
const ANNOTATED: Annotated[] = [
  ['a login', {}, {}, /^$/], ['a refusal, elsewhere', { GITHUB_ACTIONS: 'false' }, REFUSED, /^$/],
  ['a mistake', { PASS: '' }, {}, /^::error title=ory-login%3A read settings::PASS is .*%0A.*%0A/],
  ['a refusal', {}, REFUSED, /ory-login%3A submit credentials::wrong .*%0A400 4000006: .*%0Acheck/],
  ...['\n', '\r\n', '\r', '\u2028', '\u0085', ' ', ''].map((gap): Annotated =>
    [`texts and ${JSON.stringify(gap)}`, {}, saying(TEXTS.join(gap)), /50%25 off.*%250A *::warn/]),
]
for (const [what, env, steps, expected] of ANNOTATED)
  test(`what GitHub Actions gets, for the page of the job, of ${what}`, async (t) => {
    const { stderr } = await login(t, steps, { GITHUB_ACTIONS: 'true', ...env })
    const [command = '', ...others] = stderr.match(/^\s*::.*/gm) ?? []
    assert.deepEqual([stderr.endsWith(command && `\n${command}\n`), others], [true, []])
    assert.match(command, expected)
  })

// ---- The ways to run

/** What `npm ci --omit=dev` gives, in a folder of a CommonJS repository, below odd characters. */
const BARE = join(folder(), "it's 100% a #1 änd space")
const BARE_LINK = join(BARE, 'linked login.ts')
for (const name of ['src', 'package.json', 'node_modules/dotenv', 'node_modules/undici'])
  fs.cpSync(join(ROOT, name), join(BARE, name), { recursive: true })
fs.writeFileSync(join(BARE, '..', 'package.json'), '{"type":"commonjs"}')
if (isPosix) fs.symlinkSync(join(BARE, 'src', 'ory-login.ts'), BARE_LINK)
after(() => fs.rmSync(BARE, { recursive: true }))

const npxTsx = [...node, join(ROOT, 'node_modules/tsx/dist/cli.mjs')]
const ending = (other: string) => PROGRAM.replace(/\.ts$/, other)
const piped = ['sh', '-c', 'exec "$0" "$@" - < src/ory-login.ts']
const url = ['--entry-url', pathToFileURL(PROGRAM).href]
const hasUrls = process.allowedNodeEnvironmentFlags.has('--entry-url')

// biome-ignore format: a table; what is not sure to run may fail instead, but not pass in silence
const WAYS: [what: string, isThere: boolean, isSure: boolean, command: string[], RegExp?][] = [
  ['npx tsx', true, true, [...npxTsx, PROGRAM]],
  ['npx tsx, for a .js that is a .ts', true, true, [...npxTsx, ending('.js')]],
  ['no ending', true, true, [...nodeTsx, ending('')]],
  ['within CommonJS', true, true, [...(runsTypes ? node : nodeTsx), 'src/ory-login.ts']],
  ['a link to it', isPosix, true, [...nodeTsx, BARE_LINK]],
  ['a preserved link to it', isPosix, true, [...nodeTsx, '--preserve-symlinks-main', BARE_LINK]],
  ['a file: URL', hasUrls, true, [...nodeTsx, ...url], /^(.*Warning.*--entry-url.*\n.*\n)?$/],
  ['stdin', isPosix, runsTypes, [...piped, ...node, '--input-type=module-typescript']],
  ['stdin through tsx', isPosix, false, [...piped, ...nodeTsx, '--input-type=module']],
]
describe('run by', { concurrency: 4 }, () => {
  for (const [what, , isSure, command, says] of WAYS.filter(([, isThere]) => isThere))
    test(`${what}${isSure ? '' : ': where Node cannot, it says so'}`, async (t) => {
      const outcome = await launch(t, {}, [], { command, cwd: BARE })
      if (!isSure && outcome.code !== 0) return assert.match(outcome.stderr, /--input-type|Error/)
      assertVerified(outcome, says)
    })

  test('a file that imports it: only when main is called, and nothing stays behind', async (t) => {
    const file = join(BARE, 'other.mjs')
    const script = `import { main } from './src/ory-login.ts'
      console.log('imported')
      const say = async (text) => console.log(text)
      await say(await main(['--timeout', '3600'], process.env, { print: say, say }))`
    fs.writeFileSync(file, script)
    const { stdout } = await launch(t, {}, [], { command: [...nodeTsx, file] })
    assert.equal(stdout, `imported\n${harness.TWO_LINES}\n0\n`)
  })
})

// ---- Streams and signals

describe('streams', { concurrency: 4 }, () => {
  // biome-ignore format: a table
  const unread = [
    ['stdout', 'stderr', {}, 1, /note: BASE_URL .*error: stdout cannot .*hint .*stdout/s],
    ['stderr', 'stdout', {}, 0, new RegExp(`^${harness.TWO_LINES}$`)],
    ['stderr', 'stdout', REFUSED, 3, /^$/],
  ] as const
  for (const [stream, other, steps, code, says] of unread)
    test(`nothing reads ${stream}: exit code ${code} tells`, async (t) => {
      const ory = await harness.startOry(t, at(steps))
      const child = harness.start(harness.credentials(ory), ['--verbose'])
      child[stream]?.destroy()
      const told = text(child[other] ?? assert.fail())
      assert.deepEqual(await once(child, 'close'), [code, null])
      assert.match(await told, says)
    })

  test('a file gets it all', async (t) => {
    const file = join(folder(), 'file')
    const outcome = await launch(t, {}, [], { stdout: fs.openSync(file, 'a') })
    assertVerified({ ...outcome, stdout: fs.readFileSync(file, 'utf8') })
  })

  // biome-ignore format: a table
  const full = [[{}, 1, 'print result'], [REFUSED, 3, 'submit']] as const
  for (const [steps, code, step] of fs.existsSync('/dev/full') ? full : [])
    test(`a full disk: exit code ${code}`, async (t) => {
      const stdout = fs.openSync('/dev/full', 'a')
      assertFailed(await launch(t, steps, ['--json'], { stdout }), code, step)
    })

  test('stdout is a folder, which Node takes for nothing: no green', async (t) => {
    const stdout = fs.openSync(folder(), 'r')
    assertFailed(await launch(t, {}, [], { stdout }), 1, 'print result', /hint .*stdout/)
  })

  if (!isPosix) return
  test('a file that can take a part only: no green', async (t) => {
    const cwd = folder()
    fs.writeFileSync(join(cwd, 'file'), ' '.repeat(1000))
    // The shell counts in units of 512 bytes. What tsx keeps must not be cut as well.
    const limited = 'ulimit -f 2; TSX_DISABLE_CACHE=1 exec "$0" "$@" >> file'
    const command = ['sh', '-c', limited, ...nodeTsx, PROGRAM]
    assertFailed(await launch(t, {}, [], { cwd, command }), 1, 'print result', /hint .*stdout/)
    assert.equal(fs.statSync(join(cwd, 'file')).size, 1024)
  })

  test('a non-blocking pipe that is full for a while gets it all in the end', async (t) => {
    const cwd = folder()
    const write = '{ head -c 2000000 /dev/zero 2>&- & "$0" "$@"; echo "code $?"; }'
    const read = '{ until [ -e begin ]; do sleep 0.1; done; tr -d "\\0"; }'
    const nonBlocking = ['--import', 'data:text/javascript,process.stdout']
    const command = ['sh', '-c', `${write} | ${read}`, ...nodeTsx, ...nonBlocking, PROGRAM]
    const whoami = () => {
      setTimeout(() => fs.writeFileSync(join(cwd, 'begin'), ''), 500)
      return harness.SUCCESS.whoami
    }
    const { stdout, stderr } = await launch(t, { whoami }, [], { cwd, command })
    assert.deepEqual([stdout, stderr], [`${harness.TWO_LINES}code 0\n`, ''])
  })

  /** Node as process 1 of a container, where signals do nothing by themselves. */
  const first = 'data:text/javascript,Object.defineProperty(process,"pid",{value:1})'
  const asFirst = [...nodeTsx, '--import', first, PROGRAM]
  const asUsual = [...nodeTsx, PROGRAM]
  // biome-ignore format: a table
  const ends = [['SIGINT', asUsual, null, 'SIGINT'], ['SIGTERM', asUsual, null, 'SIGTERM'],
    ['SIGHUP', asFirst, 129, null], ['SIGINT', asFirst, 130, null], ['SIGTERM', asFirst, 143, null],
  ] as const
  for (const [signal, command, ...end] of ends)
    test(`${signal} ends it at once, and says nothing: ${end}`, async (t) => {
      const ory = await harness.startOry(t, at({ submit: () => void child.kill(signal) }))
      const child = harness.start(harness.credentials(ory), ['--json'], { command })
      const told = [child.stdout, child.stderr].map((stream) => text(stream ?? assert.fail()))
      assert.deepEqual(await once(child, 'close'), end)
      assert.deepEqual(await Promise.all(told), ['', ''])
    })
})

for (const [given, inForce] of [
  [{}, 'timeout:1 attempts:1'],
  [{ RES_OPTIONS: 'rotate' }, 'rotate'],
] as const)
  test(`a silent name server is given up as by RES_OPTIONS=${inForce}`, async () => {
    const script = 'process.on("exit", () => console.error(process.env.RES_OPTIONS))'
    const told = ['--import', `data:text/javascript,${encodeURIComponent(script)}`]
    const command = [...nodeTsx, ...told, PROGRAM]
    const { stderr } = await harness.program(given, ['--version'], { command })
    assert.equal(stderr, `${inForce}\n`)
  })

// ---- The program itself fails

const CLIENT = `import { Client } from ${JSON.stringify(import.meta.resolve('undici'))}\nClient`
// biome-ignore format: a table
const BROKEN: [what: string, script: string, says: RegExp][] = [
  ['a client without destroy, as with Bun', `${CLIENT}.prototype.destroy = undefined`,
    /^ory-login: error: ory-login \S+ itself failed .TypeError.\n$/],
  ['a stdout that never tells what it did', 'process.stdout.write = () => true', /^/],
]
for (const [what, script, says] of BROKEN)
  test(`${what}: no green`, async (t) => {
    const first = ['--import', `data:text/javascript,${encodeURIComponent(script)}`]
    const { code, stderr } = await launch(t, {}, [], { command: [...nodeTsx, ...first, PROGRAM] })
    assert.equal(code, 1)
    assert.match(stderr, says)
  })

test('a fault of the program is told without its text, which could hold a secret', async () => {
  const env = Object.defineProperty({}, 'BASE_URL', { get: () => assert.fail('zebra') })
  const outcome = await run(env, '--json')
  assert.deepEqual([outcome.code, JSON.parse(outcome.stdout).step], [1, 'log in'])
  assert.match(harness.reportOf(outcome).error, /^ory-login \S+ itself failed .ERR_ASSERTION.$/)
  harness.assertNoSecrets(outcome, 'zebra')
  assertFits(outcome.stderr)
})

// ---- The package

test('the program is one file, which imports builtins, dotenv and undici alone', () => {
  assert.deepEqual(fs.readdirSync(dirname(PROGRAM)), ['ory-login.ts'])
  const lines = read('src/ory-login.ts').replaceAll('import.meta.url', '').split('\n')
  const known = /^import [^'"]+ from '(node:(?!module)[\w/]+|dotenv|undici)'( \/\/.*)?$/
  for (const line of lines)
    if (/\b(import|require)\b|\bfrom\s*(['"]|$)/.test(line)) assert.match(line, known)
})

test('two packages are all that is installed to run it, on Node 20.18.1 and later', () => {
  const { packages } = JSON.parse(read('package-lock.json'))
  const installed = Object.keys(packages).filter((name) => !packages[name].dev)
  assert.deepEqual(installed, ['', 'node_modules/dotenv', 'node_modules/undici'])
  assert.deepEqual([MANIFEST.type, MANIFEST.engines.node], ['module', '>=20.18.1'])
})

for (const place of ['src', 'test'])
  test(`no line in ${place} is longer than 100 columns`, () => {
    const names = fs.readdirSync(join(ROOT, place)).filter((name) => /\.m?[jt]s$/.test(name))
    for (const name of names)
      for (const [index, line] of read(`${place}/${name}`).split('\n').entries())
        assert.ok(line.length <= 100, `${name}:${index + 1}`)
  })
