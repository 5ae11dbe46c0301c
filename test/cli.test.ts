/** The program as a process: exit codes, options, the ways to run it, its streams and signals, and its package. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { parse as parseDotenv } from 'dotenv'
import {
  credentials,
  emptyFolder,
  IDENT,
  type Outcome,
  PASS,
  PROGRAM,
  program,
  run,
  TOKEN,
  TSX,
  TWO_LINES,
} from './harness.ts'
import { type Behaviour, replay, type StandIn, standIn } from './stand-in.ts'

const ROOT = join(dirname(PROGRAM), '..')
const MANIFEST = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
const isWindows = process.platform === 'win32'
const succeed = replay('success')
const SECRET = 'hunter2-zebra'

async function serve(t: TestContext, behaviour: Behaviour = succeed): Promise<StandIn> {
  const server = await standIn(behaviour)
  t.after(server.close)
  return server
}

const verified = ({ code, stdout, stderr }: Pick<Outcome, 'code' | 'stdout' | 'stderr'>): void =>
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: TWO_LINES, stderr: '' })

/** Starts the program with streams of one's own. */
function start(env: Record<string, string>, args: string[], stdout: 'pipe' | number = 'pipe') {
  const { PATH = '', SystemRoot = '', TEMP = tmpdir() } = process.env
  return spawn(process.execPath, ['--import', TSX, PROGRAM, ...args], {
    cwd: emptyFolder(),
    env: { PATH, SystemRoot, TEMP, ...env },
    stdio: ['ignore', stdout, 'pipe'],
  })
}

// ---- Exit codes

const wrongSlug: Behaviour = () => ({
  status: 404,
  headers: { 'content-type': 'text/plain' },
  body: '404 page not found\n',
})
const rateLimit: Behaviour = () => ({ status: 429, headers: { 'retry-after': '3600' }, body: { error: { code: 429 } } })
const FAILURES: [
  exitCode: number,
  what: string,
  behaviour: Behaviour,
  env: Record<string, string>,
  args: string[],
  first: RegExp,
][] = [
  [
    1,
    'an answer that is not what Ory promises',
    wrongSlug,
    {},
    [],
    /^ory-login: start login flow: GET http:\S+\/self-service\/login\/api\n.*404/,
  ],
  [2, 'wrong usage', succeed, {}, ['--nonsense'], /^ory-login: read options: .*--nonsense/],
  [2, 'a wrong configuration', succeed, { PASS: '' }, [], /^ory-login: read configuration: .*PASS/],
  [
    3,
    'a refused login',
    succeed,
    { PASS: SECRET },
    [],
    /^ory-login: submit credentials: POST http:\S+\/self-service\/login\n.*400 4000006/,
  ],
  [4, 'no answer in time', () => undefined, {}, ['--timeout', '0.5'], /^ory-login: start login flow: GET .*\n.*0\.5/],
  [4, 'a rate limit', rateLimit, {}, [], /^ory-login: start login flow: GET .*\n.*429.*3600 s/],
]
test('exit code 0: verified, with two lines on stdout and nothing on stderr', async (t) => {
  const server = await serve(t)
  verified(await program(credentials(server.url), []))
  assert.equal(server.seen.length, 3)
})
for (const [exitCode, what, behaviour, env, args, first] of FAILURES)
  test(`exit code ${exitCode}: ${what}, with nothing on stdout, and what to do on stderr`, async (t) => {
    const server = await serve(t, behaviour)
    const { code, killedBy, stdout, stderr } = await program({ ...credentials(server.url), ...env }, args)
    assert.deepEqual({ code, killedBy, stdout }, { code: exitCode, killedBy: null, stdout: '' }, stderr)
    assert.match(stderr, first)
    assert.match(stderr, /^(ory-login: .+\n)+$/)
    assert.match(stderr, /\node?ory-login: hint: .+\n$|\nory-login: hint: .+\n$/)
    assert.ok(![SECRET, PASS, TOKEN].some((secret) => stderr.includes(secret)), stderr)
    assert.equal(server.connections() > 0, exitCode !== 2)
  })

// ---- Options

const HELPS = {
  '--help': (env: Record<string, string>) => program(env, ['--help']),
  '-h': (env: Record<string, string>) => run(env, '-h'),
}
for (const [option, runHelp] of Object.entries(HELPS))
  test(`${option} tells every option, variable and exit code, whatever the configuration`, async (t) => {
    const server = await serve(t)
    const { code, stdout, stderr } = await runHelp({ BASE_URL: server.url, IDENT: ' ', PASS: '' })
    assert.deepEqual([code, stderr, server.connections()], [0, '', 0])
    assert.match(stdout, /^Usage: /)
    for (const name of ['timeout', 'logout', 'json', 'verbose', 'help', 'version'])
      assert.match(stdout, new RegExp(`^ .*--${name}\\b`, 'm'))
    assert.match(stdout, /-h\b/)
    for (const name of ['BASE_URL', 'IDENT', 'PASS']) assert.match(stdout, new RegExp(`^ +${name} .+`, 'm'))
    assert.deepEqual(
      [...stdout.matchAll(/^ +(\d) +\S.+$/gm)].map(([, digit]) => digit),
      ['0', '1', '2', '3', '4'],
    )
    for (const fact of ['.env', 'http://127.0.0.1:4433', IDENT, PASS, '3600', '(30)'])
      assert.ok(stdout.includes(fact), fact)
    assert.ok(stdout.endsWith('\n') && stdout.split('\n').every((line) => line.length <= 120))
  })

test('--version prints the version of package.json', async () => {
  const { code, stdout, stderr } = await program({ PASS: '' }, ['--version'])
  assert.deepEqual([code, stdout, stderr], [0, `${MANIFEST.version}\n`, ''])
})

for (const args of [['0.5'], ['3600'], ['.5'], ['1'], ['007'], ['3600.0'], ['9', '--timeout=8']])
  test(`--timeout ${args.join(' ')} is taken`, async (t) => {
    const server = await serve(t)
    verified(await run(credentials(server.url), '--timeout', ...args))
  })

// Whatever is not taken: exit 2, two lines, and nothing sent. No message quotes SECRET.
const NOT_TAKEN: string[][] = [
  ...['0', '0.0', '-1', '3601', '3600.1', 'abc', '', ' ', ' 5', '1e3', '+5', '5s', '0x10', '1,5', '٥'].flatMap(
    (value) => [['--timeout', value], [`--timeout=${value}`]],
  ),
  ...['NaN', 'Infinity', '-Infinity', '-0', '1_000', '5.5.5', '.', SECRET].map((value) => [`--timeout=${value}`]),
  ['--timeout'],
  ['--timeout', '--json'],
  ['--nonsense'],
  [`--nonsense=${SECRET}`],
  ['--nonsense', SECRET],
  [`--password=${SECRET}`],
  ['-x'],
  [`-p${SECRET}`],
  ['-hx'],
  [`--help=${SECRET}`],
  ['--no-help'],
  ['--Help'],
  ['--TIMEOUT', '5'],
  ['--help', '--nonsense'],
  ['--version', SECRET],
  [SECRET],
  ['', '--verbose'],
  ['-'],
  ['--', SECRET],
  ['--', '--help'],
  ['--timeout', '5', SECRET],
  ['--verbose', SECRET, '--logout'],
  [`pass ${SECRET}`, 'x'],
]
for (const args of NOT_TAKEN)
  test(`${JSON.stringify(args)} is wrong usage, and points to --help`, async (t) => {
    const server = await serve(t)
    const { code, stdout, stderr } = await run(credentials(server.url), ...args)
    if (args.includes('--json')) assert.deepEqual([JSON.parse(stdout).ok, JSON.parse(stdout).exit_code], [false, 2])
    else assert.equal(stdout, '')
    assert.equal(code, 2)
    assert.match(stderr, /^ory-login: read options: .+\nory-login: hint: .*--help\b.*\n$/)
    assert.ok(!(stdout + stderr).includes(SECRET), stderr)
    assert.equal(server.connections(), 0)
  })

for (const args of [[`--${SECRET}`], [`--${SECRET}=1`], ['--timeout', `--${SECRET}`], [SECRET]])
  test(`an argument that holds the value of PASS is not shown: ${JSON.stringify(args)}`, async () => {
    for (const pass of [SECRET, `--${SECRET}`]) {
      const { code, stdout, stderr } = await run({ IDENT, PASS: pass }, ...args)
      assert.deepEqual([code, stdout, stderr.includes(SECRET)], [2, '', false], stderr)
    }
  })

test('wrong usage comes before a wrong configuration', async () => {
  const { code, stdout, stderr } = await run({ BASE_URL: 'wrong', PASS: '' }, '--nonsense')
  assert.deepEqual([code, stdout], [2, ''])
  assert.match(stderr, /^ory-login: read options: /)
})

// ---- The ways to run

/** A copy of the project in a folder with a space and other odd characters in its path. */
function copyProject(): string {
  const folder = join(emptyFolder(), "it's 100% a #1 änd space")
  mkdirSync(folder)
  cpSync(dirname(PROGRAM), join(folder, 'src'), { recursive: true })
  cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction')
  return folder
}

/** A link to the project's folder: a junction needs no right on Windows. */
function linkProject(): string {
  const link = join(emptyFolder(), 'a link')
  symlinkSync(ROOT, link, 'junction')
  return link
}

const WAYS: [what: string, command: () => string[]][] = [
  ['node --import tsx', () => ['--import', TSX, PROGRAM]],
  ['the tsx program', () => [join(ROOT, 'node_modules/tsx/dist/cli.mjs'), PROGRAM]],
  ['a path with a space', () => ['--import', TSX, join(copyProject(), 'src/ory-login.ts')]],
  ['a link to its folder', () => ['--import', TSX, join(linkProject(), 'src/ory-login.ts')]],
  [
    'a link to its folder that Node is told to preserve',
    () => ['--preserve-symlinks', '--preserve-symlinks-main', '--import', TSX, join(linkProject(), 'src/ory-login.ts')],
  ],
  [
    'a link to the file',
    () => {
      const link = join(emptyFolder(), 'ory-login.ts')
      // On Windows a link to a file needs a right that a junction does not need.
      if (isWindows) return ['--import', TSX, join(linkProject(), 'src', 'ory-login.ts')]
      symlinkSync(PROGRAM, link)
      return ['--import', TSX, link]
    },
  ],
]
for (const [what, command] of WAYS)
  test(`it runs through ${what}, from any working directory`, async (t) => {
    const server = await serve(t)
    verified(await program(credentials(server.url), [], { command: command() }))
    assert.equal(server.seen.length, 3)
  })

test('it runs by a relative path, and reads the .env of the working directory, not one beside the program', async (t) => {
  const server = await serve(t)
  const folder = copyProject()
  const cwd = join(folder, 'below')
  mkdirSync(cwd)
  for (const place of [folder, join(folder, 'src')]) writeFileSync(join(place, '.env'), 'PASS=beside\nIDENT=\n')
  writeFileSync(join(cwd, '.env'), `BASE_URL=${server.url}\nIDENT=${IDENT}\nPASS='${PASS}'\n`)
  verified(await program({}, [], { cwd, command: ['--import', TSX, join('..', 'src', 'ory-login.ts')] }))
})

test('plain node runs it where Node strips types; an older Node says that it cannot', async (t) => {
  const server = await serve(t)
  const { code, stdout, stderr } = await program(credentials(server.url), [], { command: [PROGRAM] })
  if ('typescript' in process.features && process.features.typescript) {
    // Some versions of Node announce that this is an experiment.
    verified({ code, stdout, stderr: stderr.replace(/^.*(ExperimentalWarning|--trace-warnings).*\n/gm, '') })
  } else {
    assert.deepEqual([code, stdout, server.connections()], [1, '', 0])
    assert.match(stderr, /ERR_UNKNOWN_FILE_EXTENSION/)
    assert.doesNotMatch(stderr, /^ory-login/m)
  }
})

const IMPORT = `const program = await import(${JSON.stringify(pathToFileURL(PROGRAM).href)})
console.log(typeof program.main, program.VERSION)\n`
const IMPORTS: [what: string, command: () => string[]][] = [
  [
    'a module',
    () => {
      const module = join(emptyFolder(), 'module.mjs')
      writeFileSync(module, IMPORT)
      return [module]
    },
  ],
  ['code on the command line', () => ['--input-type=module', '--eval', IMPORT]],
  ['code on the command line with an argument', () => ['--input-type=module', '--eval', IMPORT, '--', 'argument']],
]
for (const [what, command] of IMPORTS)
  test(`importing it from ${what} runs nothing and prints nothing`, async (t) => {
    const server = await serve(t)
    const outcome = await program(credentials(server.url), [], { command: ['--import', TSX, ...command()] })
    assert.deepEqual(
      [outcome.code, outcome.stdout, outcome.stderr, server.connections()],
      [0, `function ${MANIFEST.version}\n`, '', 0],
    )
  })

// ---- Streams

const LOST: [what: string, pass: string, args: string[], exitCode: number, broken: 'closed' | 'full'][] = [
  ['the two lines', PASS, [], 1, 'closed'],
  ['the help', PASS, ['--help'], 1, 'closed'],
  ['the two lines', PASS, [], 1, 'full'],
  ['the JSON', PASS, ['--json'], 1, 'full'],
  ['the JSON of a refused login', 'wrong', ['--json'], 3, 'full'],
]
for (const [what, pass, args, exitCode, broken] of LOST)
  test(`${what} on a ${broken} stdout: exit code ${exitCode}, and stderr says why`, async (t) => {
    const server = await serve(t)
    // Only Linux has a full disk to try; elsewhere it is a pipe that nobody reads.
    const full = broken === 'full' && process.platform === 'linux' ? openSync('/dev/full', 'w') : undefined
    const child = start({ ...credentials(server.url), PASS: pass }, args, full ?? 'pipe')
    if (full !== undefined) closeSync(full)
    child.stdout?.destroy()
    assert.ok(child.stderr)
    const [[code], stderr] = await Promise.all([once(child, 'close'), text(child.stderr)])
    assert.equal(code, exitCode, stderr)
    assert.match(stderr, /^(ory-login: .+\n)+$/)
    assert.match(stderr, exitCode === 1 ? /^ory-login: print result: .*\n.*hint: .*stdout/ : /4000006/)
  })

for (const [exitCode, pass] of [
  [0, PASS],
  [3, 'wrong'],
] as const)
  test(`a closed stderr leaves exit code ${exitCode} and stdout as they are`, async (t) => {
    const server = await serve(t)
    const child = start({ ...credentials(server.url), PASS: pass }, ['--verbose'])
    child.stderr?.destroy()
    assert.ok(child.stdout)
    const [[code, killedBy], stdout] = await Promise.all([once(child, 'close'), text(child.stdout)])
    assert.deepEqual([code, killedBy, stdout], [exitCode, null, exitCode === 0 ? TWO_LINES : ''])
  })

// ---- Signals

/** Sends a signal when told that it is time, and gives how the process ended, and how long that took, in ms. */
async function interrupt(env: Record<string, string>, isTime: (stderr: string) => boolean, arrival: Promise<void>) {
  const child = start(env, ['--timeout', '60'])
  let [stdout, stderr] = ['', '']
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk
  })
  const said = new Promise<void>((resolve) => {
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk
      if (isTime(stderr)) resolve()
    })
  })
  const closed = once(child, 'close')
  await Promise.race([said, arrival, closed])
  const began = performance.now()
  child.kill('SIGINT')
  const [code, killedBy] = await closed
  return { code, killedBy, stdout, stderr, ms: performance.now() - began }
}

/** Ctrl-C. On Windows a process cannot be sent one: kill ends it, without a chance to say anything. */
function interrupted({ code, killedBy, stdout, ms }: Awaited<ReturnType<typeof interrupt>>): void {
  assert.equal(stdout, '')
  if (isWindows) assert.notEqual(code, 0)
  else assert.deepEqual([code, killedBy], [null, 'SIGINT'])
  assert.ok(ms < 5000, `${ms} ms`)
}

test('Ctrl-C while the server hangs ends it at once, killed by the signal', async (t) => {
  let arrive = () => {}
  const arrival = new Promise<void>((resolve) => {
    arrive = resolve
  })
  const server = await serve(t, (seen, response) => {
    if (seen.method !== 'POST') return succeed(seen, response)
    arrive()
    return undefined
  })
  const outcome = await interrupt(credentials(server.url), () => false, arrival)
  interrupted(outcome)
  assert.deepEqual([outcome.stderr, server.seen.length], ['', 2])
})

test('Ctrl-C while it waits for another attempt ends it at once, killed by the signal', async (t) => {
  const server = await serve(t, () => ({ status: 503, headers: { 'retry-after': '30' } }))
  const outcome = await interrupt(credentials(server.url), (stderr) => stderr.endsWith('\n'), new Promise(() => {}))
  interrupted(outcome)
  assert.match(outcome.stderr, /^ory-login: note: .*503.*\n$/)
  assert.equal(server.seen.length, 1)
})

// ---- The package

test('the package is private ESM for Node 20.18.1 and later, with dotenv and undici alone at run time', () => {
  const { private: isPrivate, type, engines, dependencies, scripts } = MANIFEST
  assert.deepEqual([isPrivate, type, engines], [true, 'module', { node: '>=20.18.1' }])
  assert.deepEqual(Object.keys(dependencies).sort(), ['dotenv', 'undici'])
  assert.match(dependencies.undici, /^\^?7\./)
  assert.match(dependencies.dotenv, /^\^?18\./)
  assert.equal(scripts.login, 'node --import tsx src/ory-login.ts')
})

test('the program is one file, which imports nothing of its own and only what is declared', () => {
  assert.deepEqual(readdirSync(dirname(PROGRAM)), ['ory-login.ts'])
  const source = readFileSync(PROGRAM, 'utf8')
  const packages = [...source.matchAll(/^import\b.* from '([^']+)'/gm)].map(([, from]) => from)
  assert.ok(packages.length > 5)
  for (const from of packages) assert.match(from ?? '', /^(node:[\w/]+|dotenv|undici)$/)
})

test('the lock file is that of this package.json', () => {
  const root = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages['']
  for (const key of ['name', 'version', 'dependencies', 'devDependencies', 'engines'])
    assert.deepEqual(root[key], MANIFEST[key], key)
})

test('.env.example, where it is there, has the three variables', () => {
  const path = join(ROOT, '.env.example')
  const example = existsSync(path) ? parseDotenv(readFileSync(path)) : { BASE_URL: '', IDENT: '', PASS: '' }
  assert.deepEqual(Object.keys(example).sort(), ['BASE_URL', 'IDENT', 'PASS'])
})
