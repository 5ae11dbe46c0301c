/** A bad network: what is tried again, how long that waits, and that it always ends in its time. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import net from 'node:net'
import { join } from 'node:path'
import { describe, mock, type TestContext, test } from 'node:test'
import timers from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { Headers } from 'undici'
import { main, waitMs } from '../src/ory-login.ts'
import type { Answer, Behaviour, Ory, Step } from './harness.ts'
import * as harness from './harness.ts'

const { ALL_STEPS, CLOSED_PORT, LOGIN_STEPS, STEPS, SUCCESS, TWO_LINES } = harness
const { at, bodyOf, credentials, login, notesOf, program, reportOf, run, startOry } = harness
const { assertFailed, assertVerified } = harness

process.env.TZ = 'Asia/Kolkata' // no date of HTTP is in local time

/**
 * Names that only this file knows. That of a code and a number fails so often with this code, and
 * then leads to 127.0.0.1, as each name does; but two of them have an IPv6 address before it.
 */
const lookedUp = harness.nameServer((name, times) => {
  const [, code = '', fails = 0] = /^(\w+)-(\d)\.test$/.exec(name) ?? []
  if (times <= Number(fails)) return code.toUpperCase()
  return [...(name.startsWith('two') ? ['::1'] : []), '127.0.0.1']
})
const countOf = (name: string): number => lookedUp.filter((each) => each === name).length

// Where ports lead to: what listens at that of the demo default must not depend on the machine.
const leadsTo = new Map([[4433, CLOSED_PORT]])
const NOWHERE = 5555 // neither taken nor refused
const dialled: net.TcpNetConnectOpts[] = []
const realConnect = net.connect
mock.method(net, 'connect', (options: net.TcpNetConnectOpts) => {
  dialled.push(options)
  const port = Number(options.port)
  if (port === NOWHERE) return new net.Socket()
  return realConnect({ ...options, port: leadsTo.get(port) ?? port })
})

// These times are up when a test says so, however busy the machine is; in s, and one for each run.
const TIMES = { submit: 3001, whoami: 3002, logout: 3003 }
const isUp = new Map<number, () => void>()
const realSleep = timers.setTimeout
mock.method(timers, 'setTimeout', (ms: number, value: unknown, options: object) =>
  Object.values(TIMES).includes(ms / 1000)
    ? new Promise((resolve) => isUp.set(ms / 1000, () => resolve(value)))
    : realSleep(ms, value, options),
)
syncBuiltinESMExports()

/** Failed after a good start: Ory is asked about, and not the address, which was right. */
function assertWentWrong(outcome: harness.Outcome, step: Step, ...says: RegExp[]): void {
  assertFailed(outcome, 4, step, ...says)
  assert.doesNotMatch(reportOf(outcome).hint ?? '', /\b(host|port|DNS|BASE_URL)\b|https?:/)
}
const inTime = (seconds: number): string[] => ['--timeout', `${seconds}`]
const NO_CONNECTION = /: no connection was made in time, or its TLS handshake hangs\n/
const NOT_ANSWERED = /: a server accepted the connection, but did not answer in time\n/
const WENT_AWAY = /: Ory, or what stands before it, went away during this step\n/
const TOO_SLOW = /: Ory answered the first step, but did not answer this one in time\n/

for (const [steps, ...args] of [[LOGIN_STEPS], [ALL_STEPS, '--logout']] as const)
  test(`one connection, and ${steps.length} requests`, async (t) => {
    const { ory, ...outcome } = await login(t, {}, {}, ...args)
    assertVerified(outcome)
    assert.deepEqual([ory.contacts.length, ory.seen.map(harness.stepOf)], [1, [...steps]])
  })

// ---- How long it waits

const NOW = Date.parse('2026-03-01T12:00:00Z')
const inSeconds = (seconds: number): string => new Date(NOW + seconds * 1000).toUTCString()
type Told = Record<string, string> | [name: string, value: string][]
// biome-ignore format: a table: attempt, status, headers, and the wait in ms, jitter apart
const WAITS: [attempt: number, status: number, Told, ms: number][] = [
  [1, 429, {}, 1000],
  [2, 429, {}, 2000],
  [1, 503, {}, 250],
  [1, 0, {}, 250],
  [1, 503, { 'retry-after': '7' }, 7000],
  [1, 429, { 'retry-after': inSeconds(90) }, 90_000],
  [1, 503, { 'retry-after': 'Sunday, 01-Mar-26 12:01:30 GMT' }, 90_000],
  [1, 503, { 'retry-after': 'Sun Mar  1 12:01:30 2026' }, 90_000],
  [1, 503, { 'retry-after': inSeconds(-90) }, 250],
  [1, 503, { 'retry-after': 'Sunday, 06-Nov-94 08:49:37 GMT' }, 250],
  [2, 429, { 'retry-after': inSeconds(1) }, 2000],
  [1, 503, { 'retry-after': new Date(NOW + 90_000).toISOString() }, 250],
  [1, 429, { 'retry-after': '1.5' }, 1000],
  [2, 503, { 'retry-after': '-1' }, 500],
  [1, 503, { 'retry-after': '0x10' }, 250],
  [1, 503, [['Retry-After', '3'], ['retry-after', '3']], 3000],
  [1, 503, { 'retry-after': 'soon' }, 250],
  [1, 429, { 'x-ratelimit-reset': '12' }, 12_000],
  [2, 429, { 'x-ratelimit-reset': '0' }, 2000],
  [1, 429, { 'x-ratelimit-reset': '12,0,3' }, 12_000],
  [1, 429, [['x-ratelimit-reset', '0'], ['X-RateLimit-Reset', '12']], 12_000],
  [1, 429, { 'x-ratelimit-reset': 'soon, 12, 1.5, -9' }, 12_000],
  [1, 429, { 'retry-after': '5', 'x-ratelimit-reset': '0, 12' }, 12_000],
  [1, 429, { 'retry-after': '50', 'x-ratelimit-reset': '0, 12' }, 50_000],
  [1, 503, { 'retry-after': inSeconds(60), 'x-ratelimit-reset': '90' }, 90_000],
  [1, 503, { 'retry-after': '3600' }, 3_600_000],
  [1, 503, { 'retry-after': '3601' }, 250],
  [1, 429, { 'retry-after': '9'.repeat(400) }, 1000],
  [1, 429, { 'retry-after': inSeconds(3601) }, 1000],
  [1, 429, { 'x-ratelimit-reset': '1795000000' }, 1000],
  [1, 429, { 'retry-after': '2', 'x-ratelimit-reset': '1795000000' }, 2000],
  [1, 429, { 'retry-after': '2', 'x-ratelimit-reset': '1795000000, 12' }, 12_000],
]

test('the longest wait up to an hour counts, a backoff is its floor, a jitter is on top', (t) => {
  t.mock.method(Date, 'now', () => NOW)
  for (const random of [0, 0.5, 0.999_999]) {
    t.mock.method(Math, 'random', () => random)
    for (const [attempt, status, headers, ms] of WAITS) {
      const jitter = waitMs(attempt, { status, headers: new Headers(headers) }) - ms
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
/** Does one thing after the other, and the last for ever. */
const inTurn = (...told: Behaviour[]): Behaviour => {
  let count = 0
  return (...args) => (told[count++] ?? told.at(-1))?.(...args)
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
  ...[400, 401, 404, 409].map((code) => [status(code, ''), 1] as const),
  ...[403, 500, 501, 505].map((code) => [status(code), 4] as const),
  [status(302, '', { location: '/elsewhere' }), 1],
  [status(200, '{"id":'), 1],
  [status(200), 1],
  [status(200, ''), 1],
  [cut('SSH-2.0-OpenSSH_9.9\r\n'), 1],
]

const TO_A_LOGOUT = {
  cut: cut('HTTP/1.1 204 No'),
  reset: cut('', 'resetAndDestroy'),
  429: status(429, ''),
  503: status(503),
  unknown: () => harness.recorded('logout-unknown-token').logout,
  forbidden: status(403, { error: { code: 403, reason: 'made for a test' } }),
  firewall: status(403),
} satisfies Record<string, Behaviour>
// biome-ignore format: a table: the exit code, and what comes to the tries; unknown is Ory's 403
const LOGOUTS: readonly [code: number, ...(keyof typeof TO_A_LOGOUT)[]][] = [
  [0, 'cut', 'unknown'], [0, 'reset', 'unknown'], [0, 503, 'cut', 'unknown'],
  [0, 'cut', 503, 'unknown'],
  [1, 'unknown'], [1, 429, 'unknown'], [1, 503, 'unknown'], [1, 'cut', 'forbidden'],
  [4, 'cut', 'firewall'], [4, 429, 'firewall'], [4, 503, 'firewall'],
]

describe('a bad network', { concurrency: 12, timeout: 300_000 }, () => {
  for (const [index, [name, behaviour, came]] of RETRYABLE.entries()) {
    test(`${name}, once at each step: verified at the second attempt`, async (t) => {
      const fails = ALL_STEPS.map((step) => [step, inTurn(behaviour, () => SUCCESS[step])])
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
      assertFailed(outcome, 4, step, RegExp(`\n  got +${came}: .* \\(attempt 3 of 3\\)\n`))
      assert.deepEqual([notesOf(outcome).length, ory.count(step)], [2, 3])
      assert.equal(ory.seen.length, ALL_STEPS.indexOf(step) + 3)
    })
  }

  for (const [before, step] of [
    ['start', 'submit'],
    ['submit', 'whoami'],
    ['whoami', 'logout'],
  ] as const)
    test(`a server that is gone at ${step}, or goes away, or says nothing`, async (t) => {
      const last: Behaviour = () => {
        leadsTo.set(gone.port, CLOSED_PORT)
        return { ...SUCCESS[before], headers: { connection: 'close' } }
      }
      const gone: Ory = await startOry(t, at({ [before]: last }))
      const silence: Behaviour = () => {
        isUp.get(TIMES[step])?.()
        return undefined
      }
      const [refused, reset, silent] = await Promise.all([
        run(credentials(gone), '--logout'),
        login(t, { [step]: cut('', 'resetAndDestroy') }, {}, '--logout'),
        login(t, { [step]: silence }, {}, '--logout', ...inTime(TIMES[step])),
      ])
      assertWentWrong(refused, step, WENT_AWAY, /got +ECONNREFUSED: .*attempt 3 of 3/)
      assertWentWrong(reset, step, WENT_AWAY, RegExp(`got +${CUT}: .*attempt 3 of 3`))
      assertWentWrong(silent, step, TOO_SLOW, /got +TIMEOUT: .* 300\d s of --timeout\n/)
    })

  for (const code of ['ECONNREFUSED', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH']) {
    test(`${code} while connecting: once, and for ever`, async (t) => {
      const { port } = await startOry(t)
      const reach = (host: string) => run(credentials({ url: `http://${host}:${port}` }))
      const ever = `${code.toLowerCase()}-9.test`
      const [verified, failed] = await Promise.all([reach(`${code}-1.test`), reach(ever)])
      assertVerified(verified, RegExp(`^.* is http: .*\n.*: got ${code}; attempt 2 of 3.*\n$`))
      assertFailed(failed, 4, 'start', RegExp(`got +${code}: .*attempt 3 of 3`))
      assert.equal(countOf(ever), 3)
    })
  }

  for (const [code, ...told] of LOGOUTS)
    test(`a log out that comes to ${told.join(', then ')}: exit code ${code}`, async (t) => {
      const logout = inTurn(...told.map((name) => TO_A_LOGOUT[name]))
      const { ory, ...outcome } = await login(t, { logout }, {}, '--logout', '--json')
      assert.equal(outcome.code, code, outcome.stderr)
      const { ok, logged_out } = JSON.parse(outcome.stdout)
      const isDone = code === 0
      assert.deepEqual([ok, logged_out, ory.count('logout')], [isDone, isDone, told.length])
    })

  test('a 401 after two 503 ends the tries of whoami', async (t) => {
    const refused = status(401, { error: { code: 401, reason: 'No.' } })
    const whoami = inTurn(status(503), status(503), refused)
    const { ory, ...outcome } = await login(t, { whoami })
    assertFailed(outcome, 1, 'whoami', /refused the session token/, /\(attempt 3 of 3\)/)
    assert.equal(ory.count('whoami'), 3)
  })

  test('in JSON the time of the answers stands apart from that of the waits', async (t) => {
    const start = inTurn(status(503, '', { 'retry-after': '2' }), () => SUCCESS.start)
    const { stdout, ms } = await login(t, { start }, {}, '--json')
    const [{ attempts, duration_ms, waited_ms }, { waited_ms: ofSubmit }] = JSON.parse(stdout).steps
    assert.deepEqual([attempts, ofSubmit], [2, 0])
    assert.ok(waited_ms >= 2000 && waited_ms < 2200, `${waited_ms}`)
    assert.ok(duration_ms + waited_ms <= ms + 10, `${duration_ms} of ${ms}`)
  })

  for (const step of LOGIN_STEPS)
    test(`what is final at ${step}: one request, in spite of Retry-After`, async (t) => {
      for (const [behaviour, code] of FINAL) {
        const { ory, ...outcome } = await login(t, { [step]: behaviour })
        assertFailed(outcome, code, step)
        assert.deepEqual(notesOf(outcome), [])
        assert.equal(ory.seen.length, LOGIN_STEPS.indexOf(step) + 1, outcome.stderr)
      }
    })

  test("a 502 or 504 in Ory's words is a web hook's at submit, and else a gateway's", async (t) => {
    const told = { error: { code: 502, message: 'made for a test' } }
    const seen = await Promise.all(
      LOGIN_STEPS.flatMap((step) =>
        [502, 503, 504].map(async (code) => {
          const { ory, ...outcome } = await login(t, { [step]: status(code, told) })
          assertFailed(outcome, 4, step, RegExp(`got +${code}: .*made for a test`))
          return ory.count(step)
        }),
      ),
    )
    assert.deepEqual(seen, [3, 3, 3, 1, 3, 1, 3, 3, 3])
  })

  test('a host of no name: one look-up', async () => {
    const outcome = await run(credentials({ url: 'http://enotfound-9.test' }))
    assertFailed(outcome, 4, 'start', /there is no host/, /ENOTFOUND/)
    assert.doesNotMatch(outcome.stderr, /attempt/)
    assert.equal(countOf('enotfound-9.test'), 1)
  })

  test('a wait that does not fit into --timeout is not begun, and this is told', async (t) => {
    for (const [headers, due] of [
      [{ 'retry-after': '3600' }, /\b3600(\.\d)? s\b/],
      [{ 'retry-after': new Date(Date.now() + 3.6e6).toUTCString() }, /\b(3600|359\d)(\.\d)? s\b/],
      [{ 'x-ratelimit-reset': '0, 61' }, /\b61(\.\d)? s\b/],
    ] as const) {
      const { ory, ...outcome } = await login(t, { submit: status(429, '', headers) })
      assertFailed(outcome, 4, 'submit', /got +429: nothing \(attempt 1 of 3; .*--timeout/, due)
      assert.deepEqual([notesOf(outcome).length, ory.count('submit')], [0, 1])
    }
  })

  test('a second wait that does not fit is not begun either', async (t) => {
    const waits = ['0', '3600']
    const start: Behaviour = (seen, response) =>
      status(503, '', { 'retry-after': waits.shift() ?? '' })(seen, response)
    const outcome = await login(t, { start })
    assertFailed(outcome, 4, 'start', /note: .*attempt 2 of 3/, /\(attempt 2 of 3; .*--timeout/)
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
    assertVerified(outcome, /^.*note: BASE_URL is http: .*\n$/)
    // The 250 ms that Node gives to an address are too short for a far one, and the next may fail.
    const dial = dialled.find(({ host }) => host?.startsWith('two-answer'))
    assert.ok(Number(dial?.autoSelectFamilyAttemptTimeout) >= 1000)
  })

  test('what has no row of its own: a 407 to no proxy, a bad gzip, a port of fetch', async (t) => {
    const zipped = status(200, '{}', { 'content-encoding': 'gzip' })
    const [unknown, gzip, port] = await Promise.all([
      login(t, { start: status(407, '') }),
      login(t, { start: zipped }),
      run(credentials({ url: 'http://127.0.0.1:6000' })),
    ])
    assertFailed(unknown, 4, 'start', /: the request failed\n/, /hint .*\b407\b/)
    assertFailed(gzip, 4, 'start', /: the request failed\n/, /got +Z_DATA_ERROR: /)
    assertFailed(port, 4, 'start', /: the request failed\n/, /got +Error: bad port\n/)
    assert.deepEqual([unknown, gzip, port].flatMap(notesOf), [])
  })

  test('a time-out before any connection stands, and this is told', async () => {
    const outcome = await run(credentials({ url: `http://127.0.0.1:${NOWHERE}` }), ...inTime(1))
    assertFailed(outcome, 4, 'start', NO_CONNECTION, /hint .*host and port.*DNS/)
  })

  test('npm run demo is named where nothing answers at its default, and only there', async (t) => {
    const nothing = await run({})
    assertFailed(nothing, 4, 'start', /127\.0\.0\.1:4433/, /ECONNREFUSED/, /hint .*npm run demo/)
    leadsTo.set(4433, (await startOry(t, at({ start: status(500) }))).port)
    const answered = await run({})
    assertFailed(answered, 4, 'start', /got +500: /)
    assert.doesNotMatch(answered.stderr, /npm run demo/)
  })
})

// ---- It waits as long as it may, and no longer

test('no request has a limit of its own, and what is waited for is told every 5 s', async (t) => {
  // Their time passes at once, and that of undici with it; no other does.
  const { tick } = createRequire(import.meta.url)('undici/lib/util/timers.js')
  const every = setInterval
  let passed = 0
  t.mock.method(performance, 'now', () => passed)
  t.mock.method(globalThis, 'setInterval', (then: () => void, ms: number) =>
    every(() => {
      passed += ms
      tick(ms)
      then()
    }, 1),
  )
  let answer = () => {}
  const submit: Behaviour = (_, response) => {
    answer = () => response.end(JSON.stringify(SUCCESS.submit.body))
    return undefined
  }
  const waits: number[] = []
  const say = async (line: string) => {
    const [, after] = /note: submit credentials: no answer yet after (\d+) s$/.exec(line) ?? []
    if (after && waits.push(Number(after)) === 200) answer()
  }
  const env = credentials(await startOry(t, at({ submit })))
  const code = await main(['--timeout', '3600'], env, { print: async () => {}, say })
  assert.equal(code, 0)
  for (const [index, wait] of waits.entries()) assert.equal(wait, 5 * (index + 1))
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
// biome-ignore format: a table: what a server does at which step
const HANGS: readonly [does: string, step: Step, Behaviour][] = [
  ['says nothing', 'start', () => undefined],
  ['says nothing', 'logout', () => undefined],
  ['never ends its headers', 'start', drip(OK, 'x-a: b\r\n')],
  ['drips its body', 'start', drip(`${OK}content-length: 9999\r\n\r\n{`, ' ')],
  ['stalls in its body', 'start', drip(`${OK}content-length: 9999\r\n\r\n{"id": "abc`)],
  ['sends nothing but 102', 'start', drip('', 'HTTP/1.1 102 Processing\r\n\r\n')],
]

/** On a busy machine a process can be slow to end. */
const assertGone = (contacts: number[], seconds: number): void => {
  const ms = performance.now() - (contacts[0] ?? 0)
  assert.ok(contacts.length > 0 && ms < seconds * 1000 + 15_000, `gone ${ms} ms after its contact`)
}

describe('a process is gone in its time', { concurrency: 10, timeout: 300_000 }, () => {
  for (const [does, step, behaviour] of HANGS)
    test(`where a server ${does} at ${step}`, async (t) => {
      const ory = await startOry(t, at({ [step]: behaviour }))
      const seconds = step === 'start' ? 3 : 6
      const outcome = await program(credentials(ory), [...inTime(seconds), '--logout'])
      assertGone(ory.contacts, seconds)
      const got = RegExp(`got +TIMEOUT: .*\\b${seconds} s of --timeout\n`)
      if (step === 'start') assertFailed(outcome, 4, step, NOT_ANSWERED, got)
      else assertWentWrong(outcome, step, TOO_SLOW, got)
      assert.equal(ory.count(step), 1)
    })

  test('where a server accepts, and never begins with TLS', async (t) => {
    const { port, contacts } = await harness.startRaw(t, (socket) => socket.resume())
    const outcome = await program(credentials({ url: `https://127.0.0.1:${port}` }), inTime(3))
    assertGone(contacts, 3)
    assertFailed(outcome, 4, 'start', NO_CONNECTION)
    assert.equal(contacts.length, 1)
  })

  test('--timeout is for all requests together', async (t) => {
    const slow: Behaviour = (seen, response) => {
      const { body } = SUCCESS[harness.stepOf(seen) ?? 'start']
      setTimeout(() => response.end(JSON.stringify(body)), 3500)
      return undefined
    }
    const outcome = await login(t, { start: slow, submit: slow }, {}, ...inTime(6))
    assertWentWrong(outcome, 'submit', TOO_SLOW, /\b6 s of --timeout/)
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
      const outcome = await program(credentials(ory), inTime(4))
      assertGone(ory.contacts, 4)
      assertFailed(outcome, 4, step)
    })

  test('after a large answer is compressed, and its connection closed', async (t) => {
    const more = randomBytes(300_000).toString('base64')
    const body = gzipSync(JSON.stringify(bodyOf('start', { more })))
    const headers = { ...gzip, connection: 'close', 'content-length': body.length }
    const ory = await startOry(t, at({ start: status(200, body, headers) }))
    const outcome = await program(credentials(ory))
    if (outcome.code === 0) assertVerified(outcome)
    else assertFailed(outcome, 4, 'start')
  })

  /** The program, and something before it that makes it fail. */
  const after = (fault: string) => {
    const script = `data:text/javascript,${encodeURIComponent(fault)}`
    const imports = ['--import', harness.TSX, '--import', script]
    return { command: [process.execPath, ...imports, harness.PROGRAM] }
  }

  test('after an error that no promise carries, which fails the step under way', async (t) => {
    const ory = await startOry(t, at({ start: () => undefined }))
    const fault = `setInterval(() => {
      if (process.listenerCount('uncaughtException')) throw new TypeError('made for a test')
    }, 300)`
    const outcome = await program(credentials(ory), [], after(fault))
    assertFailed(outcome, 4, 'start', /got +TypeError: made for a test\n/)
  })

  test('after an error that nothing expects: it is not green', async (t) => {
    const ory = await startOry(t)
    const fault = `const real = JSON.stringify
    JSON.stringify = (value) => (Object(value).ok ? undefined.length : real(value))`
    const { code, stdout } = await program(credentials(ory), ['--json'], after(fault))
    assert.deepEqual([code, stdout, ory.seen.length], [1, '', 3])
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
    const into = (streams: readonly number[], path: string) => ({
      command: [
        ...['sh', '-c', `exec "$@" ${streams.map((stream) => `${stream}>"$0"`).join(' ')}`, path],
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
      const outcome = await program(credentials(ory), [], into([1], pipe.path))
      assertVerified({ ...outcome, stdout: pipe.read() })
    })

    // biome-ignore format: a table: streams, what comes of the submit, the exit code, what is seen
    const UNREAD: readonly [streams: number[], Answer, code: number, said: string | RegExp][] = [
      [[1], SUCCESS.submit, 1, /the result could not be printed.*nothing reads.*hint .*stdout/s],
      [[2], SUCCESS.submit, 0, TWO_LINES],
      [[2], { status: 500 }, 4, ''],
      [[1, 2], SUCCESS.submit, 1, ''],
    ]
    for (const [streams, submit, code, said] of UNREAD)
      test(`where nothing reads ${streams}, after a ${submit.status}: ${code}`, async (t) => {
        const ory = await startOry(t, at({ submit }))
        const args = [...inTime(6), '--verbose']
        const outcome = await program(credentials(ory), args, into(streams, fullPipe(t).path))
        assertGone(ory.contacts, 7)
        assert.equal(outcome.code, code)
        if (said instanceof RegExp) assertFailed(outcome, code, 'print result', said)
        else assert.equal(outcome.stdout + outcome.stderr, said)
      })
  }
})

test('where nothing reads anything there is one grace of a second, and not two', async (t) => {
  const ory = await startOry(t, at({ start: { status: 500 } }))
  const never = () => new Promise(() => {})
  const twice = new Promise((resolve) => {
    const print = () => {
      setTimeout(resolve, 1500, 'two')
      return never()
    }
    main(['--json', ...inTime(1)], credentials(ory), { print, say: never }).then(resolve)
  })
  assert.equal(await twice, 4)
})
