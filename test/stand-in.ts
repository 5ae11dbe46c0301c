/** A stand-in for Ory on a loopback port: it replays exchanges that were recorded from a running Ory Kratos v26.2.0. */
import { readFileSync } from 'node:fs'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { isDeepStrictEqual } from 'node:util'

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
  headers: IncomingHttpHeaders
  body: string
}

/** What to do with a request: answer it, or handle the response yourself and give nothing. */
export type Behaviour = (seen: Seen, response: ServerResponse) => Answer | undefined

interface Exchange {
  request: { method: string; path: string; headers?: Record<string, string>; body?: unknown }
  response: Answer
}

/** Reads one recording. */
export function recording(name: string): Exchange[] {
  const { exchanges } = JSON.parse(readFileSync(new URL(`recordings/${name}.json`, import.meta.url), 'utf8'))
  return exchanges
}

const parse = (text: string): unknown => (text === '' ? undefined : JSON.parse(text))

const isFor = ({ request }: Exchange, seen: Seen): boolean =>
  request.method === seen.method &&
  request.path === seen.path &&
  (request.headers?.['x-session-token'] ?? seen.headers['x-session-token']) === seen.headers['x-session-token'] &&
  isDeepStrictEqual(request.body, parse(seen.body))

/** Answers as recorded where a request is the recorded one, whole; else as Kratos answers wrong credentials and paths. */
export function replay(...names: string[]): Behaviour {
  const exchanges = names.flatMap(recording)
  const others: Record<string, string> = {
    '/self-service/login': 'wrong-password',
    '/sessions/whoami': 'invalid-token',
    '/self-service/logout/api': 'logout-unknown-token',
  }
  return (seen) =>
    exchanges.find((exchange) => isFor(exchange, seen))?.response ??
    recording(others[seen.path.replace(/\?.*/, '')] ?? 'wrong-path').at(-1)?.response
}

export interface StandIn {
  url: string
  server: Server
  seen: Seen[]
  connections: () => number
  close: () => Promise<void>
}

/** Starts a server on a free loopback port that behaves as told, with TLS where told so, and remembers what it saw. */
export async function standIn(behaviour: Behaviour, tls?: { key: string; cert: string }): Promise<StandIn> {
  const seen: Seen[] = []
  let connections = 0
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    const arrived = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body }
    seen.push(arrived)
    const answer = behaviour(arrived, response)
    if (!answer) return
    const isRaw = typeof answer.body === 'string' || Buffer.isBuffer(answer.body) || answer.body === undefined
    response.writeHead(answer.status, { ...(isRaw ? {} : { 'content-type': 'application/json' }), ...answer.headers })
    response.end(isRaw ? answer.body : JSON.stringify(answer.body))
  }
  const server = tls ? createTlsServer(tls, serve) : createServer(serve)
  server.on('connection', () => {
    connections += 1
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return { url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`, server, seen, connections: () => connections, close }
}
