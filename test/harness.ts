/**
 * The vocabulary of the tests: Ory's steps and recordings, servers and proxies on loopback, runs of
 * the program (as a function for whole runs, as a child for what only a process can show), and how
 * a verified login and a failure look.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import dns from 'node:dns'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import * as http from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { syncBuiltinESMExports } from 'node:module'
import { connect, createServer, isIP, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import timers from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual, stripVTControlCharacters } from 'node:util'
import { Headers } from 'undici'
import { type Line, main, type Reply } from '../src/ory-login.ts'

export const PROGRAM = fileURLToPath(new URL('../src/ory-login.ts', import.meta.url))
export const ROOT = join(dirname(PROGRAM), '..')
export const TSX = import.meta.resolve('tsx/esm')

/** The identifier, password, token, identity and session of the recordings. */
export const IDENT = 'demo@example.com'
export const PASS = 'demo-only-password'
export const TOKEN = 'ory_st_4zWKh7TUgnoCa657qku8dquN5THasM2R'
export const IDENTITY = 'ffa60abd-2019-440f-8909-c58fdefc88a7'
export const SESSION = '5e8a6878-d6c0-4fd5-a175-ed57434efa7d'
export const TWO_LINES = `token: ory_st_4zWKh7TUgnoCa657q…\nidentity_id: ${IDENTITY}\n`

// ---- Ory's steps, and answers to them

export const STEPS = {
  start: { name: 'start login flow', method: 'GET', path: '/self-service/login/api' },
  submit: { name: 'submit credentials', method: 'POST', path: '/self-service/login' },
  whoami: { name: 'verify session', method: 'GET', path: '/sessions/whoami' },
  logout: { name: 'log out', method: 'DELETE', path: '/self-service/logout/api' },
} as const
export type Step = keyof typeof STEPS
export const ALL_STEPS = ['start', 'submit', 'whoami', 'logout'] as const
export const LOGIN_STEPS = ALL_STEPS.slice(0, 3)

export interface Answer {
  status: number
  headers?: Record<string, string | string[]>
  /** An object goes out as JSON, a string or bytes as they are. */
  body?: unknown
}

/** A request that arrived. */
export interface Seen {
  method: string
  path: string
  headers: http.IncomingHttpHeaders
  body: string
}

/** What to do with a request: answer it, or handle the response yourself and give nothing. */
export type Behaviour = (seen: Seen, response: http.ServerResponse) => Answer | undefined

/** Which step a request is, below any path prefix. */
export const stepOf = ({ method, path }: Pick<Seen, 'method' | 'path'>): Step | undefined =>
  ALL_STEPS.find((step) => {
    const { method: ofStep, path: end } = STEPS[step]
    return ofStep === method && path.replace(/\?.*/s, '').endsWith(end)
  })

interface Exchange {
  request: { method: string; path: string; headers?: Record<string, string>; body?: unknown }
  response: Answer
}

/** Reads a recording of a running Ory Kratos v26.2.0. */
export function recording(name: string): Exchange[] {
  const file = new URL(`recordings/${name}.json`, import.meta.url)
  return JSON.parse(readFileSync(file, 'utf8')).exchanges
}

/** The answers of a recording, by step. */
export const recorded = (name: string): Partial<Record<Step, Answer>> =>
  Object.fromEntries(recording(name).map(({ request, response }) => [stepOf(request), response]))

const success = { ...recorded('logout'), ...recorded('success') }
const answerOf = (step: Step): Answer => success[step] ?? assert.fail(step)
/** An old flow is what a cache answers with. */
const expires_at = '2999-01-01T00:00:00Z'
/** The recorded answers of a login that is verified, and logged out. */
export const SUCCESS: Record<Step, Answer> = {
  start: { ...answerOf('start'), body: { ...Object(answerOf('start').body), expires_at } },
  submit: answerOf('submit'),
  whoami: answerOf('whoami'),
  logout: answerOf('logout'),
}
/** The body of one of them, with changes. */
export const bodyOf = (step: Step, changes: object = {}): object =>
  Object.assign({}, SUCCESS[step].body, changes)

export const answer = (status: number, body: unknown = '', headers = {}): Answer => {
  return { status, headers, body }
}
/** An error of Ory's. */
export const error = (code: number, reason: string, more = {}, headers = {}): Answer =>
  answer(code, { error: { code, reason, ...more } }, headers)
/** A page of somebody else. */
export const page = (status: number, text = 'Stop', headers = {}): Answer =>
  answer(status, `<!doctype html>\n<title>\n${text}</title><h1>No</h1>`, headers)

/** A form of Ory's; and one with a message. */
export const formOf = (ui: object, more = {}, status = 400): Answer =>
  answer(status, bodyOf('start', { ui, ...more }))
export const form = (id: unknown, text = 'A.', more = {}, status = 400): Answer =>
  formOf({ messages: [{ id, text }], nodes: [] }, more, status)

/** The reply that the program has of an answer: of text that is JSON, with what follows a line. */
export function replyOf({ status, headers = {}, body = '' }: Answer): Reply {
  const all = Object.entries(headers).map(([name, value]): [string, string] => [name, `${value}`])
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const [first = '', rest = ''] = text.split(/\n(?=\{)/)
  const parsed = /^\{.*\}$/.test(first) ? { json: JSON.parse(first), rest } : {}
  return { status, code: '', headers: new Headers(all), text, ...parsed }
}

/** What people see of a line; a line as it is written above the list; and one that is read. */
export const gotOf = ({ came, facts, ids, said }: Line): string =>
  `${[came, ...facts, ...ids].join(' ')}: ${said}`
export const writeLine = (line: Line): string => `${line.who} ${line.step} ${gotOf(line)}`
export function parseLine(who: Line['who'], step: Step, got: string): Line {
  const [, came = '', more = '', said = ''] = /^(\S+?)( .*?)?(?:: (.*))?$/.exec(got) ?? []
  const words = more.split(' ').filter(Boolean)
  const facts = words.filter((word) => /:|firewall/.test(word))
  const ids = words.filter((word) => !facts.includes(word))
  return { who, step, came, facts, ids, said, newBaseUrl: 'http://new' }
}

/** Behaves as told at some steps, and else as recorded; what is no step gets a 404. */
export const at =
  (steps: Partial<Record<Step, Answer | Behaviour>>): Behaviour =>
  (seen, response) => {
    const step = stepOf(seen)
    if (!step) return { status: 404, body: 'not a path of Ory' }
    const told = step in steps ? steps[step] : SUCCESS[step]
    return typeof told === 'function' ? told(seen, response) : told
  }

const isFor = ({ request }: Exchange, { method, path, headers, body }: Seen): boolean =>
  request.method === method &&
  request.path === path &&
  (request.headers?.['x-session-token'] ?? headers['x-session-token']) ===
    headers['x-session-token'] &&
  isDeepStrictEqual(request.body, body === '' ? undefined : JSON.parse(body))

/** Answers as recorded where a request is the recorded one, whole; else as Kratos refuses it. */
export function replay(...names: string[]): Behaviour {
  const exchanges = names.flatMap(recording)
  const others = { start: '', submit: 'wrong-password', whoami: 'invalid-token' } as const
  const refusal = (seen: Seen) =>
    ({ ...others, logout: 'logout-unknown-token' })[stepOf(seen) ?? 'start']
  return (seen) =>
    exchanges.find((exchange) => isFor(exchange, seen))?.response ??
    recording(refusal(seen) || 'wrong-path').at(-1)?.response
}

/** For the name of a test: a value, of which a long middle is left out. */
export const brief = (value: unknown): string =>
  String(JSON.stringify(value)).replace(/^(.{90}).{9,}(.{40})$/s, '$1…$2')

// ---- Servers and proxies on loopback

/** What a test has to end what it started: its own context. */
type Ends = { after: (end: () => unknown) => void }

async function listen(server: Server, t: Ends): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => server.close())
  const address = server.address()
  return typeof address === 'object' && address ? address.port : assert.fail('no port')
}

/** Starts a stand-in for Ory, with TLS where told so, that remembers what it saw. */
export async function startOry(t: Ends, behaviour: Behaviour = at({}), tls?: object) {
  const seen: Seen[] = []
  const contacts: number[] = []
  const serve = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    const { method = '', url: path = '', headers } = request
    const arrived = { method, path, headers, body: await text(request) }
    seen.push(arrived)
    const answer = behaviour(arrived, response)
    if (!answer) return
    const { status, body, headers: extra } = answer
    const isRaw = typeof body === 'string' || Buffer.isBuffer(body) || body === undefined
    const type = isRaw ? {} : { 'content-type': 'application/json' }
    response.writeHead(status, { ...type, ...extra }).end(isRaw ? body : JSON.stringify(body))
  }
  const server = tls ? createTlsServer(tls, serve) : http.createServer(serve)
  server.on('connection', () => contacts.push(performance.now()))
  t.after(() => server.closeAllConnections())
  const port = await listen(server, t)
  /** How many requests of a step came. */
  const count = (step: Step) => seen.filter((each) => stepOf(each) === step).length
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    server,
    seen,
    contacts,
    count,
  }
}
export type Ory = Awaited<ReturnType<typeof startOry>>

/** Starts a server that does as told with each connection, and counts them. */
export async function startRaw(t: Ends, habit: (socket: Socket) => void) {
  const contacts: number[] = []
  const server = createServer((socket) => {
    contacts.push(performance.now())
    t.after(() => socket.destroy())
    habit(socket.on('error', () => {}))
  })
  const port = await listen(server, t)
  return { url: `http://127.0.0.1:${port}`, port, contacts }
}

/** Reads the head of what a client sends, and hands it over, once. */
const onHead = (socket: Socket, then: (head: string) => void): void => {
  let head = ''
  const read = (bytes: Buffer) => {
    head += bytes.toString('latin1')
    if (!head.includes('\r\n\r\n')) return
    socket.off('data', read).pause()
    then(head)
  }
  socket.on('data', read)
}

const join2 = (one: Socket, other: Socket): void => {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const)
    from
      .on('error', () => to.destroy())
      .on('close', () => to.destroy())
      .pipe(to)
}

/** What a proxy does with a request; the head is that of a CONNECT, or of a plain request. */
export type Habit = (socket: Socket, head: string) => void
/** Refuses, or says whatever. */
export const answerWith =
  (status: string, body = ''): Habit =>
  (socket) =>
    socket.end(`HTTP/1.1 ${status}\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
/** Goes to the port that is asked for, on loopback, whatever the host: only the proxy knows it. */
export const forward: Habit = (socket, head) => {
  const isTunnel = head.startsWith('CONNECT ')
  const [, port] = /:(\d+)/.exec(head.split(' ')[1] ?? '') ?? []
  const upstream = connect(Number(port), '127.0.0.1')
  if (isTunnel) socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
  else upstream.write(head.replace(/ http:\/\/[^/]+/, ' '), 'latin1')
  join2(socket, upstream)
}

/**
 * Starts a proxy that remembers the heads it got. A plain request is forwarded once a connection:
 * what follows on it goes the same way.
 */
export async function startProxy(t: Ends, habit: Habit = forward) {
  const heads: string[] = []
  const { url, port, contacts } = await startRaw(t, (socket) =>
    onHead(socket, (head) => {
      heads.push(head)
      habit(socket, head)
    }),
  )
  return { url, port, contacts, heads }
}

/** What comes of a look-up: addresses, or the code of an error. */
type Found = readonly string[] | string
/**
 * From now on, a name that ends in .test leads to 127.0.0.1, or wherever it is told, for this
 * process alone. Each look-up of one is kept in the list that this returns.
 */
export function nameServer(find: (name: string, times: number) => Found = () => ['127.0.0.1']) {
  const names: string[] = []
  const real = dns.lookup
  type Then = (error: Error | null, addresses?: dns.LookupAddress[]) => void
  const lookup = (name: string, options: dns.LookupOptions, then: Then) => {
    if (!name.endsWith('.test')) return Reflect.apply(real, dns, [name, options, then])
    names.push(name)
    const found = find(name, names.filter((each) => each === name).length)
    if (typeof found === 'string')
      return setImmediate(then, Object.assign(Error(`made for a test of ${name}`), { code: found }))
    const addresses = found.map((address) => ({ address, family: isIP(address) }))
    return setImmediate(then, null, addresses)
  }
  Object.assign(dns, { lookup })
  return names
}

/**
 * From now on the program's time is the test's, in this process alone, however busy it is:
 * a wait between two tries passes at once, and so does the grace for whoever reads the output, but
 * the time of --timeout is up when the test says so. What was asked for is kept, in ms.
 */
export function ownTime() {
  const time = { limits: [] as number[], waits: [] as number[], graces: [] as number[], isUp() {} }
  let passed = 0
  const now = performance.now.bind(performance)
  const sleep = (ms: number, value?: unknown, options?: { signal?: AbortSignal }) =>
    new Promise((resolve) => {
      const pass = () => {
        passed += ms
        resolve(value)
      }
      const kind = options ? (options.signal ? 'limits' : 'graces') : 'waits'
      time[kind].push(ms)
      if (kind === 'limits') time.isUp = pass
      else if (kind === 'waits') pass()
      else setImmediate(resolve, value)
    })
  Object.assign(performance, { now: () => now() + passed })
  Object.assign(timers, { setTimeout: sleep })
  syncBuiltinESMExports()
  return time
}

/** A port where nothing listens, and that no server is given by chance, as a free one could be. */
export const CLOSED_PORT = 2

// ---- Runs

/** An empty folder; or one with a .env. */
export function folder(dotenv?: string | Buffer): string {
  const path = mkdtempSync(join(tmpdir(), 'ory-login test '))
  if (dotenv !== undefined) writeFileSync(join(path, '.env'), dotenv)
  return path
}

// No .env, proxy or setting of the person who runs the tests must change what they see.
process.chdir(folder())
for (const name of Object.keys(process.env))
  if (/^(.*_proxy|DOTENV_.*|BASE_URL|IDENT|PASS|npm_config_.*|NODE_EXTRA.*)$/i.test(name))
    delete process.env[name]

export type Variables = Record<string, string>
export const credentials = ({ url }: { url: string }): Variables => ({ BASE_URL: url, IDENT, PASS })

export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
  /** How long it took, in ms. */
  ms: number
}

/** What is said while waiting depends on how busy the machine is; it has a test of its own. */
const isPrompt = (line: string): boolean => !line.includes('no answer yet after')

/** One whole run of main. */
export async function run(env: Variables, ...args: string[]): Promise<Outcome> {
  const began = performance.now()
  let [stdout, stderr] = ['', '']
  const print = async (told: string) => {
    stdout += told
  }
  const say = async (told: string) => {
    if (isPrompt(told)) stderr += `${told}\n`
  }
  const code = await main(args, env, { print, say })
  return { code, stdout, stderr, ms: performance.now() - began }
}

/** One login against a server that behaves as told at some steps, and else as recorded. */
export async function login(
  t: Ends,
  steps: Partial<Record<Step, Answer | Behaviour>> = {},
  env: Variables = {},
  ...args: string[]
) {
  const ory = await startOry(t, at(steps))
  return { ...(await run({ ...credentials(ory), ...env }, ...args)), ory }
}

export interface ChildOptions {
  cwd?: string
  /** What runs: node with tsx and the program, unless told otherwise. */
  command?: readonly string[]
  stdout?: 'pipe' | number
  /** Ends it where it does not end by itself. */
  killAfterMs?: number
}

/** Starts the real program. Its environment is the given one and what any process needs. */
export function start(env: Variables, args: readonly string[], options: ChildOptions = {}) {
  const { cwd = folder(), stdout = 'pipe', killAfterMs = 120_000 } = options
  const [file = '', ...first] = options.command ?? [process.execPath, '--import', TSX, PROGRAM]
  const { PATH = '', SystemRoot = '', TEMP = tmpdir() } = process.env
  return spawn(file, [...first, ...args], {
    cwd,
    env: { PATH, SystemRoot, TEMP, ...env },
    stdio: ['ignore', stdout, 'pipe'],
    timeout: killAfterMs,
    killSignal: 'SIGKILL',
  })
}

/** The real program as a child process, to its end. */
export async function program(
  env: Variables,
  args: readonly string[] = [],
  options?: ChildOptions,
) {
  const began = performance.now()
  const child = start(env, args, options)
  const read = async (stream: typeof child.stdout) => (stream ? text(stream) : '')
  const ended = once(child, 'close')
  const [stdout, stderr] = await Promise.all([read(child.stdout), read(child.stderr)])
  const [code, killedBy]: (number | string | null)[] = await ended
  assert.equal(killedBy, null, `killed: ${stderr}`)
  const told = stderr.split('\n').filter(isPrompt).join('\n')
  return { code: Number(code), stdout, stderr: told, ms: performance.now() - began }
}

// ---- How a verified login and a failure look

/** Verified: two lines on stdout, and nothing on stderr but what is named. */
export function assertVerified({ code, stdout, stderr }: Outcome, says: RegExp = /^$/): void {
  assert.deepEqual([code, stdout], [0, TWO_LINES], stderr)
  assert.match(stderr, says)
}

const LABELS = ['step', 'expected', 'got', 'hint', 'log id'] as const
/** The report of a failure, by its labels; of several hints, a line each. */
export function reportOf({ stderr }: Pick<Outcome, 'stderr'>) {
  const [, error = assert.fail(stderr), rows = ''] =
    /^ory-login: error: (.+)\n((?: {2}.*\n)*)/m.exec(stderr) ?? []
  const of = (label: string) =>
    [...rows.matchAll(RegExp(`^ {2}${label.padEnd(9)} (.+)$`, 'gm'))].map(([, text]) => text)
  const [step, expected, got, hint, logId] = LABELS.map((label) => of(label).join('\n'))
  return { error, step, expected, got, hint, logId, lines: rows.trimEnd().split('\n') }
}

/**
 * Failed: nothing on stdout (but after a login that was verified), and on stderr plain text: maybe
 * notes, then what is wrong, the evidence, and hints. No secret.
 */
export function assertFailed(
  outcome: Outcome,
  code: number,
  step: string,
  ...says: RegExp[]
): void {
  const { stdout, stderr } = outcome
  assert.equal(outcome.code, code, stderr)
  if (!stdout.startsWith('{')) assert.equal(stdout, step === 'logout' ? TWO_LINES : '')
  const { error, lines, ...report } = reportOf(outcome)
  assert.ok(lines.length >= 1, error)
  for (const line of lines) assert.match(line, /^ {2}(step|expected|got|hint|log id) +\S/)
  assert.ok(report.hint && report.hint.length > 8, stderr)
  const isOfStep = step in STEPS
  const name = isOfStep ? `${STEPS[step as Step].name}: ` : ''
  assert.ok(report.step?.startsWith(name), stderr)
  for (const text of [report.step, report.expected, report.got])
    assert.equal(Boolean(text), isOfStep)
  const notes = stderr.split('\n').slice(0, -lines.length - 2)
  for (const line of notes) assert.match(line, /^ory-login: note: \S/)
  for (const line of stderr.split('\n')) {
    assert.doesNotMatch(line, /[\p{C}\p{Zl}\p{Zp}]|##/u)
    assert.ok(line.length <= 600, line)
  }
  assert.equal(stripVTControlCharacters(stderr), stderr)
  for (const pattern of says) assert.match(stderr, pattern)
  assertNoSecrets(outcome, PASS, TOKEN)
  assert.doesNotMatch(stderr, /\bbug\b|^\s+at /m)
}

export function assertNoSecrets({ stdout, stderr }: Outcome, ...secrets: string[]): void {
  for (const secret of secrets) assert.ok(!`${stdout}${stderr}`.includes(secret), stdout + stderr)
}

/** The notes of a run: retries, defaults, waiting. */
export const notesOf = ({ stderr }: Outcome): string[] =>
  stderr.split('\n').filter((line) => line.startsWith('ory-login: note: '))
