/** The program as a process: the ways to start it, options, streams, signals, its own failures. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import * as harness from './harness.ts'
import { at, compiled, credentials, errorOf, PROGRAM, ROOT } from './harness.ts'

const { run, runChild, startOry, TWO_LINES } = harness
const node = [process.execPath]
const tsx = [...node, '--import', harness.TSX]
const isPosix = process.platform !== 'win32'
const REFUSED = harness.recorded('wrong-password')
/** Runs a script before the program. */
const first = (script: string) => ['--import', `data:text/javascript,${encodeURIComponent(script)}`]

// ---- The ways to start it

const PLACE = harness.folder()
const [link = '', other = '', copy = ''] = ['a b.mts', 'b.mts', 'c.mts'].map((x) => join(PLACE, x))
fs.symlinkSync(join(ROOT, 'node_modules'), join(PLACE, 'node_modules'), 'junction')
fs.copyFileSync(PROGRAM, copy)
for (const path of isPosix ? [link, other] : []) fs.symlinkSync(PROGRAM, path)
const switches = `import fs from 'fs'; fs.rmSync('${other}'); fs.symlinkSync('${copy}', '${other}')`
const runsTypes = Boolean(Reflect.get(process.features, 'typescript'))
const url = import.meta.resolve('../src/ory-login.ts')
const npx = [...node, join(ROOT, 'node_modules/tsx/dist/cli.mjs')]
const typed = '--input-type=module-typescript'
const stdin = ['sh', '-c', `cd '${ROOT}'; exec "$0" ${typed} - "$@" < src/ory-login.ts`, ...node]
// biome-ignore format: a table
const WAYS: [what: string, isThere: boolean, command: string[]][] = [
  ['npx tsx', true, [...npx, PROGRAM]], ['plain node', runsTypes, [...node, PROGRAM]],
  ['a link', isPosix, [...tsx, link]],
  ['a link that is switched meanwhile', isPosix, [...tsx, ...first(switches), other]],
  ['URL', process.allowedNodeEnvironmentFlags.has('--entry-url'), [...tsx, '--entry-url', url]],
  ['stdin', isPosix && runsTypes, stdin],
  ['npm run', isPosix, ['npm', '--prefix', ROOT, 'run', '-s', 'login', '--']],
  ['a runner such as vite-node', true, [...tsx, '-e', `import('${url}')`, '/a/file.ts']],
]
describe('it is run by', { concurrency: 3 }, () => {
  for (const [what, , command] of WAYS.filter(([, isThere]) => isThere))
    test(what, async (t) => {
      const env = credentials(await startOry(t))
      const { code, stdout, stderr } = await runChild(env, ['--logout'], { command })
      assert.deepEqual([code, stdout], [0, TWO_LINES], stderr)
      assert.equal((await runChild(env, ['--zebra'], { command })).code, 2)
    })
})

test('its importer alone can keep it from running, by a symbol', async () => {
  const name = 'ory-login: functions only'
  const symbol = first(`globalThis[Symbol.for('${name}')] = false`)
  const kept = await runChild({}, ['--zebra'], { command: [...node, ...symbol, compiled()] })
  assert.deepEqual(kept, { code: 0, stdout: '', stderr: '' })
  assert.equal((await runChild({ [name]: '1' }, [name])).code, 2)
})

// ---- Options, and GitHub Actions

test('--help tells every option, variable and exit code, in 80 columns', async () => {
  const { stdout } = await run({ BASE_URL: 'wrong', PASS: '' }, '--help')
  assert.deepEqual(await run({}, '-h'), { code: 0, stdout, stderr: '' })
  const told = stdout.match(
    /--[a-z]+|(?<=^ {2}(?! {2}).*)\b(?!JSON)[A-Z_]{4,}\b(?!=)|(?<=^ +)\d(?= )/gm,
  )
  const variables =
    'BASE_URL HEADERS HTTPS_PROXY HTTP_PROXY IDENT NODE_EXTRA_CA_CERTS NO_PROXY PASS'
  const words = `--help --json --logout --timeout --verbose --version 0 1 2 3 4 ${variables}`
  assert.equal([...new Set(told)].sort().join(' '), words)
  for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line)
})

test('what npm took for itself is noted, and --version is told', async () => {
  const env = { PASS: '', npm_config_logout: '1', npm_config_json: '1', npm_config_timeout: '1' }
  const { stdout, stderr } = await run(env, '--version')
  assert.equal(stdout, `${harness.program.VERSION}\n`)
  assert.deepEqual(stderr.match(/(?<=npm took --)\w+/g), ['logout', 'json', 'timeout'])
})

// A password may stand anywhere, and begin with dashes.
// biome-ignore format: a table
const OPTIONS: [error: RegExp, ...lines: string[]][] = [
  [/^$/, '--timeout 0.5', '--timeout 3600', '--timeout=.5', '--timeout 007', '--json --verbose'],
  [/^bad argument/, '--zebra=5', '-zebra', '--no-logout', '--HELP', 'zebra', '-hzebra', '-',
    '-- zebra', '--__proto__', '--logout=zebra', '--timeout 5 zebra'],
  [/^--timeout takes/, '--timeout', '--timeout --zebra', ...['0', '3601', '1e3', '0x9', '1,5', '',
    '+5', '-1', '5s', '.', '5.', 'zebra'].map((value) => `--timeout=${value}`)],
]
for (const [error, ...lines] of OPTIONS)
  for (const line of lines)
    test(`${line}: ${error}, and no argument is repeated`, async () => {
      const { code, stderr } = await run({}, '--version', ...line.split(' '))
      assert.match(errorOf({ stderr }), error)
      assert.deepEqual([code, stderr.includes('zebra')], [stderr ? 2 : 0, false])
    })

test('GitHub Actions gets one annotation, on one line, whatever is said', async (t) => {
  const said = '50%\n::error::a\r::error::b\u2028::error::c\u0085%0A::error::d ##[x]'
  const steps = { submit: harness.error(418, said) }
  const { stderr } = await harness.login(t, steps, { GITHUB_ACTIONS: 'true' })
  const [command = '', ...more] = stderr.match(/^\s*(::|##\[).*$/gm) ?? []
  assert.deepEqual([stderr.endsWith(`\n${command}\n`), more], [true, []])
  assert.match(command, /^::error title=ory-login::ory-login: error: .*%0A.*50%25 ::.*%250A/)
  for (const GITHUB_ACTIONS of ['false', '1'])
    assert.doesNotMatch((await harness.login(t, REFUSED, { GITHUB_ACTIONS })).stderr, /::/)
})

// ---- How it ends

const LIMIT = 'printf %2000s >a; ulimit -f 2; "$0" "$@" >>a'
const BLOCK = '{ head -c 2000000 /dev/zero 2>&- & "$0" "$@"; } | { sleep 3; tr -d "\\0"; }'
const UNREAD = '"$0" "$@" --verbose 2> >(true)'
const EXIT = 'process.on("exit", () => console.error(process.env.RES_OPTIONS,'
const TELLS = `${EXIT} Symbol.for('undici.globalDispatcher.1') in globalThis))` // once it is loaded
const node$ = (node: string) =>
  `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${node}' } });`
const OLD = /^ory-login: error: Node.js 20.18.1 or later .*\nundefined false\n$/
const CLIENT = `import { Client } from '${import.meta.resolve('undici')}'; Client.prototype`
const [USUAL, LOST] = ['"$0" "$@"', / stdout cannot be written\n/]
// biome-ignore format: a table
const ENDS: [code: number, what: string, stderr: RegExp, shell: string, steps?: harness.Steps,
  before?: string][] = [
  [0, 'verified', /^$/, USUAL], [2, 'usage', / PASS must not be empty\n/, `PASS= ${USUAL}`],
  [1, 'not Ory', / not Ory's API\n/, USUAL, { start: harness.page(404) }],
  [3, 'refused', / wrong password/, `${USUAL} --logout`, REFUSED],
  [4, 'time', / the server accepted/, `${USUAL} --timeout 2`, { start: harness.silence }],
  [0, 'a file', /^$/, `${USUAL} >a && cat a`],
  [0, 'a pipe, non-blocking, and full for a while', /^$/, BLOCK, {}, 'process.stdout'],
  [1, 'a pipe that nobody reads', LOST, `${USUAL} | true`],
  [1, 'a folder, which Node takes for nothing', LOST, `${USUAL} 1<.`],
  [1, 'a file that can take a part only', LOST, LIMIT],
  [1, 'a full disk', LOST, `${USUAL} >/dev/full`],
  [3, 'a full disk', / wrong password/, `${USUAL} --json >/dev/full`, REFUSED],
  [0, 'nobody reads stderr', /^$/, UNREAD], [3, 'nobody reads stderr', /^$/, UNREAD, REFUSED],
  [0, 'RES_OPTIONS unset', /^timeout:1 attempts:1 true\n$/, USUAL, {}, TELLS],
  [0, 'RES_OPTIONS set', /^rotate true\n$/, `RES_OPTIONS=rotate ${USUAL}`, {}, TELLS],
  [2, 'Node 9', OLD, USUAL, {}, node$('9.11.2') + TELLS],
  [2, 'Node 20.18.0', OLD, USUAL, {}, node$('20.18.0') + TELLS],
  [0, 'Node 20.18.1', /^$/, USUAL, {}, node$('20.18.1')],
  [1, 'a client without destroy', /^ory-.* itself failed.*\n$/, `${USUAL} >&2`, {},
    `${CLIENT}.destroy = undefined`],
  [1, 'a stdout that never says what it did', /^/, USUAL, {}, 'process.stdout.write = () => true'],
]
describe('exit code', { concurrency: 3, skip: !isPosix }, () => {
  for (const [code, what, told, shell, steps = {}, before = ''] of ENDS)
    test(`${code}: ${what}`, async (t) => {
      if (/full$/.test(shell) && !fs.existsSync('/dev/full')) return
      const command = ['bash', '-o', 'pipefail', '-c', shell, ...node, ...first(before), compiled()]
      const outcome = await runChild(credentials(await startOry(t, at(steps))), [], { command })
      assert.deepEqual([outcome.code, outcome.stdout], [code, code === 0 ? TWO_LINES : ''])
      assert.match(outcome.stderr, told)
    })

  /** Node as process 1 of a container, where signals do nothing by themselves. */
  const as1 = 'Object.defineProperty(process, "pid", { value: 1 })'
  // biome-ignore format: a table
  const signals = [['SIGTERM', '', null, 'SIGTERM'], ['SIGHUP', as1, 129, null],
    ['SIGINT', as1, 130, null], ['SIGTERM', as1, 143, null]] as const
  for (const [signal, before, ...end] of signals)
    test(`and signal ${end} after ${signal}, without a word`, async (t) => {
      const ory = await startOry(t, at({ submit: () => void child.kill(signal) }))
      const command = [...node, ...first(before), compiled()]
      const child = harness.start(credentials(ory), ['--json'], { command })
      const told = [child.stdout, child.stderr].map((stream) => text(stream ?? assert.fail()))
      assert.deepEqual([await once(child, 'close'), ...(await Promise.all(told))], [end, '', ''])
    })
})

test('it is one file, which imports builtins, dotenv and undici; 100 columns', () => {
  assert.deepEqual(fs.readdirSync(join(ROOT, 'src')), ['ory-login.ts'])
  const known = /(from|import\() ?'(node:(?!module)[\w/]+|dotenv|undici)'/
  for (const line of harness.read('src/ory-login.ts').split('\n'))
    if (/^import|\b(import|require)\(/.test(line)) assert.match(line, known)
  for (const place of ['src', 'test'])
    for (const name of fs.readdirSync(join(ROOT, place)).filter((name) => /\.m?ts$/.test(name)))
      for (const line of harness.read(`${place}/${name}`).split('\n'))
        assert.ok(line.length <= 100, `${name}: ${line}`)
})
