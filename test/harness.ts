/**
 * What the tests share: the program's functions, recorded answers of Ory, servers and proxies on
 * loopback, and runs of the program (in this process, or as a child).
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import * as http from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { transformSync } from 'esbuild'
import { Headers } from 'undici'
import type { Reply, Step } from '../src/ory-login.ts'

// The program runs when it is loaded, unless this says that only its functions are wanted.
Reflect.set(globalThis, Symbol.for('ory-login: functions only'), true)
export const program = await import('../src/ory-login.ts')

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
export const PROGRAM = join(ROOT, 'src/ory-login.ts')
export const TSX = import.meta.resolve('tsx/esm')
export const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

/** What the recordings have: identifier, password, token, identity and session; and its output. */
export const IDENT = 'demo@example.com'
export const PASS = 'demo-only-password'
export const TOKEN = 'ory_st_4zWKh7TUgnoCa657qku8dquN5THasM2R'
export const IDENTITY = 'ffa60abd-2019-440f-8909-c58fdefc88a7'
export const SESSION = '5e8a6878-d6c0-4fd5-a175-ed57434efa7d'
export const TWO_LINES = `token: ory_st_4zWKh7TUgnoCa657q…\nidentity_id: ${IDENTITY}\n`

// ---- Answers of Ory and of others

export type { Step }
export const { STEPS } = program
export const ALL_STEPS = ['start', 'submit', 'whoami', 'logout'] as const
export const LOGIN_STEPS = ['start', 'submit', 'whoami'] as const

export type Answer = {
  status: number
  headers?: Record<string, string | string[]>
  body?: unknown // an object goes out as JSON, a string or bytes as they are
}
export type Seen = {
  method: string
  path: string
  headers: http.IncomingHttpHeaders
  body: string
}
/** What to do with a request: answer it, or do something with the response and return nothing. */
export type Behaviour = (seen: Seen, response: http.ServerResponse) => Answer | undefined
export type Steps = Partial<Record<Step, Answer | Behaviour>>

/** Which step a request is, below any path prefix. */
export const stepOf = ({ method, path }: Pick<Seen, 'method' | 'path'>): Step | undefined =>
  ALL_STEPS.find(
    (step) => STEPS[step].method === method && path.split('?')[0]?.endsWith(STEPS[step].path),
  )

type Exchange = {
  request: { method: string; path: string; headers?: Record<string, string>; body?: unknown }
  response: Answer
}
/** A recording of a running Ory Kratos v26.2.0. */
export const recording = (name: string): Exchange[] =>
  JSON.parse(read(`test/recordings/${name}.json`)).exchanges
/** The answers of a recording, by step. */
export const recorded = (name: string): Partial<Record<Step, Answer>> =>
  Object.fromEntries(recording(name).map(({ request, response }) => [stepOf(request), response]))
/** Its last answer, which is the failure, and the step. */
export function lastOf(name: string): [Step, Answer] {
  const { request, response } = recording(name).at(-1) ?? assert.fail(name)
  return [stepOf(request) ?? assert.fail(name), response]
}

const answerOf = (name: string, step: Step): Answer => recorded(name)[step] ?? assert.fail(name)
/** The answers of a login that is verified, and logged out. */
export const SUCCESS: Record<Step, Answer> = {
  start: answerOf('success', 'start'),
  submit: answerOf('success', 'submit'),
  whoami: answerOf('success', 'whoami'),
  logout: answerOf('logout', 'logout'),
}
/** The body of one of them, with changes. */
export const bodyOf = (step: Step, changes: object = {}): object => ({
  ...Object(SUCCESS[step].body),
  ...changes,
})

export const answer = (status: number, body: unknown = '', headers = {}): Answer => {
  return { status, headers, body }
}
/** An error of Ory's. */
export const error = (code: number, reason: string, more = {}, headers = {}): Answer =>
  answer(code, { error: { code, status: 'Words', reason, ...more } }, headers)
/** A page of somebody else. */
export const page = (status: number, title = 'Stop', headers = {}): Answer =>
  answer(status, `<!doctype html>\n<title>\n${title}</title><h1>No</h1>`, headers)
/** A form of Ory's with a message. */
export const form = (id: unknown, text: string, more = {}, status = 400): Answer =>
  answer(status, bodyOf('start', { ui: { messages: [{ id, text }], nodes: [] }, ...more }))

/** Behaves as told at some steps, and else as recorded; what is no step gets a 404. */
export const at =
  (steps: Steps): Behaviour =>
  (seen, response) => {
    const step = stepOf(seen)
    const told = step && (step in steps ? steps[step] : SUCCESS[step])
    return typeof told === 'function' ? told(seen, response) : (told ?? answer(404, 'no step'))
  }
/** Does one thing after the other, and the last for ever. */
export const inTurn = (...told: (Answer | Behaviour)[]): Behaviour => {
  let count = 0
  return (...args) => {
    const next = told[Math.min(count++, told.length - 1)]
    return typeof next === 'function' ? next(...args) : next
  }
}
/** Closes the connection after some bytes. */
export const cut =
  (bytes = '', end: 'end' | 'destroy' | 'resetAndDestroy' = 'destroy'): Behaviour =>
  (_, { socket }) => {
    socket?.write(bytes, () => socket[end]())
    return undefined
  }
export const silence: Behaviour = () => undefined

/** For the name of a test: a value, of which a long middle is left out. */
export const brief = (value: unknown): string =>
  String(JSON.stringify(value)).replace(/^(.{90}).{9,}(.{40})$/s, '$1…$2')

/** An answer, as the program has it once it is read. */
export function replyOf({ status, headers = {}, body = '' }: Answer): Reply {
  const pairs = Object.entries(headers).map(([name, value]): [string, string] => [name, `${value}`])
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return program.readBody({ status, code: '', headers: new Headers(pairs), text, fact: '' })
}

// ---- Servers and proxies on loopback

/** What a test has to end what it started: its own context. */
export type Ends = { after: (end: () => unknown) => void }

async function listen(server: Server, t: Ends): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => server.close())
  const address = server.address()
  return typeof address === 'object' && address ? address.port : assert.fail('no port')
}

/** Starts a stand-in for Ory, with TLS where told so, that remembers what it saw. */
export async function startOry(t: Ends, behaviour: Behaviour = at({}), tls?: object) {
  const seen: Seen[] = []
  let contacts = 0
  const serve = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    const { method = '', url: path = '', headers } = request
    const arrived = { method, path, headers, body: await text(request) }
    seen.push(arrived)
    const told = behaviour(arrived, response)
    if (!told) return
    const { status, body = '', headers: more } = told
    const isRaw = typeof body === 'string' || Buffer.isBuffer(body)
    const type = isRaw ? {} : { 'content-type': 'application/json' }
    response.writeHead(status, { ...type, ...more }).end(isRaw ? body : JSON.stringify(body))
  }
  const server = tls ? createTlsServer(tls, serve) : http.createServer(serve)
  server.on('connection', () => contacts++)
  t.after(() => server.closeAllConnections())
  const port = await listen(server, t)
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    server,
    seen,
    contacts: () => contacts,
    count: (step: Step) => seen.filter((each) => stepOf(each) === step).length,
  }
}
export type Ory = Awaited<ReturnType<typeof startOry>>

/** Starts a server that does as told with each connection, and counts them. */
export async function startRaw(t: Ends, habit: (socket: Socket) => unknown) {
  let contacts = 0
  const server = createServer((socket) => {
    contacts++
    t.after(() => socket.destroy())
    habit(socket.on('error', () => {}))
  })
  const port = await listen(server, t)
  return { url: `http://127.0.0.1:${port}`, port, contacts: () => contacts }
}

/** What a proxy does with a connection, once it has read the head of a request. */
export type Habit = (socket: Socket, head: string) => unknown
/** Answers, and closes. */
export const answerWith =
  (status: string, body = ''): Habit =>
  (socket) =>
    socket.end(`HTTP/1.1 ${status}\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
/** Goes to the port that is asked for, on loopback, whatever the host: only the proxy knows it. */
export const forward: Habit = (socket, head) => {
  const [, port] = /:(\d+)/.exec(head.split(' ')[1] ?? '') ?? []
  const upstream = connect(Number(port), '127.0.0.1')
  if (head.startsWith('CONNECT ')) socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
  else upstream.write(head.replace(/ http:\/\/[^/]+/, ' '), 'latin1')
  for (const [from, to] of [
    [socket, upstream],
    [upstream, socket],
  ] as const)
    from
      .on('error', () => to.destroy())
      .on('close', () => to.destroy())
      .pipe(to)
}

/** Starts a proxy that remembers the heads it got. */
export async function startProxy(t: Ends, habit: Habit = forward) {
  const heads: string[] = []
  const raw = await startRaw(t, (socket) => {
    let head = ''
    const take = (bytes: Buffer) => {
      head += bytes.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      socket.off('data', take).pause()
      heads.push(head)
      habit(socket, head)
      socket.resume()
    }
    socket.on('data', take)
  })
  return { ...raw, heads }
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

export type Variables = Record<string, string>
export const credentials = ({ url }: { url: string }): Variables => {
  return { BASE_URL: url, IDENT, PASS }
}

export type Outcome = { code: number; stdout: string; stderr: string }

/** One whole run of main in this process; its stderr without "no answer". */
export async function run(env: Variables, ...args: string[]): Promise<Outcome> {
  const outcome = { code: 0, stdout: '', stderr: '' }
  const print = async (told: string) => {
    outcome.stdout += told
  }
  const say = async (told: string) => {
    if (!told.includes('no answer after')) outcome.stderr += `${told}\n`
  }
  const uncaught = new Promise(() => {})
  outcome.code = await program.main(args, env, { print, say, uncaught })
  return outcome
}

/** One login against a server that behaves as told at some steps, and else as recorded. */
export async function login(t: Ends, steps: Steps = {}, env: Variables = {}, ...args: string[]) {
  const ory = await startOry(t, at(steps))
  return { ...(await run({ ...credentials(ory), ...env }, ...args)), ory }
}

/** The first words of the report on stderr; '' if there is none. */
export const errorOf = ({ stderr }: Pick<Outcome, 'stderr'>): string =>
  /^ory-login: error: (.*)$/m.exec(stderr)?.[1] ?? ''

export type ChildOptions = {
  cwd?: string
  command?: readonly string[] // node with the compiled program, unless told otherwise
  stdout?: 'pipe' | number
}

let js = ''
/** The program without its types: a process by plain node starts in half the time of tsx. */
export function compiled(): string {
  if (js) return js
  const place = join(ROOT, 'node_modules/.cache')
  js = join(place, `ory-login ${process.pid}.mjs`)
  mkdirSync(place, { recursive: true })
  writeFileSync(js, transformSync(read('src/ory-login.ts'), { loader: 'ts' }).code)
  process.on('exit', () => rmSync(js))
  return js
}

/** Starts the real program. Its environment is the given one and what any process needs. */
export function start(env: Variables, args: readonly string[], options: ChildOptions = {}) {
  const { cwd = folder(), stdout = 'pipe' } = options
  const [file = '', ...first] = options.command ?? [process.execPath, compiled()]
  const { PATH = '', SystemRoot = '', TEMP = tmpdir() } = process.env
  return spawn(file, [...first, ...args], {
    cwd,
    env: { PATH, SystemRoot, TEMP, ...env },
    stdio: ['ignore', stdout, 'pipe'],
    timeout: 120_000, // ends it where it does not end by itself
    killSignal: 'SIGKILL',
  })
}

/** The real program as a child process, to its end. */
export async function runChild(
  env: Variables,
  args: readonly string[] = [],
  options?: ChildOptions,
): Promise<Outcome> {
  const child = start(env, args, options)
  const ended = once(child, 'close')
  const streams = [child.stdout, child.stderr].map((stream) => (stream ? text(stream) : ''))
  const [stdout = '', stderr = ''] = await Promise.all(streams)
  const [code, killedBy] = await ended
  assert.equal(killedBy, null, `killed: ${stderr}`)
  return { code: Number(code), stdout, stderr }
}
