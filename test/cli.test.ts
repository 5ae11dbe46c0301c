/** The program as a process: exit codes, options, ways to run it, streams, signals, its package. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, describe, type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { main } from '../src/ory-login.ts'
import type * as harness from './harness.ts'
import {
  assertFailed,
  assertNoSecrets,
  assertVerified,
  at,
  credentials,
  folder,
  LOGIN_STEPS,
  login,
  PROGRAM,
  program,
  recorded,
  reportOf,
  run,
  STEPS,
  SUCCESS,
  start,
  startOry,
  stepOf,
  TSX,
  TWO_LINES,
} from './harness.ts'

const ROOT = join(dirname(PROGRAM), '..')
const read = (path: string): string => fs.readFileSync(join(ROOT, path), 'utf8')
const MANIFEST = JSON.parse(read('package.json'))
const node = [process.execPath]
const nodeTsx = [...node, '--import', TSX]
const isPosix = process.platform !== 'win32'
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
/** Plain node runs TypeScript, and without a warning. */
const runsTypes = major > 24 || (major === 24 && minor >= 3) || (major === 22 && minor >= 18)

type Steps = Partial<Record<harness.Step, harness.Answer | harness.Behaviour>>
const REFUSED: Steps = recorded('wrong-password')

/** One login by a process of its own. */
async function launch(
  t: TestContext,
  steps: Steps,
  options: harness.ChildOptions,
  args: string[] = [],
) {
  const ory = await startOry(t, at(steps))
  return { ...(await program(credentials(ory), args, options)), ory }
}

// ---- Exit codes

// biome-ignore format: a table
const EXITS: [code: number, what: string, Steps, args: string[], step: string, says: RegExp][] = [
  [1, 'no Ory there', { start: { status: 404, body: 'no page' } }, [], 'start', /404: no page/],
  [2, 'wrong usage', {}, ['--nonsense'], 'read options', /argument 1 is not/],
  [3, 'a refused login', REFUSED, ['--logout'], 'submit', /400 4000006/],
  [4, 'no answer', { start: () => undefined }, ['--timeout', '0.5'], 'start', /0\.5 s/],
]
describe('exit codes', { concurrency: 4 }, () => {
  test('0: verified, with two lines on stdout and nothing on stderr', async (t) => {
    const outcome = await launch(t, {}, {})
    assertVerified(outcome)
    assert.deepEqual(outcome.ory.seen.map(stepOf), LOGIN_STEPS)
  })
  for (const [code, what, steps, args, step, says] of EXITS)
    test(`${code}: ${what}, with nothing on stdout, and what to do on stderr`, async (t) =>
      assertFailed(await launch(t, steps, {}, args), code, step, says))
})

// ---- Options

for (const option of ['--help', '-h'])
  test(`${option} tells every option, variable and exit code, whatever is configured`, async () => {
    const { code, stdout, stderr } = await run({ BASE_URL: 'wrong', IDENT: ' ', PASS: '' }, option)
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, /^Usage: .*\S\n$/s)
    for (const name of ['timeout', 'logout', 'json', 'verbose', 'help', 'version'])
      assert.match(stdout, new RegExp(`^ .*--${name}\\b`, 'm'))
    const proxies = ['HTTPS_PROXY', 'HTTP_PROXY', 'NO_PROXY', 'NODE_EXTRA_CA_CERTS']
    for (const word of ['BASE_URL', 'IDENT', 'PASS', ...proxies, '-h', '.env', '3600', '(30)'])
      assert.ok(stdout.split(/[\s,;]+/).includes(word), word)
    const codes = [...stdout.matchAll(/^ +(\d) +\S/gm)].map(([, digit]) => digit)
    assert.deepEqual(codes, ['0', '1', '2', '3', '4'])
    assert.match(stdout, /BASE_URL=https:\S+ IDENT=.*\n.*PASS=.* npx tsx src\/ory-login\.ts --/)
    for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line)
  })

test('--version is that of package.json, whatever is configured', async () => {
  const { code, stdout, stderr } = await run({ PASS: '' }, '--version')
  assert.deepEqual([code, stdout, stderr], [0, `${MANIFEST.version}\n`, ''])
})

test('help, hints and notes name commands that exist', async (t) => {
  const env = { ...credentials(await startOry(t)), npm_config_logout: 'true' }
  const runs = await Promise.all([run({}, '--help'), run({}, '--nonsense'), run(env)])
  const told = runs.map(({ stdout, stderr }) => stdout + stderr).join('')
  const commands = [...told.matchAll(/\b(npm run -s|npx tsx|node) ([\w./:-]+)( -- )?/g)]
  assert.equal(new Set(commands.map(([, command]) => command)).size, 3)
  for (const [all, command, named = '', dashes] of commands)
    if (command === 'npm run -s') assert.ok(named in MANIFEST.scripts && dashes, all)
    else assert.ok(fs.existsSync(join(ROOT, named)), all)
  assert.doesNotMatch(told, /(?<![/\w])ory-login +-/)
})

test('an option that npm took is noted, with how to write it; others are not', async (t) => {
  const ory = await startOry(t)
  for (const name of ['logout', 'json', 'timeout']) {
    const npm = { npm_config_loglevel: 'verbose', [`npm_config_${name}`]: 'true' }
    const note = new RegExp(`^ory-login: note: .*npm run -s login -- --${name}\\n$`)
    assertVerified(await run({ ...credentials(ory), ...npm }), note)
  }
})

test('--timeout takes more than 0 and at most 3600 seconds', async () => {
  for (const args of [['0.5'], ['3600'], ['.5'], ['007'], ['3600.0'], ['0', '--timeout=8']])
    assert.equal((await run({}, '--timeout', ...args, '--version')).code, 0, args[0])
  const decimals = ['0', '0.0', '3601', '3600.1', '1e3', '0x10', '1,5', '5.5.5', '1_000', '\u0665']
  for (const value of [...decimals, '', ' ', ' 5', '+5', '-1', '5s', '.', '5.', 'NaN', 'Infinity'])
    for (const args of [['--timeout', value], [`--timeout=${value}`]])
      assertFailed(await run({}, ...args, '--version'), 2, 'read options', /--timeout/, /--help/)
})

// A password may stand anywhere, and begin with dashes.
// biome-ignore format: a table
const NOT_TAKEN: [error: RegExp, ...args: string[][]][] = [
  [/^argument 1 is/, ['--zebra-42'], ['--zebra-42=5'], ['--zebra', '5'], ['---zebra'], ['-zebra']],
  [/^argument 1 is/, ['--password=zebra'], ['--no-zebra'], ['--no-logout'], ['--HELP'], ['zebra']],
  [/^argument 1 is/, ['-hz'], ['-hzebra'], ['-zh'], ['-z'], ['-'], ['', '--verbose']],
  [/^argument 1 is/, ['--', 'zebra'], ['--', '--help'], ['zebra', '--zebra'], ['zebra', '--']],
  [/^argument 2 is/, ['--json', 'zebra'], ['--json', '--zebra'], ['-h', '-hz'], ['-h', '--zebra']],
  [/^argument 2 is/, ['--version', 'zebra'], ['--timeout=5', 'zebra'], ['--json', '--', '--help']],
  [/^argument 3 is/, ['--timeout', '5', 'zebra'], ['--timeout', '5', '--'], ['-h', '-h', '-hz']],
  [/^argument 4 is/, ['--timeout', 'zebra', '-h', '--zebra'], ['-h', '--timeout', '-1', '-zebra']],
  [/^argument 1 is/, ['--__proto__'], ['--constructor=zebra']],
  [/--timeout/, ['--timeout'], ['--timeout', '--zebra'], ['--timeout', '-zebra']],
  [/--timeout/, ['--timeout', 'zebra'], ['--timeout=zebra'], ['--timeout=5 zebra']],
  [/--\w+' does not take/, ['--logout=zebra'], ['--help=zebra'], ['--version=zebra']],
]
test('other arguments are told by their place: none is repeated, nothing sent', async (t) => {
  const ory = await startOry(t)
  const env = { ...credentials(ory), npm_config_logout: 'true' }
  for (const [error, ...lines] of NOT_TAKEN)
    for (const args of lines) {
      const outcome = await run(env, ...args)
      assertFailed(outcome, 2, 'read options', /^.*npm took --logout.*\n.*\n( {2}hint .*\n)+$/)
      assertNoSecrets(outcome, 'zebra')
      const told = reportOf(outcome)
      assert.match(told.error, error, args.join(' '))
      const isByPlace = told.error.endsWith(' is not an option of this program')
      assert.match(told.hint ?? '', isByPlace ? /^it is not repeated.*\n.*--help/ : /^.*--help/)
    }
  assert.equal(ory.contacts.length, 0)
})

// ---- What terminals and GitHub Actions get

test('a terminal gets the word error highlighted, once', async () => {
  const env = { PASS: '', npm_config_logout: 'true' }
  let stderr = ''
  const say = async (told: string) => {
    stderr += `${told}\n`
  }
  await main([], env, { print: async () => {}, say, highlight: (word) => `<b>${word}</b>` })
  assert.equal(stderr, (await run(env)).stderr.replace('error:', '<b>error:</b>'))
})

test('nothing but a terminal gets colour', async () => {
  for (const FORCE_COLOR of ['1', '3'])
    assertFailed(await program({ FORCE_COLOR, PASS: '' }), 2, 'read configuration')
})

/** A failure in GitHub Actions: its one command to the runner is the report, in the last line. */
function assertAnnotated({ stderr, ...rest }: harness.Outcome, code: number, step: string) {
  const [, before = '', annotation = ''] = /^(.*\n)(.*)\n$/s.exec(stderr) ?? []
  const outcome = { ...rest, stderr: before }
  assertFailed(outcome, code, step)
  assert.doesNotMatch(before, /^\s*::/m)
  const { error, got, hint } = reportOf(outcome)
  const data = [error, ...(got ? [got] : []), hint].join('\n')
  const name = STEPS[step as harness.Step]?.name ?? step
  const escaped = data.replaceAll('%', '%25').replaceAll('\n', '%0A')
  assert.equal(annotation, `::error title=ory-login%3A ${name}::${escaped}`)
  return annotation
}

const GITHUB_ACTIONS = 'true'
test('in GitHub Actions a failure has one more line, for the page of the job', async (t) => {
  const mistaken = await run({ GITHUB_ACTIONS, IDENT: 'me' })
  const line = assertAnnotated(mistaken, 2, 'read configuration')
  const begin = '::error title=ory-login%3A read configuration::PASS is not set%0Aset IDENT'
  assert.ok(line.startsWith(begin), line)
  assertAnnotated(await run({ GITHUB_ACTIONS }, '--json', 'zebra'), 2, 'read options')

  const refused = assertAnnotated(await login(t, REFUSED, { GITHUB_ACTIONS }), 3, 'submit')
  assert.match(refused, /::wrong password .*%0A400 4000006: The provided .*%0Acheck IDENT/)
  assertVerified(await login(t, {}, { GITHUB_ACTIONS }))
  assertFailed(await login(t, REFUSED, { GITHUB_ACTIONS: 'false' }), 3, 'submit')
})

test('no text of a server makes a second command', async (t) => {
  const lines = ['50% off', '::error::x', '%0A::warning::zebra', '::add-mask::a', '##[error]x']
  for (const between of ['\n', '\r\n', '\r', '\u2028', '\u0085', ' ', '']) {
    const body = { error: { id: lines[1], code: 418, reason: lines.join(between) } }
    const outcome = await login(t, { submit: { status: 418, body } }, { GITHUB_ACTIONS })
    assert.match(assertAnnotated(outcome, 1, 'submit'), /50%25 off.*%250A *::warning::zebra/)
  }
})

// ---- The ways to run

/** What `npm ci --omit=dev` gives, in a folder of a CommonJS repository, below odd characters. */
const BARE = join(folder(), "it's 100% a #1 änd space")
const BARE_LINK = join(BARE, 'linked login.ts')
fs.cpSync(PROGRAM, join(BARE, 'src', 'ory-login.ts'))
fs.writeFileSync(join(BARE, '..', 'package.json'), '{"type":"commonjs"}')
fs.cpSync(join(ROOT, 'package.json'), join(BARE, 'package.json'))
for (const name of Object.keys(MANIFEST.dependencies).map((each) => join('node_modules', each)))
  fs.cpSync(join(ROOT, name), join(BARE, name), { recursive: true })
if (isPosix) fs.symlinkSync(join(BARE, 'src', 'ory-login.ts'), BARE_LINK)
after(() => fs.rmSync(BARE, { recursive: true }))

const npxTsx = [...node, join(ROOT, 'node_modules/tsx/dist/cli.mjs')]
const ending = (other: string) => PROGRAM.replace(/\.ts$/, other)
const piped = ['sh', '-c', 'exec "$0" "$@" - < src/ory-login.ts']
const preserving = '--preserve-symlinks-main'
const url = ['--entry-url', pathToFileURL(PROGRAM).href]
const hasUrls = process.allowedNodeEnvironmentFlags.has('--entry-url')

/** What is not sure to run may fail instead, but not pass in silence. */
type Way = [what: string, isThere: boolean, isSure: boolean, command: string[], says?: RegExp]
// biome-ignore format: a table
const WAYS: Way[] = [
  ['npx tsx', true, true, [...npxTsx, PROGRAM]],
  ['npx tsx, for a .js that is a .ts', true, true, [...npxTsx, ending('.js')]],
  ['a .jsx that is a .ts', true, true, [...nodeTsx, ending('.jsx')]],
  ['no ending', true, true, [...nodeTsx, ending('')]],
  ['within CommonJS', true, true, [...(runsTypes ? node : nodeTsx), 'src/ory-login.ts']],
  ['a link to it', isPosix, true, [...nodeTsx, BARE_LINK]],
  ['a preserved link to it', isPosix, true, [...nodeTsx, preserving, BARE_LINK]],
  ['a file: URL', hasUrls, true, [...nodeTsx, ...url], /^(.*Warning.*--entry-url.*\n.*\n)?$/],
  ['stdin', isPosix, runsTypes, [...piped, ...node, '--input-type=module-typescript']],
  ['stdin through tsx', isPosix, false, [...piped, ...nodeTsx, '--input-type=module']],
]
describe('ways to run it', { concurrency: 4 }, () => {
  for (const [what, , isSure, command, says] of WAYS.filter(([, isThere]) => isThere))
    test(`${what}${isSure ? '' : ': where Node cannot, it says so'}`, async (t) => {
      const outcome = await launch(t, {}, { command, cwd: BARE })
      if (!isSure && outcome.code !== 0) return assert.match(outcome.stderr, /--input-type|Error/)
      assertVerified(outcome, says)
      assert.deepEqual(outcome.ory.seen.map(stepOf), LOGIN_STEPS)
    })

  test('imported by another file it does nothing', async (t) => {
    const file = join(BARE, 'other.mjs')
    fs.writeFileSync(file, "console.log(Boolean((await import('./src/ory-login.ts')).main))")
    const outcome = await launch(t, {}, { command: [...nodeTsx, file] })
    const { code, stdout, stderr, ory } = outcome
    assert.deepEqual([code, stdout, stderr, ory.contacts.length], [0, 'true\n', '', 0])
  })
})

// ---- Streams and signals

describe('streams', { concurrency: 4 }, () => {
  // biome-ignore format: a table
  const unread = [
    ['stdout', 'stderr', {}, 1, /note: BASE_URL .*error: .* not be printed: .*hint .*stdout/s],
    ['stderr', 'stdout', {}, 0, new RegExp(`^${TWO_LINES}$`)],
    ['stderr', 'stdout', REFUSED, 3, /^$/],
  ] as const
  for (const [stream, other, steps, code, says] of unread)
    test(`nothing reads ${stream}: exit code ${code} tells`, async (t) => {
      const child = start(credentials(await startOry(t, at(steps))), ['--verbose'])
      child[stream]?.destroy()
      const told = text(child[other] ?? assert.fail())
      assert.deepEqual(await once(child, 'close'), [code, null])
      assert.match(await told, says)
    })

  for (const args of [['--version'], ['--timeout', '4']])
    test(`${args[0]} with no reader at all: one end for both streams, no green`, async (t) => {
      const env = credentials(await startOry(t))
      const never = new Promise(() => {})
      let isSecondWait = false
      const say = () => {
        setTimeout(() => {
          isSecondWait = true
        }, 500)
        return never
      }
      const code = await main(args, env, { print: () => never, say })
      assert.deepEqual([code, isSecondWait], [1, false])
    })

  test('what cannot be printed leaves the failure that it is', async (t) => {
    const env = credentials(await startOry(t, at(REFUSED)))
    const print = async () => assert.fail('no space')
    for (const args of [[], ['--json']])
      assert.equal(await main(args, env, { print, say: async () => {} }), 3)
  })

  test('a file gets it all', async (t) => {
    const file = join(folder(), 'file')
    const stdout = fs.openSync(file, 'a')
    const outcome = await launch(t, {}, { stdout })
    fs.closeSync(stdout)
    assertVerified({ ...outcome, stdout: fs.readFileSync(file, 'utf8') })
  })

  if (fs.existsSync('/dev/full'))
    test('a full disk: no green', async (t) => {
      const stdout = fs.openSync('/dev/full', 'a')
      const outcome = await launch(t, {}, { stdout })
      fs.closeSync(stdout)
      assertFailed(outcome, 1, 'print result', /hint .*stdout/)
    })

  if (!isPosix) return
  test('a file that can take a part only: no green', async (t) => {
    const cwd = folder()
    fs.writeFileSync(join(cwd, 'file'), ' '.repeat(1000))
    // The shell counts in units of 512 bytes. What tsx keeps must not be cut as well.
    const limited = 'ulimit -f 2; TSX_DISABLE_CACHE=1 exec "$0" "$@" >> file'
    const outcome = await launch(
      t,
      {},
      { cwd, command: ['sh', '-c', limited, ...nodeTsx, PROGRAM] },
    )
    assertFailed(outcome, 1, 'print result', /hint .*stdout/)
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
      return SUCCESS.whoami
    }
    const { stdout, stderr } = await launch(t, { whoami }, { cwd, command })
    assert.deepEqual([stdout, stderr], [`${TWO_LINES}code 0\n`, ''])
  })

  // biome-ignore format: a table; as process 1 of a container SIGTERM would do nothing by itself
  const ends = [['SIGINT', null, 'SIGINT'], ['SIGTERM', 143, null]] as const
  for (const [signal, ...end] of ends)
    test(`${signal} ends it at once, and says nothing`, async (t) => {
      const ory = await startOry(t, at({ submit: () => void child.kill(signal) }))
      const child = start(credentials(ory), ['--json'])
      const told = [child.stdout, child.stderr].map((stream) => text(stream ?? assert.fail()))
      assert.deepEqual(await once(child, 'close'), end)
      assert.deepEqual(await Promise.all(told), ['', ''])
    })
})

const THROWS = "() => { throw new Error('zebra') }"
const CLIENT = `import { Client } from ${JSON.stringify(import.meta.resolve('undici'))}\nClient`
const ITSELF = /^ory-login: error: ory-login itself failed \(\w*Error\)\n( {2}hint .*\n)+$/
// biome-ignore format: a table
const BROKEN: [what: string, script: string, args: string[], says: RegExp][] = [
  ['a client without destroy, as with Bun', `${CLIENT}.prototype.destroy = undefined`, [], ITSELF],
  ['a client whose destroy throws', `${CLIENT}.prototype.destroy = ${THROWS}`, ['--json'], ITSELF],
  ['what nobody catches', `AbortController.prototype.abort = ${THROWS}`, [],
    /^ory-login: error: ory-login itself failed/],
]
for (const [what, script, args, says] of BROKEN)
  test(`the program itself fails, by ${what}: no green`, async (t) => {
    const broken = ['--import', `data:text/javascript,${encodeURIComponent(script)}`]
    const outcome = await launch(t, {}, { command: [...nodeTsx, ...broken, PROGRAM] }, args)
    assert.equal(outcome.code, 1)
    assert.match(outcome.stderr, says)
    assertNoSecrets(outcome, 'zebra')
  })

// ---- The package

/** The word, maybe line breaks and comments, and a name; or a call, whatever that would load. */
function importsOf(source: string): string[] {
  const gap = String.raw`(?:\s|/\*[^]*?\*/|//.*\n)*`
  const named = String.raw`\b(?:from|import|require)${gap}(['"])(.*?)\1`
  const either = new RegExp(String.raw`${named}|\b(?:import|require)${gap}\(`, 'g')
  return [...source.matchAll(either)].map(([, , name = 'called']) => name)
}

test('the program is one file, which imports builtins, dotenv and undici alone', () => {
  // biome-ignore format: a table
  const samples = {
    x: ["import {\n  a,\n} from\n 'x'", "import/* from 'y' */'x'", "export * from // y\n'x'"],
    called: ["await import(\n'x')", 'require /**/ (x)', "import a = require('x')"],
  }
  for (const [name, sources] of Object.entries(samples))
    for (const source of sources) assert.deepEqual(importsOf(source), [name], source)
  const names = importsOf(read('src/ory-login.ts')).filter((name) => !/^node:(?!module)/.test(name))
  assert.deepEqual(names.sort(), ['dotenv', 'undici'])
  assert.deepEqual(fs.readdirSync(dirname(PROGRAM)), ['ory-login.ts'])
})

test('two packages are all that is installed to run it, on Node 20.18.1 and later', () => {
  const { packages } = JSON.parse(read('package-lock.json'))
  const installed = Object.keys(packages).filter((name) => !packages[name].dev)
  assert.deepEqual(installed, ['', 'node_modules/dotenv', 'node_modules/undici'])
  assert.deepEqual(packages[''].dependencies, MANIFEST.dependencies)
  assert.deepEqual([MANIFEST.type, MANIFEST.engines.node], ['module', '>=20.18.1'])
})

for (const place of ['src', 'test'])
  test(`no line in ${place} is longer than 100 columns`, () => {
    const names = fs.readdirSync(join(ROOT, place)).filter((name) => /\.m?[jt]s$/.test(name))
    for (const name of names)
      for (const [index, line] of read(`${place}/${name}`).split('\n').entries())
        assert.ok(line.length <= 100, `${name}:${index + 1}`)
  })
