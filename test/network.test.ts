/** What the program does on a bad network: one connection, passing failures tried again, and always an end. */
import assert from 'node:assert/strict'
import dns from 'node:dns'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import net, { type AddressInfo, createServer } from 'node:net'
import { describe, mock, type TestContext, test } from 'node:test'
import { main, VERSION } from '../src/ory-login.ts'
import { credentials, IDENT, type Outcome, PASS, program, run, TOKEN, TWO_LINES } from './harness.ts'
import { type Behaviour, recording, replay, type Seen, standIn } from './stand-in.ts'

const STEPS = {
  'start login flow': '/self-service/login/api',
  'submit credentials': '/self-service/login',
  'verify session': '/sessions/whoami',
  'log out': '/self-service/logout/api',
}
type Step = keyof typeof STEPS
const ALL_STEPS = Object.keys(STEPS) as Step[]
const LOGIN_STEPS = ALL_STEPS.slice(0, 3)

const login = replay('success', 'logout')
const isAt = (step: Step, { path }: Seen): boolean => path.replace(/\?.*/, '') === STEPS[step]
const at =
  (step: Step, behaviour: Behaviour): Behaviour =>
  (seen, response) =>
    (isAt(step, seen) ? behaviour : login)(seen, response)

/** A server for one test, closed when the test ends. */
async function serve(t: TestContext, behaviour: Behaviour) {
  const server = await standIn(behaviour)
  t.after(server.close)
  return { ...server, count: (step: Step) => server.seen.filter((seen) => isAt(step, seen)).length }
}

/** A port where nothing listens. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

const notes = ({ stderr }: { stderr: string }): string[] => stderr.split('\n').filter((line) => /: note: /.test(line))

/** Asserts a failure that says what it should: on stderr alone, with its step and a hint, and without secrets. */
function assertFailed(outcome: Outcome, code: number, step: string, ...patterns: RegExp[]): void {
  const { stderr } = outcome
  assert.equal(outcome.code, code, stderr)
  assert.equal(outcome.stdout, step === 'log out' && code !== 2 ? TWO_LINES : '')
  const lines = stderr.trimEnd().split('\n')
  for (const line of lines) assert.match(line, /^ory-login: /)
  assert.ok(stderr.includes(`ory-login: ${step}: `), stderr)
  assert.match(lines.at(-1) ?? '', /^ory-login: hint: \S/)
  for (const pattern of patterns) assert.match(stderr, pattern)
  for (const secret of [PASS, TOKEN, IDENT]) assert.ok(!stderr.includes(secret), stderr)
}

function assertVerified(outcome: Outcome): void {
  assert.equal(outcome.code, 0, outcome.stderr)
  assert.equal(outcome.stdout, TWO_LINES)
}

// Names that only this file knows, and the port of the demo default: what is there must not depend on the machine.
const lookedUp: string[] = []
const refusedPort = await freePort()
const realLookup = dns.lookup
type Found = (error: Error | null, addresses?: dns.LookupAddress[]) => void
const lookup = (name: string, options: dns.LookupOptions, done: Found): void => {
  lookedUp.push(name)
  const fails = (code: string) => setImmediate(done, Object.assign(new Error(`getaddrinfo ${code} ${name}`), { code }))
  const addresses = ['127.0.0.1', '::1'].map((address) => ({ address, family: net.isIP(address) }))
  const recovers = name === 'recovers.test' && lookedUp.filter((each) => each === name).length > 2
  if (name === 'nowhere.test') fails('ENOTFOUND')
  else if (name === 'again.test' || (name === 'recovers.test' && !recovers)) fails('EAI_AGAIN')
  else if (name === 'two-addresses.test') setImmediate(done, null, addresses)
  else if (recovers) setImmediate(done, null, addresses.slice(0, 1))
  else Reflect.apply(realLookup, dns, [name, options, done])
}
mock.method(dns, 'lookup', lookup)
const realConnect = net.connect
mock.method(net, 'connect', (options: net.TcpNetConnectOpts) =>
  realConnect(Number(options.port) === 4433 ? { ...options, port: refusedPort } : options),
)

describe('one connection', () => {
  for (const [args, steps] of [
    [[], LOGIN_STEPS],
    [['--logout'], ALL_STEPS],
  ] as const) {
    test(`a login ${args.join(' ')} opens one connection and sends ${steps.length} requests`, async (t) => {
      const server = await serve(t, login)
      const outcome = await run(credentials(server.url), ...args)
      assertVerified(outcome)
      assert.equal(outcome.stderr, '')
      assert.equal(server.connections(), 1)
      assert.deepEqual(
        server.seen.map(({ path }) => path.replace(/\?.*/, '')),
        steps.map((step) => STEPS[step]),
      )
    })
  }

  test('the real program opens one connection too, and leaves no stray byte on stderr', async (t) => {
    const server = await serve(t, login)
    const outcome = await program(credentials(server.url), [])
    assertVerified(outcome)
    assert.equal(outcome.stderr, '')
    assert.equal(server.connections(), 1)
    assert.equal(server.seen.length, 3)
  })

  test('every request says who asks and what it accepts, and brings no cookie, origin or authorization along', async (t) => {
    const server = await serve(t, (seen, response) => {
      const answer = login(seen, response)
      const cookies = ['csrf_token_1=c1; Path=/', 'ory_kratos_session=c2; Path=/; HttpOnly']
      return answer && { ...answer, headers: { ...answer.headers, 'set-cookie': cookies } }
    })
    assertVerified(await run(credentials(server.url), '--logout'))
    assert.equal(server.seen.length, 4)
    for (const { method, headers } of server.seen) {
      assert.equal(headers.accept, 'application/json')
      assert.equal(headers['user-agent'], `ory-login/${VERSION}`)
      for (const name of ['cookie', 'origin', 'authorization', 'referer']) assert.equal(headers[name], undefined)
      assert.equal(headers['content-type'], method === 'GET' ? undefined : 'application/json')
    }
    const tokens = server.seen.map(({ headers }) => headers['x-session-token'])
    assert.deepEqual(tokens, [undefined, undefined, TOKEN, undefined])
  })
})

const status =
  (code: number, headers: Record<string, string> = { 'retry-after': '0' }): Behaviour =>
  () => ({ status: code, headers, body: { error: { code, message: 'made for a test' } } })

const cut =
  (head: string, end: 'destroy' | 'resetAndDestroy' = 'destroy'): Behaviour =>
  (_, { socket }) => {
    socket?.write(head, () => socket[end]())
    return undefined
  }
const OK_HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n'

/** What passes, and how its notes call it. */
const PASSING: Record<string, [behaviour: Behaviour, called: RegExp]> = {
  'status 429': [status(429), /got 429;/],
  'status 502': [status(502), /got 502;/],
  'status 503': [status(503), /got 503;/],
  'status 504': [status(504), /got 504;/],
  'status 503 without a word on when': [status(503, {}), /got 503;/],
  'a reset': [
    (_, { socket }) => {
      socket?.resetAndDestroy()
      return undefined
    },
    /got (ECONNRESET|UND_ERR_SOCKET);/,
  ],
  'a close without an answer': [
    (_, { socket }) => {
      socket?.end()
      return undefined
    },
    /got (ECONNRESET|UND_ERR_SOCKET);/,
  ],
  'an answer cut off in its head': [cut('HTTP/1.1 200 OK\r\ncontent-ty'), /got (ECONNRESET|UND_ERR_SOCKET);/],
  'an answer cut off in mid-body': [cut(`${OK_HEAD}content-length: 100\r\n\r\n{"id":`), /got \w+;/],
  'an answer cut off in mid-chunk': [cut(`${OK_HEAD}transfer-encoding: chunked\r\n\r\n9\r\n{"id"`), /got \w+;/],
  'an answer reset in mid-body': [
    cut(`${OK_HEAD}content-length: 100\r\n\r\n{"id":`, 'resetAndDestroy'),
    /got (ECONNRESET|UND_ERR_SOCKET);/,
  ],
}

describe('passing failures are tried again', { concurrency: true }, () => {
  for (const [name, [behaviour, called]] of Object.entries(PASSING)) {
    test(`${name}, once at each step: the login succeeds, and each retry is announced`, async (t) => {
      const met = new Set<string>()
      const server = await serve(t, (seen, response) => {
        const again = met.has(seen.path)
        met.add(seen.path)
        return (again ? login : behaviour)(seen, response)
      })
      const outcome = await run(credentials(server.url), '--logout')
      assertVerified(outcome)
      const announced = outcome.stderr.trimEnd().split('\n')
      assert.equal(announced.length, 4, outcome.stderr)
      for (const line of announced) {
        assert.match(line, /^ory-login: note: /)
        assert.match(line, called)
        assert.match(line, /attempt 2 of 3/)
      }
      for (const step of ALL_STEPS) assert.equal(server.count(step), 2, step)
      const [first, second] = server.seen.filter((seen) => isAt('submit credentials', seen))
      assert.deepEqual(JSON.parse(first?.body ?? ''), { method: 'password', identifier: IDENT, password: PASS })
      assert.deepEqual([second?.body, second?.path], [first?.body, first?.path])
    })

    for (const step of ALL_STEPS) {
      test(`${name} at "${step}" that does not pass: given up after 3 attempts`, async (t) => {
        const server = await serve(t, at(step, behaviour))
        const outcome = await run(credentials(server.url), '--logout')
        assertFailed(outcome, 4, step, called, /attempt 2 of 3/, /attempt 3 of 3/)
        assert.equal(notes(outcome).length, 2)
        assert.equal(server.count(step), 3)
        assert.equal(server.seen.length, 3 + ALL_STEPS.indexOf(step))
      })
    }
  }

  test('a submit that is cut off twice succeeds at the third attempt', async (t) => {
    const server = await serve(t, (seen, response) =>
      (isAt('submit credentials', seen) && server.count('submit credentials') < 3 ? cut('HTTP') : login)(
        seen,
        response,
      ),
    )
    const outcome = await run(credentials(server.url))
    assertVerified(outcome)
    assert.deepEqual(
      notes(outcome).map((line) => line.match(/attempt \d of 3/)?.[0]),
      ['attempt 2 of 3', 'attempt 3 of 3'],
    )
  })

  test('a port that opens only after the first attempt is reached by the next', async (t) => {
    const port = await freePort()
    const server = await serve(t, login)
    const relay = createServer((socket) => {
      const upstream = realConnect(Number(new URL(server.url).port), '127.0.0.1')
      socket.on('error', () => upstream.destroy()).pipe(upstream)
      upstream.on('error', () => socket.destroy()).pipe(socket)
    })
    t.after(() => relay.close())
    const said: string[] = []
    let printed = ''
    const say = (line: string) => {
      said.push(line)
      if (!relay.listening) relay.listen(port, '127.0.0.1')
    }
    const print = (text: string) => {
      printed += text
    }
    assert.equal(await main([], credentials(`http://127.0.0.1:${port}`), print, say), 0, said.join('\n'))
    assert.equal(printed, TWO_LINES)
    assert.match(said[0] ?? '', /^note: got ECONNREFUSED; attempt 2 of 3/)
    assert.equal(server.seen.length, 3)
  })

  test('a port that stays closed is given up after 3 attempts', async () => {
    const outcome = await run(credentials(`http://127.0.0.1:${await freePort()}`))
    assertFailed(outcome, 4, 'start login flow', /nothing listens/, /ECONNREFUSED/, /attempt 3 of 3/)
    assert.equal(notes(outcome).length, 2)
    assert.doesNotMatch(outcome.stderr, /npm run demo/)
  })

  test('a server that goes away after the first step is reported at the second', async (t) => {
    const server = await serve(t, (seen, response) => {
      server.server.close()
      const answer = login(seen, response)
      return answer && { ...answer, headers: { ...answer.headers, connection: 'close' } }
    })
    const outcome = await run(credentials(server.url))
    assertFailed(outcome, 4, 'submit credentials', /ECONNREFUSED/, /attempt 3 of 3/)
    assert.equal(server.seen.length, 1)
  })

  test('a look-up that fails for the moment is tried again, and succeeds', async (t) => {
    const server = await serve(t, login)
    const outcome = await run(credentials(`http://recovers.test:${new URL(server.url).port}`))
    assertVerified(outcome)
    assert.equal(notes(outcome).filter((line) => /got EAI_AGAIN; attempt [23] of 3/.test(line)).length, 2)
  })

  test('a look-up that keeps failing for the moment is given up after 3 attempts', async () => {
    const outcome = await run(credentials('http://again.test'))
    assertFailed(outcome, 4, 'start login flow', /EAI_AGAIN/, /cannot be looked up/, /attempt 3 of 3/)
    assert.equal(lookedUp.filter((name) => name === 'again.test').length, 3)
  })
})

/** Answers 429 once, and tells how long the second request took to come. */
async function waited(t: TestContext, headers: () => Record<string, string>) {
  const times: number[] = []
  const server = await serve(t, (seen, response) => {
    if (!isAt('submit credentials', seen)) return login(seen, response)
    times.push(performance.now())
    return (times.length === 1 ? status(429, headers()) : login)(seen, response)
  })
  const outcome = await run(credentials(server.url))
  return { outcome, ms: (times[1] ?? 0) - (times[0] ?? 0) }
}
const inSeconds = (seconds: number): string => new Date(Date.now() + seconds * 1000).toUTCString()

describe('the wait is what the server asks', { concurrency: true }, () => {
  // A date has whole seconds, so it may be up to one second sooner than meant.
  for (const [name, headers, atLeastMs, due] of [
    ['Retry-After in seconds', () => ({ 'retry-after': '1' }), 950, /due in 1 s/],
    ['Retry-After as a date', () => ({ 'retry-after': inSeconds(2.5) }), 950, /due in [012](\.\d)? s/],
    ['Retry-After as a date that has passed', () => ({ 'retry-after': inSeconds(-60) }), 0, /due in 0 s/],
    ['Retry-After: 0', () => ({ 'retry-after': '0' }), 0, /due in 0 s/],
    ['x-ratelimit-reset in seconds', () => ({ 'x-ratelimit-reset': '1' }), 950, /due in 1 s/],
    ['Retry-After before x-ratelimit-reset', () => ({ 'retry-after': '0', 'x-ratelimit-reset': '900' }), 0, /in 0 s/],
    ['a short backoff where it asks nothing', () => ({}), 200, /due in 0\.\d s/],
    ['a short backoff where what it asks is unreadable', () => ({ 'retry-after': 'soon' }), 200, /due in 0\.\d s/],
  ] as const) {
    test(name, async (t) => {
      const { outcome, ms } = await waited(t, headers)
      assertVerified(outcome)
      assert.equal(notes(outcome).length, 1)
      assert.match(outcome.stderr, due)
      assert.ok(ms >= atLeastMs, `waited ${ms} ms`)
    })
  }

  for (const [name, headers, says] of [
    ['Retry-After in seconds', () => ({ 'retry-after': '3600' }), /\b3600 s\b/],
    ['Retry-After as a date', () => ({ 'retry-after': inSeconds(3600) }), /\b(3600|359\d(\.\d)?) s\b/],
    ['x-ratelimit-reset', () => ({ 'x-ratelimit-reset': '61' }), /\b61 s\b/],
    ['a Retry-After beyond all measure', () => ({ 'retry-after': '9'.repeat(30) }), /\d s\b/],
  ] as const) {
    for (const step of LOGIN_STEPS) {
      test(`a wait that does not fit is not begun: ${name} at "${step}"`, async (t) => {
        const server = await serve(t, at(step, status(429, headers())))
        const outcome = await run(credentials(server.url))
        assertFailed(outcome, 4, step, /\b429\b/, says, /--timeout/)
        assert.equal(notes(outcome).length, 0)
        assert.equal(server.count(step), 1)
        assert.ok(outcome.ms < 5000, `took ${outcome.ms} ms`)
      })
    }
  }

  test('a wait that fits a longer --timeout does not fit a shorter one', async (t) => {
    const server = await serve(t, at('start login flow', status(503, { 'retry-after': '5' })))
    const outcome = await run(credentials(server.url), '--timeout', '4')
    assertFailed(outcome, 4, 'start login flow', /\b5 s\b/)
    assert.equal(server.seen.length, 1)
    assert.ok(outcome.ms < 4000, `took ${outcome.ms} ms`)
  })
})

const moved: Behaviour = () => ({ status: 302, headers: { location: '/elsewhere' } })
const FINAL: [name: string, behaviour: Behaviour, code: number][] = [
  ...[400, 401, 403, 404, 409, 418].map((code): [string, Behaviour, number] => [`status ${code}`, status(code), 1]),
  ...[500, 501, 505, 599].map((code): [string, Behaviour, number] => [`status ${code}`, status(code), 4]),
  ['a redirect', moved, 1],
  ['malformed JSON', () => ({ status: 200, headers: { 'content-type': 'application/json' }, body: '{"id":' }), 1],
  ['an HTML page', () => ({ status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Hello</h1>' }), 1],
  ['an empty body', () => ({ status: 200, body: '' }), 1],
  ['bytes that are no HTTP', cut('SSH-2.0-OpenSSH_9.9\r\n'), 1],
]

describe('nothing else is tried again', { concurrency: true }, () => {
  for (const step of LOGIN_STEPS) {
    for (const [name, behaviour, code] of FINAL) {
      test(`${name} at "${step}": one request, although Retry-After asks for another`, async (t) => {
        const server = await serve(t, at(step, behaviour))
        const outcome = await run(credentials(server.url))
        assertFailed(outcome, code, step)
        assert.equal(notes(outcome).length, 0)
        assert.equal(server.count(step), 1)
        assert.equal(server.seen.length, 1 + LOGIN_STEPS.indexOf(step))
        assert.equal(server.connections(), 1)
      })
    }
  }

  for (const name of ['wrong-password', 'unknown-identifier', 'inactive-identity', 'unverified-address']) {
    test(`${name}: the password is sent once, so that nobody is locked out`, async (t) => {
      const server = await serve(
        t,
        at('submit credentials', () => recording(name).find(({ request }) => request.method === 'POST')?.response),
      )
      assertFailed(await run(credentials(server.url)), 3, 'submit credentials')
      assert.equal(server.seen.filter(({ body }) => body.includes(PASS)).length, 1)
      assert.equal(server.seen.length, 2)
    })
  }

  test('an unknown host: one look-up', async () => {
    const outcome = await run(credentials('http://nowhere.test'))
    assertFailed(outcome, 4, 'start login flow', /no host of this name/, /ENOTFOUND/)
    assert.equal(lookedUp.filter((name) => name === 'nowhere.test').length, 1)
    assert.equal(notes(outcome).length, 0)
  })
})

describe('the real cause is told', { concurrency: true }, () => {
  test('a name that no resolver knows', async () => {
    const outcome = await run(credentials('http://name.invalid'), '--timeout', '2')
    assertFailed(outcome, 4, 'start login flow', /ENOTFOUND|EAI_AGAIN|TIMEOUT/) // what comes is up to the resolver
  })

  test('a name with two addresses that both refuse: both are told', async () => {
    const outcome = await run(credentials(`http://two-addresses.test:${refusedPort}`))
    const first = `connect ECONNREFUSED 127\\.0\\.0\\.1:${refusedPort}`
    const second = `connect E\\w+ ::1:${refusedPort}` // where there is no IPv6, it is another code
    assertFailed(outcome, 4, 'start login flow', /nothing listens/, new RegExp(`${first}, ${second}`))
  })

  test('localhost, with whatever addresses it has here, refuses', async () => {
    const outcome = await run(credentials(`http://localhost:${refusedPort}`))
    assertFailed(outcome, 4, 'start login flow', /ECONNREFUSED \S+\d/)
  })

  test('a port that fetch refuses to use is a matter of configuration', async () => {
    const outcome = await run(credentials('http://127.0.0.1:6000'))
    assertFailed(outcome, 2, 'start login flow', /bad port/, /hint: .*port/)
    assert.equal(notes(outcome).length, 0)
  })

  test('nothing at the demo default: the hint names the demo', async () => {
    const outcome = await run({})
    assertFailed(outcome, 4, 'start login flow', /127\.0\.0\.1:4433/, /ECONNREFUSED/, /hint: .*npm run demo/)
  })

  test('an answer at the demo default that is not the promised one: the hint does not name the demo', async (t) => {
    const server = await serve(t, status(500))
    assert.doesNotMatch((await run({ BASE_URL: server.url })).stderr, /npm run demo/)
  })
})

const write = (response: ServerResponse, head: string, each = '') => {
  const { socket } = response
  socket?.write(head)
  const timer = setInterval(() => each && socket?.write(each), 50)
  socket?.once('close', () => clearInterval(timer)).on('error', () => {})
  return undefined
}

const HANGS: Record<string, Behaviour> = {
  'says nothing': () => undefined,
  'never ends its headers': (_, response) => write(response, 'HTTP/1.1 200 OK\r\n', 'x-a: b\r\n'),
  'drips its body': (_, response) => write(response, `${OK_HEAD}content-length: 9999\r\n\r\n{`, ' '),
  'stalls in its body': (_, response) => write(response, `${OK_HEAD}content-length: 9999\r\n\r\n{"id": "abc`),
  'sends nothing but 102 Processing': (_, response) => write(response, '', 'HTTP/1.1 102 Processing\r\n\r\n'),
}

/**
 * The process is to be gone a second after its deadline, which is not later than its first contact and the --timeout.
 * Two more are for a busy machine: what holds a process by mistake, such as undici's connect timeout, holds it for 10.
 */
function assertGone(contacts: number[], timeoutMs: number): void {
  const ms = performance.now() - (contacts[0] ?? 0)
  assert.ok(contacts.length > 0 && ms < timeoutMs + 3000, `gone ${ms} ms after its first contact`)
}

/** So that what does not end fails here, and does not hold the tests: its server is closed then. */
const LATEST = { timeout: 20_000 }

describe('it always ends', { concurrency: 4 }, () => {
  test('one request gets 10 s, however long the run may take', async (t) => {
    const server = await serve(t, () => undefined)
    const outcome = await run(credentials(server.url), '--timeout', '60')
    assertFailed(outcome, 4, 'start login flow', /no answer came in time/, /\b10 s\b/)
    assert.ok(outcome.ms > 9500 && outcome.ms < 20_000, `took ${outcome.ms} ms`)
    assert.equal(server.seen.length, 1)
  })

  test('--timeout is for all requests together, not for each', async (t) => {
    const server = await serve(t, (seen, response) => {
      const answer = login(seen, response)
      setTimeout(() => {
        response.writeHead(answer?.status ?? 500, { 'content-type': 'application/json' })
        response.end(JSON.stringify(answer?.body))
      }, 2500)
      return undefined
    })
    const outcome = await run(credentials(server.url), '--timeout', '4')
    assertFailed(outcome, 4, 'submit credentials', /no answer came in time/, /--timeout 4/)
    assert.ok(outcome.ms < 8000, `took ${outcome.ms} ms`)
  })

  for (const [name, behaviour] of Object.entries(HANGS)) {
    for (const step of ALL_STEPS) {
      test(`a server that ${name} at "${step}"`, LATEST, async (t) => {
        const server = await serve(t, at(step, behaviour))
        const contacts: number[] = []
        server.server.on('connection', () => contacts.push(performance.now()))
        const outcome = await program(credentials(server.url), ['--timeout', '1', '--logout'])
        assertGone(contacts, 1000)
        assertFailed(outcome, 4, step, /no answer came in time/, /--timeout 1\b/)
        assert.equal(outcome.killedBy, null)
        assert.equal(server.count(step), 1)
      })
    }
  }

  for (const scheme of ['http', 'https']) {
    test(
      `a port that accepts ${scheme} connections and says nothing, not even for a TLS handshake`,
      LATEST,
      async (t) => {
        const contacts: number[] = []
        const server = createServer((socket) => {
          contacts.push(performance.now())
          socket.on('error', () => {}).resume()
          t.after(() => socket.destroy())
        }).listen(0, '127.0.0.1')
        t.after(() => server.close())
        await once(server, 'listening')
        const { port } = server.address() as AddressInfo
        const outcome = await program(credentials(`${scheme}://127.0.0.1:${port}`), ['--timeout', '1'])
        assertGone(contacts, 1000)
        assertFailed(outcome, 4, 'start login flow', /no answer came in time/, /--timeout 1\b/)
        assert.equal(contacts.length, 1)
      },
    )
  }

  test('a server that resets each connection, and one that asks for wait after wait', async (t) => {
    for (const behaviour of [cut('', 'resetAndDestroy'), status(429, { 'retry-after': '1' })]) {
      const server = await serve(t, behaviour)
      const outcome = await run(credentials(server.url), '--timeout', '1.5')
      assertFailed(outcome, 4, 'start login flow', /attempt [23] of 3/)
      assert.ok(outcome.ms < 6000, `took ${outcome.ms} ms`)
      assert.ok(server.seen.length <= 3)
    }
  })
})

describe('other origins see nothing', { concurrency: true }, () => {
  for (const step of ALL_STEPS) {
    for (const code of [301, 302, 303, 307, 308]) {
      test(`${code} to another origin at "${step}" is reported, and not followed`, async (t) => {
        const elsewhere = await serve(t, login)
        const { host } = new URL(elsewhere.url)
        const location = `http://someone:hunter2@${host}/stolen/path?flow=in-the-query#in-the-fragment`
        const server = await serve(
          t,
          at(step, () => ({ status: code, headers: { location } })),
        )
        const outcome = await run(credentials(server.url), '--logout')
        assertFailed(outcome, 1, step, new RegExp(`\\b${code}\\b`), /redirect/)
        assert.ok(outcome.stderr.includes(`${elsewhere.url}/stolen/path`), outcome.stderr)
        assert.doesNotMatch(outcome.stderr, /someone|hunter2|in-the-query|in-the-fragment/)
        assert.equal(elsewhere.connections(), 0)
        assert.equal(elsewhere.seen.length, 0)
        assert.equal(server.count(step), 1)
        assert.equal(server.seen.length, 1 + ALL_STEPS.indexOf(step))
      })
    }
  }

  test('a redirect within the same origin is not followed either, and its target is told whole', async (t) => {
    const server = await serve(t, at('submit credentials', moved))
    const outcome = await run(credentials(server.url))
    assertFailed(outcome, 1, 'submit credentials', /redirect/)
    assert.ok(outcome.stderr.includes(`${server.url}/elsewhere`), outcome.stderr)
    assert.equal(server.seen.length, 2)
  })

  test('a redirect that carries the token and the password in its path shows neither', async (t) => {
    const location = `http://127.0.0.1:9/${TOKEN}/${encodeURIComponent(PASS)}/%1b[31m`
    const server = await serve(
      t,
      at('verify session', () => ({ status: 307, headers: { location } })),
    )
    assertFailed(await run(credentials(server.url)), 1, 'verify session', /127\.0\.0\.1:9\/\*\*\*\/\*\*\*/)
  })

  for (const [name, headers] of [
    ['no Location', {}],
    ['a Location that is no URL', { location: 'http://[broken' }],
    ['a Location of another scheme', { location: 'file:///etc/passwd' }],
  ] as const) {
    test(`a redirect with ${name} is a plain failure`, async (t) => {
      const server = await serve(
        t,
        at('start login flow', () => ({ status: 302, headers })),
      )
      assertFailed(await run(credentials(server.url)), 1, 'start login flow', /\b302\b/, /redirect/)
      assert.equal(server.seen.length, 1)
    })
  }

  test('the admin port, as recorded: the hint names the public port', async (t) => {
    const server = await serve(t, replay('admin-port'))
    const outcome = await run(credentials(server.url))
    assertFailed(outcome, 1, 'start login flow', /\b307\b/, /http:\/\/127\.0\.0\.1:4433\//, /hint: .*public port/)
    assert.equal(server.seen.length, 1)
  })
})
