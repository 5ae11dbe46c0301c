/** A bad network: what is tried again, how long that waits, and that it always ends in its time. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import dns from 'node:dns'
import * as fs from 'node:fs'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import { join } from 'node:path'
import { describe, mock, type TestContext, test } from 'node:test'
import timers from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { Headers, type HeadersInit } from 'undici'
import { main, waitMs } from '../src/ory-login.ts'
import type { Behaviour, Ory, Step } from './harness.ts'
import * as harness from './harness.ts'

const { ALL_STEPS, CLOSED_PORT, LOGIN_STEPS, STEPS, SUCCESS, TWO_LINES } = harness
const { at, bodyOf, credentials, login, notesOf, program, run, startOry } = harness
const { assertFailed, assertVerified } = harness

/**
 * Names that only this file knows. That of a code and a number fails so often with this code, and
 * then leads to 127.0.0.1, as each name does; but two of them have an IPv6 address before it.
 */
const lookedUp: string[] = []
const realLookup = dns.lookup
type Found = (error: Error | null, addresses?: dns.LookupAddress[]) => void
mock.method(dns, 'lookup', (name: string, options: dns.LookupOptions, done: Found) => {
  if (!name.endsWith('.test')) return Reflect.apply(realLookup, dns, [name, options, done])
  lookedUp.push(name)
  const [, code = '', times = 0] = /^(\w+)-(\d)\.test$/.exec(name) ?? []
  const error = Object.assign(Error(`made for a test of ${name}`), { code: code.toUpperCase() })
  if (countOf(name) <= Number(times)) return setImmediate(done, error)
  const addresses = [...(name.startsWith('two') ? ['::1'] : []), '127.0.0.1']
  const found = addresses.map((address) => ({ address, family: net.isIP(address) }))
  return setImmediate(done, null, found)
})
const countOf = (name: string): number => lookedUp.filter((each) => each === name).length

// Where ports lead to: what listens at that of the demo default must not depend on the machine.
const leadsTo = new Map([[4433, CLOSED_PORT]])
const dialled: net.TcpNetConnectOpts[] = []
const realConnect = net.connect
mock.method(net, 'connect', (options: net.TcpNetConnectOpts) => {
  dialled.push(options)
  const port = Number(options.port)
  return realConnect({ ...options, port: leadsTo.get(port) ?? port })
})

for (const [steps, ...args] of [[LOGIN_STEPS], [ALL_STEPS, '--logout']] as const)
  test(`one connection, and ${steps.length} requests`, async (t) => {
    const { ory, ...outcome } = await login(t, {}, {}, ...args)
    assertVerified(outcome)
    assert.deepEqual([ory.contacts.length, ory.seen.map(harness.stepOf)], [1, [...steps]])
  })

// ---- How long it waits

const NOW = Date.parse('2026-03-01T12:00:00Z')
const inSeconds = (seconds: number): string => new Date(NOW + seconds * 1000).toUTCString()
// biome-ignore format: a table: attempt, status, headers, and the wait in ms, jitter apart
const WAITS: [attempt: number, status: number | undefined, HeadersInit, ms: number][] = [
  [1, 429, {}, 1000],
  [2, 429, {}, 2000],
  [1, 503, {}, 250],
  [1, undefined, {}, 250],
  [1, 503, { 'retry-after': '7' }, 7000],
  [1, 429, { 'retry-after': inSeconds(90) }, 90_000],
  [1, 503, { 'retry-after': inSeconds(-90) }, 250],
  [2, 429, { 'retry-after': inSeconds(1) }, 2000],
  [1, 503, { 'retry-after': new Date(NOW + 90_000).toISOString() }, 250],
  [1, 429, { 'retry-after': '1.5' }, 1000],
  [2, 503, { 'retry-after': '-1' }, 500],
  [1, 503, { 'retry-after': '0x10' }, 250],
  [1, 503, { 'retry-after': 'soon' }, 250],
  [1, 429, { 'x-ratelimit-reset': '12' }, 12_000],
  [2, 429, { 'x-ratelimit-reset': '0' }, 2000],
  [1, 429, { 'x-ratelimit-reset': '12,0,3' }, 12_000],
  [1, 429, [['x-ratelimit-reset', '0'], ['X-RateLimit-Reset', '12']], 12_000],
  [1, 429, { 'x-ratelimit-reset': 'soon, 12, 1.5, -9' }, 12_000],
  [1, 429, { 'retry-after': '5', 'x-ratelimit-reset': '0, 12' }, 12_000],
  [1, 429, { 'retry-after': '50', 'x-ratelimit-reset': '0, 12' }, 50_000],
  [1, 503, { 'retry-after': inSeconds(60), 'x-ratelimit-reset': '90' }, 90_000],
  [1, 429, { 'retry-after': '9'.repeat(400) }, 1e9],
]

test('the longest wait asked for counts, a backoff is its floor, a jitter is on top', (t) => {
  t.mock.method(Date, 'now', () => NOW)
  for (const random of [0, 0.5, 0.999_999]) {
    t.mock.method(Math, 'random', () => random)
    for (const [attempt, status, headers, ms] of WAITS) {
      const told = { headers: new Headers(headers), ...(status && { status }) }
      const jitter = waitMs(attempt, told) - ms
      const backoff = attempt * (status === 429 ? 1000 : 250)
      const isBounded = random === 0 ? jitter === 0 : jitter > 0 && jitter <= random * backoff
      assert.ok(isBounded, `${attempt} ${status} ${JSON.stringify(headers)}: ${ms} + ${jitter}`)
    }
  }
})

// ---- What is tried again

const status =
  (code: number, body: unknown = '<p>A page', headers = {}): Behaviour =>
  () => ({ status: code, body, headers: { 'retry-after': '0', ...headers } })
const cut =
  (told: string, end: 'end' | 'destroy' | 'resetAndDestroy' = 'destroy'): Behaviour =>
  (_, { socket }) => {
    socket?.write(told, () => socket[end]())
    return undefined
  }
/** Does one thing, and then always another. */
const once = (told: Behaviour, then: Behaviour): Behaviour => {
  let count = 0
  return (...args) => (count++ === 0 ? told : then)(...args)
}
const LONG = 'content-length: 100\r\n\r\n{"id":'
const CHUNK = 'transfer-encoding: chunked\r\n\r\n9\r\n{"id"'
const CUT = '(ECONNRESET|UND_ERR_SOCKET|UND_ERR_RES_CONTENT_LENGTH_MISMATCH|HTTPParserError)'

// biome-ignore format: a table: what fails, how, and as what it is told
const RETRYABLE: readonly (readonly [name: string, behaviour: Behaviour, came: string])[] = [
  ...[429, 502, 503, 504].map((code) => [`a ${code}`, status(code), `${code}`] as const),
  ['a reset', cut('', 'resetAndDestroy'), CUT],
  ['a close without an answer', cut('', 'end'), CUT],
  ['a reset in the body', cut(`HTTP/1.1 200 OK\r\n${LONG}`, 'resetAndDestroy'), CUT],
  ['a cut in the status line', cut('HTTP'), CUT],
  ['a cut in the head', cut('HTTP/1.1 200 OK\r\ncontent-ty'), CUT],
  ['a cut in the body', cut(`HTTP/1.1 200 OK\r\n${LONG}`), CUT],
  ['a cut in a chunk', cut(`HTTP/1.1 200 OK\r\n${CHUNK}`), CUT],
  ['a cut in a closing head', cut('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-ty'), CUT],
  ['a cut in a closing body', cut(`HTTP/1.1 200 OK\r\nconnection: close\r\n${LONG}`), CUT],
  ['a cut in a closing chunk', cut(`HTTP/1.1 200 OK\r\nconnection: close\r\n${CHUNK}`), CUT],
  ['a cut in a head of HTTP/1.0', cut('HTTP/1.0 200 OK\r\ncontent-ty'), CUT],
  ['a cut in a body of HTTP/1.0', cut(`HTTP/1.0 200 OK\r\n${LONG}`), CUT],
]

// biome-ignore format: a table: what comes, and the exit code
const FINAL: readonly (readonly [behaviour: Behaviour, code: number])[] = [
  ...[400, 403, 404, 409].map((code) => [status(code, ''), 1] as const),
  ...[500, 501, 505].map((code) => [status(code), 4] as const),
  [status(302, '', { location: '/elsewhere' }), 1],
  [status(200, '{"id":'), 1],
  [status(200), 1],
  [status(200, ''), 1],
  [cut('SSH-2.0-OpenSSH_9.9\r\n'), 1],
]

describe('a bad network', { concurrency: 16, timeout: 60_000 }, () => {
  for (const [index, [name, behaviour, came]] of RETRYABLE.entries()) {
    test(`${name}, once at each step: verified at the second attempt`, async (t) => {
      const fails = ALL_STEPS.map((step) => [step, once(behaviour, () => SUCCESS[step])])
      const { ory, ...outcome } = await login(t, Object.fromEntries(fails), {}, '--logout')
      assertVerified(outcome, /./)
      const notes = ALL_STEPS.map((step) => `${STEPS[step].name}: got ${came}; attempt 2 of 3`)
      assert.match(outcome.stderr, RegExp(`^${notes.map((note) => `.* ${note} .*\n`).join('')}$`))
      for (const step of ALL_STEPS) assert.equal(ory.count(step), 2)
      const [first, second] = ory.seen.filter(({ method }) => method === 'POST')
      assert.deepEqual([second?.body, second?.path], [first?.body, first?.path])
      assert.match(first?.body ?? '', RegExp(harness.PASS))
    })

    test(`${name} that stays, at any step: given up after 3 attempts`, async (t) => {
      const step = ALL_STEPS[index % ALL_STEPS.length] ?? 'start'
      const { ory, ...outcome } = await login(t, { [step]: behaviour }, {}, '--logout')
      assertFailed(outcome, 4, step, RegExp(`got ${came}`), /attempt 3 of 3/)
      assert.deepEqual([notesOf(outcome).length, ory.count(step)], [2, 3])
      assert.equal(ory.seen.length, ALL_STEPS.indexOf(step) + 3)
    })
  }

  test('a server that goes away is told at the step that misses it', async (t) => {
    const start: Behaviour = () => {
      leadsTo.set(ory.port, CLOSED_PORT)
      return { ...SUCCESS.start, headers: { connection: 'close' } }
    }
    const ory: Ory = await startOry(t, at({ start }))
    const outcome = await run(credentials(ory))
    assertFailed(outcome, 4, 'submit', /ECONNREFUSED/, /nothing listens/, /attempt 3 of 3/)
  })

  for (const code of ['ECONNREFUSED', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH']) {
    test(`${code} while connecting: once, and for ever`, async (t) => {
      const { port } = await startOry(t)
      const reach = (host: string) => run(credentials({ url: `http://${host}:${port}` }))
      const ever = `${code.toLowerCase()}-9.test`
      const [verified, failed] = await Promise.all([reach(`${code}-1.test`), reach(ever)])
      assertVerified(verified, RegExp(`^.*warning: http: .*\n.*: got ${code}; attempt 2 of 3.*\n$`))
      assertFailed(failed, 4, 'start', RegExp(`got ${code}`), /attempt 3 of 3/)
      assert.equal(countOf(ever), 3)
    })
  }

  test('a logout whose answer was cut, and that gets 403 then, is done', async (t) => {
    const [gone] = harness.recording('logout-unknown-token').slice(-1)
    const logout = once(cut('HTTP/1.1 204 No'), () => gone?.response)
    const { ory, ...outcome } = await login(t, { logout }, {}, '--logout', '--json')
    assert.equal(outcome.code, 0, outcome.stderr)
    const { ok, logged_out } = JSON.parse(outcome.stdout)
    assert.deepEqual([ok, logged_out, ory.count('logout')], [true, true, 2])
  })

  test('in JSON the time of the answers stands apart from that of the waits', async (t) => {
    const start = once(status(503, '', { 'retry-after': '2' }), () => SUCCESS.start)
    const { stdout, ms } = await login(t, { start }, {}, '--json')
    const [{ attempts, duration_ms, waited_ms }, { waited_ms: ofSubmit }] = JSON.parse(stdout).steps
    assert.deepEqual([attempts, ofSubmit], [2, 0])
    assert.ok(waited_ms >= 2000 && waited_ms < 2200, `${waited_ms}`)
    assert.ok(duration_ms + waited_ms <= ms + 10, `${duration_ms} of ${ms}`)
  })

  for (const step of LOGIN_STEPS)
    test(`what is final at ${step}: one request, in spite of Retry-After`, async (t) => {
      const rows = step === 'whoami' ? FINAL : [...FINAL, [status(401, ''), 1] as const]
      for (const [behaviour, code] of rows) {
        const { ory, ...outcome } = await login(t, { [step]: behaviour })
        assertFailed(outcome, code, step)
        assert.deepEqual(notesOf(outcome), [])
        assert.equal(ory.seen.length, LOGIN_STEPS.indexOf(step) + 1, outcome.stderr)
      }
    })

  test('a 502, 503 or 504 of Ory itself: once at submit, else as that of a gateway', async (t) => {
    const told = { error: { message: 'made for a test' } }
    const seen = await Promise.all(
      LOGIN_STEPS.flatMap((step) =>
        [502, 503, 504].map(async (code) => {
          const { ory, ...outcome } = await login(t, { [step]: status(code, told) })
          assertFailed(outcome, 4, step, RegExp(`got ${code}: .*made for a test`))
          return ory.count(step)
        }),
      ),
    )
    assert.deepEqual(seen, [3, 3, 3, 1, 1, 1, 3, 3, 3])
  })

  test('a host of no name: one look-up', async () => {
    const outcome = await run(credentials({ url: 'http://enotfound-9.test' }))
    assertFailed(outcome, 4, 'start', /no host of this name/, /ENOTFOUND/)
    assert.deepEqual([notesOf(outcome).length, countOf('enotfound-9.test')], [0, 1])
  })

  test('a wait that does not fit into --timeout is not begun, and this is told', async (t) => {
    for (const [headers, due] of [
      [{ 'retry-after': '3600' }, /\b3600(\.\d)? s\b/],
      [{ 'retry-after': new Date(Date.now() + 3.6e6).toUTCString() }, /\b(3600|359\d)(\.\d)? s\b/],
      [{ 'x-ratelimit-reset': '0, 61' }, /\b61(\.\d)? s\b/],
      [{ 'retry-after': '9'.repeat(400) }, /due in 1000000(\.\d)? s\b/],
    ] as const) {
      const { ory, ...outcome } = await login(t, { submit: status(429, '', headers) })
      assertFailed(outcome, 4, 'submit', /got 429/, /attempt 2 of 3/, due, /--timeout/)
      assert.deepEqual([notesOf(outcome).length, ory.count('submit')], [0, 1])
      assert.ok(outcome.ms < 10_000, `${outcome.ms}`)
    }
  })

  test('a second wait that does not fit is not begun either', async (t) => {
    const waits = ['0', '3600']
    const start: Behaviour = (seen, response) =>
      status(503, '', { 'retry-after': waits.shift() ?? '' })(seen, response)
    const outcome = await login(t, { start })
    assertFailed(outcome, 4, 'start', /note: .*attempt 2 of 3/, /attempt 3 of 3 .*--timeout/)
    assert.equal(outcome.ory.seen.length, 2)
  })

  test('of two addresses that refuse, both are told', async () => {
    const outcome = await run(credentials({ url: `http://two-refuse.test:${CLOSED_PORT}` }))
    const [one, other] = [`E\\w+ ::1:${CLOSED_PORT}`, `ECONNREFUSED 127\\.0\\.0\\.1:${CLOSED_PORT}`]
    assertFailed(outcome, 4, 'start', /nothing listens/, RegExp(`${one}.*, connect ${other}`))
    assert.doesNotMatch(outcome.stderr, /npm run demo/)
  })

  test('where the first address does not answer, the other is taken', async (t) => {
    const { port } = await startOry(t) // it listens at 127.0.0.1 alone
    const outcome = await run(credentials({ url: `http://two-answer.test:${port}` }))
    assertVerified(outcome, /^.*warning: http: .*\n$/)
    // The 250 ms that Node gives to an address are too short for a far one, and the next may fail.
    const dial = dialled.find(({ host }) => host?.startsWith('two-answer'))
    assert.ok(Number(dial?.autoSelectFamilyAttemptTimeout) >= 1000)
  })

  test('a 407 of a proxy that nobody configured is told in words', async (t) => {
    const { ory, ...outcome } = await login(t, { start: status(407, '') })
    assertFailed(outcome, 4, 'start', /\b407\b/, /hint: .*proxy/)
    assert.doesNotMatch(outcome.stderr, /Error: nothing/)
    assert.equal(ory.seen.length, 1)
  })

  test('a port that fetch refuses is a matter of configuration', async () => {
    const outcome = await run(credentials({ url: 'http://127.0.0.1:6000' }))
    assertFailed(outcome, 2, 'start', /bad port/, /hint: .*port/)
    assert.deepEqual(notesOf(outcome), [])
  })

  test('npm run demo is named where nothing answers at its default, and only there', async (t) => {
    const nothing = await run({})
    assertFailed(nothing, 4, 'start', /127\.0\.0\.1:4433/, /ECONNREFUSED/, /hint: .*npm run demo/)
    leadsTo.set(4433, (await startOry(t, at({ start: status(500) }))).port)
    const answered = await run({})
    assertFailed(answered, 4, 'start', /got 500/)
    assert.doesNotMatch(answered.stderr, /npm run demo/)
  })
})

// ---- It waits as long as it may, and no longer

test('no request has a limit of its own, and what is waited for is told', async (t) => {
  // A second takes 10 ms; undici's own clock, which runs already, can be set on.
  const { tick } = createRequire(import.meta.url)('undici/lib/util/timers.js')
  const [later, pause, timeout] = [setTimeout, timers.setTimeout, AbortSignal.timeout]
  t.mock.method(globalThis, 'setTimeout', (then: () => void, ms = 0) => later(then, ms / 100))
  t.mock.method(timers, 'setTimeout', (ms = 0, ...rest: unknown[]) =>
    Reflect.apply(pause, timers, [ms / 100, ...rest]),
  )
  t.mock.method(AbortSignal, 'timeout', (ms: number) => timeout.call(AbortSignal, ms / 100))
  syncBuiltinESMExports()
  t.after(() => {
    t.mock.reset()
    syncBuiltinESMExports()
  })
  let answer = () => {}
  const submit: Behaviour = (_, response) => {
    answer = () => response.end(JSON.stringify(SUCCESS.submit.body))
    return undefined
  }
  const waits: string[] = []
  const say = async (line: string) => {
    const [, after = ''] = /note: submit credentials: .* (\d+) s$/.exec(line) ?? []
    if (after && waits.push(after)) tick(10_000)
    if (after === '33') answer()
  }
  const env = credentials(await startOry(t, at({ submit })))
  const code = await main(['--timeout', '3600'], env, { print: async () => {}, say })
  assert.deepEqual([code, waits], [0, ['3', '13', '23', '33']])
})

test('a failure writes nothing to stdout, not even an empty text', async (t) => {
  const ory = await startOry(t, at({ start: status(404) }))
  const printed: string[] = []
  const print = async (text: string) => printed.push(text)
  const code = await main([], credentials(ory), { print, say: async () => {} })
  assert.deepEqual([code, printed], [1, []])
})

/** Sends something, and then something again and again. */
const drip =
  (told: string, each = ''): Behaviour =>
  (_, { socket }) => {
    const timer = setInterval(() => socket?.write(each), 50)
    socket?.once('close', () => clearInterval(timer)).write(told)
    return undefined
  }
const OK = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n'
// biome-ignore format: a table: at which step, and so in how many seconds, a server does what
const HANGS: readonly [does: string, step: Step, seconds: number, Behaviour][] = [
  ['says nothing', 'start', 1, () => undefined],
  ['says nothing', 'submit', 2, () => undefined],
  ['says nothing', 'logout', 3, () => undefined],
  ['never ends its headers', 'start', 1, drip(OK, 'x-a: b\r\n')],
  ['drips its body', 'start', 1, drip(`${OK}content-length: 9999\r\n\r\n{`, ' ')],
  ['stalls in its body', 'submit', 2, drip(`${OK}content-length: 9999\r\n\r\n{"id": "abc`)],
  ['sends nothing but 102', 'start', 1, drip('', 'HTTP/1.1 102 Processing\r\n\r\n')],
]

const inTime = (seconds: number): string[] => ['--timeout', `${seconds}`]
const assertGone = (contacts: number[], seconds: number): void => {
  const ms = performance.now() - (contacts[0] ?? 0)
  assert.ok(contacts.length > 0 && ms < seconds * 1000 + 3000, `gone ${ms} ms after its contact`)
}

describe('a process is gone in its time', { concurrency: 5, timeout: 60_000 }, () => {
  for (const [does, step, seconds, behaviour] of HANGS)
    test(`where a server ${does} at ${step}`, async (t) => {
      const ory = await startOry(t, at({ [step]: behaviour }))
      const outcome = await program(credentials(ory), [...inTime(seconds), '--logout'])
      assertGone(ory.contacts, seconds)
      const says = step === 'submit' ? /Ory answers, but .* longer/ : /no answer came in time/
      assertFailed(outcome, 4, step, says, RegExp(`\\b${seconds} s\\b.*--timeout`))
      assert.equal(ory.count(step), 1)
    })

  test('where a server accepts, and never begins with TLS', async (t) => {
    const { port, contacts } = await harness.startRaw(t, (socket) => socket.resume())
    const outcome = await program(credentials({ url: `https://127.0.0.1:${port}` }), inTime(1))
    assertGone(contacts, 1)
    assertFailed(outcome, 4, 'start', /no answer came in time/)
    assert.equal(contacts.length, 1)
  })

  test('--timeout is for all requests together', async (t) => {
    const slow: Behaviour = (seen, response) => {
      const { body } = SUCCESS[harness.stepOf(seen) ?? 'start']
      setTimeout(() => response.end(JSON.stringify(body)), 1700)
      return undefined
    }
    const outcome = await login(t, { start: slow, submit: slow }, {}, '--timeout', '3')
    assertFailed(outcome, 4, 'submit', /Ory answers/, /\b3 s\b.*--timeout/)
  })

  const gzip = { 'content-type': 'application/json', 'content-encoding': 'gzip' }
  const late: Behaviour = (_, response) => {
    response.writeHead(421, { 'content-length': 5 }).flushHeaders()
    setTimeout(() => response.end('later'), 300)
    return undefined
  }
  const broken = status(421, randomBytes(300_000), gzip)
  for (const [step, behaviour] of Object.entries({ start: broken, submit: late }))
    test(`after a 421 whose body is ${step === 'start' ? 'no gzip' : 'late'}`, async (t) => {
      const ory = await startOry(t, at({ [step]: behaviour }))
      const outcome = await program(credentials(ory), inTime(2))
      assertGone(ory.contacts, 2)
      assertFailed(outcome, outcome.code === 1 ? 1 : 4, step)
    })

  test('after a large answer is compressed, and its connection closed', async (t) => {
    const more = randomBytes(300_000).toString('base64')
    const body = gzipSync(JSON.stringify(bodyOf('start', { more })))
    const headers = { ...gzip, connection: 'close', 'content-length': body.length }
    const ory = await startOry(t, at({ start: status(200, body, headers) }))
    const outcome = await program(credentials(ory))
    if (outcome.code === 0) assertVerified(outcome)
    else assertFailed(outcome, outcome.code === 1 ? 1 : 4, 'start')
  })

  test('after an error that no promise carries, which fails the step under way', async (t) => {
    const ory = await startOry(t, at({ start: () => undefined }))
    const fault = `setInterval(() => {
      if (process.listenerCount('uncaughtException')) throw new TypeError('made for a test')
    }, 300)`
    const imports = ['--import', harness.TSX, '--import', `data:text/javascript,${fault}`]
    const options = { command: [process.execPath, ...imports, harness.PROGRAM] }
    const outcome = await program(credentials(ory), [], options)
    assertFailed(outcome, 4, 'start', /got TypeError: made for a test/)
  })

  if (process.platform !== 'win32') {
    /** A full pipe: its path, and what comes out of it. */
    const fullPipe = (t: TestContext) => {
      const path = join(harness.folder(), 'pipe')
      execFileSync('mkfifo', [path])
      const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_NONBLOCK)
      t.after(() => fs.closeSync(fd))
      const piece = Buffer.alloc(4096)
      const pieces: Buffer[] = []
      const untilAgain = (act: () => unknown) =>
        assert.throws(() => {
          for (;;) act()
        }, /EAGAIN/)
      untilAgain(() => fs.writeSync(fd, piece))
      const read = () => {
        untilAgain(() => pieces.push(Buffer.from(piece.subarray(0, fs.readSync(fd, piece)))))
        return Buffer.concat(pieces).toString().replaceAll('\0', '')
      }
      return { path, read }
    }
    const into = (stream: number, path: string) => ({
      command: [
        ...['sh', '-c', `exec "$@" ${stream}>"$0"`, path],
        ...[process.execPath, '--import', harness.TSX, harness.PROGRAM],
      ],
    })

    test('where stdout is read late, verified', async (t) => {
      const pipe = fullPipe(t)
      const whoami: Behaviour = () => {
        setTimeout(pipe.read, 500)
        return SUCCESS.whoami
      }
      const ory = await startOry(t, at({ whoami }))
      const outcome = await program(credentials(ory), [], into(1, pipe.path))
      assertVerified({ ...outcome, stdout: pipe.read() })
    })

    test('where nobody reads stdout: exit code 1', async (t) => {
      const ory = await startOry(t)
      const outcome = await program(credentials(ory), inTime(2), into(1, fullPipe(t).path))
      assertGone(ory.contacts, 3)
      assertFailed(outcome, 1, 'print result', /nobody reads/, /hint: .*stdout/)
    })

    for (const code of [0, 4])
      test(`where nobody reads stderr: exit code ${code}, as ever`, async (t) => {
        const ory = await startOry(t, at(code === 0 ? {} : { submit: status(500) }))
        const outcome = await program(credentials(ory), ['--verbose'], into(2, fullPipe(t).path))
        assertGone(ory.contacts, 3)
        assert.deepEqual([outcome.code, outcome.stdout], [code, code === 0 ? TWO_LINES : ''])
      })
  }
})
