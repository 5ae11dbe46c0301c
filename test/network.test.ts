/** A bad network: what is tried again, how long that waits, and that it always ends in its time. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { describe, mock, test } from 'node:test'
import { Headers } from 'undici'
import { main, meaningOf, readConfig, readLine, waitMs } from '../src/ory-login.ts'
import type { Answer, Behaviour, Ory, Step } from './harness.ts'
import * as harness from './harness.ts'

const { ALL_STEPS, CLOSED_PORT, LOGIN_STEPS, STEPS, SUCCESS } = harness
const { at, credentials, login, notesOf, program, run, startOry } = harness
const { assertFailed, assertVerified, reportOf } = harness

const time = harness.ownTime()
const BOUND = { timeout: 60_000 } // where a fault would hang

/**
 * Names that only this file knows. That of a code and a number fails so often with this code, and
 * then leads to 127.0.0.1, as each name does; but two of them have an IPv6 address before it.
 */
harness.nameServer((name, times) => {
  const [, code = '', fails = 0] = /^(\w+)-(\d)\.test$/.exec(name) ?? []
  if (times <= Number(fails)) return code.toUpperCase()
  return [...(name.startsWith('two') ? ['::1'] : []), '127.0.0.1']
})

// Where ports lead to: what listens at that of the demo default must not depend on the machine.
const leadsTo = new Map([[4433, CLOSED_PORT]])
let dialled: net.TcpNetConnectOpts | undefined
const realConnect = net.connect
mock.method(net, 'connect', (options: net.TcpNetConnectOpts) => {
  dialled = options
  const port = Number(options.port)
  return realConnect({ ...options, port: leadsTo.get(port) ?? port })
})

// ---- How long it waits

const NOW = Date.parse('2026-03-01T12:00:00Z')
const inSeconds = (seconds: number): string => new Date(NOW + seconds * 1000).toUTCString()
type Told = Record<string, string> | [name: string, value: string][]
const after = (value: string): Told => ({ 'retry-after': value })
const resets = (value: string): Told => ({ 'x-ratelimit-reset': value })
const both = (value: string, other: string): Told => ({ ...after(value), ...resets(other) })
// biome-ignore format: a list
const NO_TIMES = ['soon', 'soon GMT', '1.5', '-1', '0x10', inSeconds(-90),
  'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Mar  1 12:01:30 2026',
  '2026-03-01T12:01:30.000Z']
// biome-ignore format: a table: the wait in ms, jitter apart; attempt, status; what headers tell
const WAITS: readonly [ms: number, attempt: number, status: number, ...Told[]][] = [
  [250, 1, 503, {}, after('0'), resets('12'), ...NO_TIMES.map(after)],
  [500, 2, 0, {}],
  [1000, 1, 429, {}, resets('1795000000'), resets('3601'), ...NO_TIMES.map(after)],
  [2000, 2, 429, {}, after('1'), after(inSeconds(1)), resets('0'), both('2', '1795000000')],
  [3000, 1, 503, after('3'), [['Retry-After', '3'], ['retry-after', '3']]],
  [12_000, 1, 429, resets('12'), resets('12,0,3'), resets('soon, 12, 1.5, -9'), both('5', '0, 12'),
    both('2', '1795000000, 12'), [['x-ratelimit-reset', '0'], ['X-RateLimit-Reset', '12']]],
  [90_000, 1, 503, after(inSeconds(90)), both('90', '0, 120')],
  [90_000, 1, 429, both(inSeconds(60), '90')],
  [7_200_000, 1, 503, after('7200'), after(inSeconds(7200))], // it is meant, so it is told
  [Number.POSITIVE_INFINITY, 1, 503, after('9'.repeat(400))],
]

test('the longest wait counts, a backoff is its floor, its jitter on top', (t) => {
  t.mock.method(Date, 'now', () => NOW)
  for (const [ms, attempt, status, ...headers] of WAITS)
    for (const told of headers) {
      const waits = [0, 1].map((random) => {
        t.mock.method(Math, 'random', () => random)
        return waitMs(attempt, { status, headers: new Headers(told) })
      })
      const most = attempt * (status === 429 ? 500 : 125) // half of the backoff
      assert.deepEqual(waits, [ms, ms + most], `${attempt} ${status} ${JSON.stringify(told)}`)
    }
})

test('a 300 is no redirect, wherever it points to; from 301 on, it is', () => {
  const config = readConfig(credentials({ url: 'https://ory.test' }), '')
  const headers = new Headers({ location: 'https://o.test/self-service/login/api' })
  const lineOf = (status: number) =>
    readLine('start', { status, code: '', headers, text: 'Look!' }, '', config)
  const places = [300, 301, 399, 400].map((status) => lineOf(status).newBaseUrl)
  assert.deepEqual(places, ['', 'https://o.test', 'https://o.test', ''])
  assert.match(meaningOf(lineOf(300), config)[2], /something other/)
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
const silence: Behaviour = () => {
  time.isUp()
  return undefined
}
/** Does one thing after the other, and the last for ever. */
const inTurn = (...told: Behaviour[]): Behaviour => {
  let count = 0
  return (...args) => (told[count++] ?? told.at(-1))?.(...args)
}
/** The note on the try of this number, as a pattern. */
const note = (step: Step, came: string, number: number): string =>
  `ory-login: note: ${step}: got ${came}; trying again in .* s .${number} of 3.\n`

const OK = 'HTTP/1.1 200 OK\r\n'
const LONG = 'content-length: 100\r\n\r\n{"id":'
const CHUNK = 'transfer-encoding: chunked\r\n\r\n9\r\n{"id"'
const CUT = '(ECONNRESET|UND_ERR_SOCKET|UND_ERR_RES_CONTENT_LENGTH_MISMATCH|HTTPParserError)'

// biome-ignore format: a table: what fails, how, and as what it is told
const RETRYABLE: readonly (readonly [name: string, behaviour: Behaviour, came: string])[] = [
  ...[429, 502, 503, 504].map((code) => [`a ${code}`, status(code), `${code}`] as const),
  ['a JSON that breaks off', status(200, '{"id":'), '200'],
  ['a reset', cut('', 'resetAndDestroy'), CUT],
  ['a close without an answer', cut('', 'end'), CUT],
  ['a reset in the body', cut(`${OK}${LONG}`, 'resetAndDestroy'), CUT],
  ['a cut in the status line', cut('HTTP'), CUT],
  ['a cut in the head', cut(`${OK}content-ty`), CUT],
  ['a cut in the body', cut(`${OK}${LONG}`), CUT],
  ['a cut in a chunk', cut(`${OK}${CHUNK}`), CUT],
  ['a cut in a closing head', cut(`${OK}connection: close\r\ncontent-ty`), CUT],
  ['a cut in a closing body', cut(`${OK}connection: close\r\n${LONG}`), CUT],
  ['a cut in a closing chunk', cut(`${OK}connection: close\r\n${CHUNK}`), CUT],
  ['a cut in a head of HTTP/1.0', cut('HTTP/1.0 200 OK\r\ncontent-ty'), CUT],
  ['a cut in a body of HTTP/1.0', cut(`HTTP/1.0 200 OK\r\n${LONG}`), CUT],
]
for (const [index, [name, behaviour, came]] of RETRYABLE.entries()) {
  test(`${name}, once at each step: verified at the second try`, async (t) => {
    const fails = ALL_STEPS.map((step) => [step, inTurn(behaviour, () => SUCCESS[step])])
    const { ory, ...outcome } = await login(t, Object.fromEntries(fails), {}, '--logout')
    assertVerified(outcome, RegExp(`^${ALL_STEPS.map((step) => note(step, came, 2)).join('')}$`))
    assert.deepEqual(ALL_STEPS.map(ory.count), [2, 2, 2, 2])
    const [first, second] = ory.seen.filter(({ method }) => method === 'POST')
    assert.deepEqual([second?.body, second?.path], [first?.body, first?.path])
  })

  const step = ALL_STEPS[index % ALL_STEPS.length] ?? 'start'
  test(`${name} that stays, at ${step}: given up after 3 tries`, async (t) => {
    const { ory, ...outcome } = await login(t, { [step]: behaviour }, {}, '--logout')
    const notes = RegExp(`^${note(step, came, 2)}${note(step, came, 3)}ory-login: error: `)
    assertFailed(outcome, 4, step, notes, RegExp(`\n  got +${came}: `))
    assert.deepEqual([ory.count(step), ory.seen.length], [3, ALL_STEPS.indexOf(step) + 3])
  })
}

// biome-ignore format: a table: what comes, the exit code, and what is told
const FINAL: readonly (readonly [behaviour: Behaviour, code: number, says?: RegExp])[] = [
  ...[400, 401, 404, 409].map((code) => [status(code, ''), 1] as const),
  ...[403, 500, 501, 505].map((code) => [status(code), 4] as const),
  [status(302, '', { location: '/elsewhere' }), 1],
  [status(200, '{"id":', { 'content-length': '6' }), 1],
  [status(200), 1],
  [status(200, ''), 1],
  [status(200, '{}', { 'content-encoding': 'gzip' }), 4, /request failed.*Z_DATA_ERROR/s],
  [status(407, ''), 4, /request failed.*\b407\b/s],
  [cut('SSH-2.0-OpenSSH_9.9\r\n'), 1],
]
for (const step of LOGIN_STEPS)
  test(`what is final at ${step}: one request, in spite of Retry-After`, async (t) => {
    for (const [behaviour, code, says = /^/] of FINAL) {
      const { ory, ...outcome } = await login(t, { [step]: behaviour })
      assertFailed(outcome, code, step, says)
      assert.deepEqual(notesOf(outcome), [])
      assert.equal(ory.seen.length, LOGIN_STEPS.indexOf(step) + 1, outcome.stderr)
    }
  })

const own = (code: number) => status(code, { error: { code, reason: 'made for a test' } })
const CAME = {
  cut: cut('HTTP/1.1 204 No'),
  reset: cut('', 'resetAndDestroy'),
  'a 421': status(421, 'No.'),
  'a 421 without an end': (_, { socket }) =>
    void socket?.write('HTTP/1.1 421 No\r\ncontent-length: 5\r\n\r\n'),
  429: status(429, ''),
  503: status(503),
  firewall: status(403),
  unknown: () => harness.recorded('logout-unknown-token').logout,
  'own 401': own(401),
  'own 403': own(403),
  'own 502': own(502),
  'own 503': own(503),
  'own 504': own(504),
  right: () => SUCCESS.whoami,
} satisfies Record<string, Behaviour>
// biome-ignore format: a table: the exit code, how many requests there are, and what comes to them
const TRIES: readonly [step: Step, code: number, tries: number, ...(keyof typeof CAME)[]][] = [
  ['start', 4, 1, 'own 502'], ['start', 4, 3, 'own 503'], ['start', 4, 1, 'own 504'],
  ['submit', 4, 1, 'own 502'], ['submit', 4, 3, 'own 503'], ['submit', 4, 1, 'own 504'],
  ['whoami', 4, 3, 'own 502'], ['whoami', 4, 3, 'own 503'], ['whoami', 4, 3, 'own 504'],
  ['whoami', 1, 3, 'own 401'], ['whoami', 1, 3, 503, 503, 'own 401'],
  ['whoami', 0, 2, 'own 401', 'right'],
  ['logout', 4, 1, 'own 502'], ['logout', 1, 1, 'unknown'], ['logout', 1, 2, 'cut', 'unknown'],
  ['logout', 1, 2, 429, 'unknown'], ['logout', 1, 3, 503, 'cut', 'unknown'],
  ['logout', 1, 2, 'cut', 'own 403'], ['logout', 4, 2, 'cut', 'firewall'],
  ['logout', 4, 2, 429, 'firewall'], ['logout', 4, 2, 503, 'firewall'],
  // After a 421 undici itself sends once more, the password too; this program does not.
  ['submit', 1, 2, 'a 421'], ['submit', 1, 1, 'a 421 without an end'],
]
for (const [step, code, tries, ...came] of TRIES)
  test(`${step} that gets ${came.join(', then ')}: ${tries} requests, code ${code}`, async (t) => {
    const steps = { [step]: inTurn(...came.map((name) => CAME[name])) }
    const { ory, ...outcome } = await login(t, steps, {}, '--logout', '--json')
    if (code > 0) assertFailed(outcome, code, step)
    const { ok, logged_out = false } = JSON.parse(outcome.stdout)
    const isDone = code === 0
    assert.deepEqual([ok, logged_out, ory.count(step)], [isDone, isDone, tries])
  })

// ---- While connecting, and after a good start

const CODES = ['ECONNREFUSED', 'EAI_AGAIN', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH']
for (const name of ['two', ...CODES.map((code) => `${code}-1`)])
  test(`${name}.test leads to Ory, maybe by a second address or try`, async (t) => {
    const { port } = await startOry(t) // it listens at 127.0.0.1 alone
    const outcome = await run(credentials({ url: `http://${name}.test:${port}` }))
    assertVerified(outcome, /^.* BASE_URL is http:/)
    assert.equal(notesOf(outcome).length, name === 'two' ? 1 : 2)
    // The 250 ms that Node gives to an address are too short for a far one, and the next may fail.
    assert.ok(Number(dialled?.autoSelectFamilyAttemptTimeout) >= 1000)
  })

const [V6, V4] = [`E\\w+ ::1:${CLOSED_PORT}`, `ECONNREFUSED 127\\.0\\.0\\.1:${CLOSED_PORT}`]
// biome-ignore format: a table: the exit code, the number of tries, and what is told
const UNREACHABLE: readonly (readonly [url: string, code: number, tries: number, RegExp])[] = [
  ...CODES.map((code) => [`http://${code}-9.test`, 4, 3, RegExp(`got +${code}: `)] as const),
  ['http://enotfound-9.test', 4, 1, /there is no host.*got +ENOTFOUND: /s],
  ['http://127.0.0.1:6000', 2, 1, /refuses to use the port.*got +Error: bad port\n/s],
  // Of two addresses that refuse, both are told.
  [`http://two.test:${CLOSED_PORT}`, 4, 3, RegExp(`nothing listens.*${V6}.*, connect ${V4}`, 's')],
]
for (const [url, code, tries, says] of UNREACHABLE)
  test(`${url} cannot be reached: ${tries} tries`, async () => {
    time.waits.length = 0
    const outcome = await run(credentials({ url }))
    assertFailed(outcome, code, 'start', says)
    assert.equal(time.waits.length, tries - 1)
    assert.doesNotMatch(outcome.stderr, /npm run demo/)
  })

test('npm run demo is named where nothing answers at its default, and only there', async (t) => {
  assertFailed(await run({}), 4, 'start', /\b127\.0\.0\.1:4433\/.*REFUSED.*hint .*npm run demo/s)
  leadsTo.set(4433, (await startOry(t, at({ start: status(500) }))).port)
  const answered = await run({})
  assertFailed(answered, 4, 'start', /got +500: /, /hint .*BASE_URL is not set/)
  assert.doesNotMatch(answered.stderr, /npm run demo/)
})

test('a time-out keeps what the try before got', async (t) => {
  const start = inTurn(status(503, 'No upstream.'), silence)
  const outcome = await login(t, { start })
  assertFailed(outcome, 4, 'start', /got +TIMEOUT: .*; the try before got 503: No upstream\.\n/)
})

for (const [index, before] of LOGIN_STEPS.entries()) {
  const step = ALL_STEPS[index + 1] ?? 'logout'
  test(`a server that is gone at ${step}, or goes away, or says nothing`, BOUND, async (t) => {
    const last: Behaviour = () => {
      leadsTo.set(gone.port, CLOSED_PORT)
      return { ...SUCCESS[before], headers: { connection: 'close' } }
    }
    const gone: Ory = await startOry(t, at({ [before]: last }))
    for (const [outcome, ...says] of [
      [await run(credentials(gone), '--logout'), /went away/, /got +ECONNREFUSED: /],
      [await login(t, { [step]: CAME.reset }, {}, '--logout'), /went away/, RegExp(`${CUT}: `)],
      [await login(t, { [step]: silence }, {}, '--logout'), /not answer this step/, /TIMEOUT: /],
    ] as const) {
      assertFailed(outcome, 4, step, ...says)
      // The address was right.
      assert.doesNotMatch(reportOf(outcome).hint ?? '', /\b(host|port|DNS|BASE_URL)\b|https?:/)
    }
  })
}

// ---- It waits as long as it may, and no longer

for (const [steps, seconds, ...args] of [
  [LOGIN_STEPS, 30],
  [ALL_STEPS, 0.5, '--logout', '--timeout', '.5'],
] as const)
  test(`one connection and one limit of ${seconds} s, for ${steps.length} requests`, async (t) => {
    time.limits.length = 0
    const { ory, ...outcome } = await login(t, {}, {}, ...args)
    assertVerified(outcome)
    assert.deepEqual([ory.contacts.length, ory.seen.map(harness.stepOf)], [1, [...steps]])
    assert.deepEqual(time.limits, [seconds * 1000])
  })

test('waits count together: after one of 6 s, another does not fit into 10 s', async (t) => {
  time.waits.length = 0
  const busy = status(503, '', { 'retry-after': '6' })
  const steps = { start: inTurn(busy, () => SUCCESS.start), submit: busy }
  const { ms, ...outcome } = await login(t, steps, {}, '--timeout', '10', '--json')
  assertFailed({ ms, ...outcome }, 4, 'submit', /hint +--timeout leaves no time/)
  const [start, ofSubmit] = JSON.parse(outcome.stdout).steps
  assert.deepEqual([start.attempts, start.waited_ms, ofSubmit.waited_ms], [2, ...time.waits, 0])
  assert.ok(start.duration_ms + start.waited_ms <= ms + 2, `${start.duration_ms} of ${ms}`)
})

for (const [headers, due] of [
  [{ 'retry-after': '3600' }, /due in 3600(\.\d)? s\n/],
  [{ 'retry-after': new Date(Date.now() + 3.6e6).toUTCString() }, /due in 3(600|5\d\d)(\.\d)? s\n/],
  [{ 'x-ratelimit-reset': '0, 61' }, /due in 61(\.\d)? s\n/],
  [{ 'retry-after': '7200' }, /due in more than an hour\n/],
] as const)
  test(`no time for a wait of ${Object.entries(headers)}: it is not begun`, async (t) => {
    const { ory, ...outcome } = await login(t, { submit: status(429, '', headers) })
    assertFailed(outcome, 4, 'submit', /got +429: an empty body\n +hint +--timeout leaves no/, due)
    assert.deepEqual([notesOf(outcome).length, ory.count('submit')], [0, 1])
  })

/** Sends this to any request, and then something again and again. */
const hang =
  (told: string, each = '', then = () => {}) =>
  (socket: net.Socket) =>
    void socket.once('data', () => {
      const timer = setInterval(() => socket.write(each), 50)
      socket.on('close', () => clearInterval(timer)).write(told, then)
    })
const ZIPPED = 'content-encoding: gzip\r\ncontent-length: 300000\r\n\r\n'
// biome-ignore format: a table: what a server sends to any request, and then again and again
const HANGS: readonly [does: string, scheme: string, told: string, each?: string][] = [
  ['says nothing', 'http', ''],
  ['never begins with TLS', 'https', ''],
  ['never ends its headers', 'http', OK, 'x-a: b\r\n'],
  ['drips its body', 'http', `${OK}content-length: 9999\r\n\r\n{`, ' '],
  ['stalls in its body', 'http', `${OK}content-length: 9999\r\n\r\n{"id": "abc`],
  ['sends nothing but 102', 'http', '', 'HTTP/1.1 102 Processing\r\n\r\n'],
  ['sends a 421 that is no gzip', 'http', `HTTP/1.1 421 No\r\n${ZIPPED}${'x'.repeat(300_000)}`],
]
for (const [does, scheme, told, each] of HANGS)
  test(`a server that ${does}, until the time is up`, BOUND, async (t) => {
    const { port } = await harness.startRaw(
      t,
      hang(told, each, () => time.isUp()),
    )
    const env = credentials({ url: `${scheme}://127.0.0.1:${port}` })
    const outcome = await run(env, '--timeout', '7')
    const what = scheme === 'http' ? 'accepted the connection' : 'no connection was made in time'
    assertFailed(outcome, 4, 'start', RegExp(`${what}.*got +TIMEOUT: no .* \\(7 s\\)\n`, 's'))
  })

test('what is waited for is told every 5 s', async (t) => {
  let passed = 0
  const timer = { unref: () => timer }
  t.mock.method(performance, 'now', () => passed)
  t.mock.method(globalThis, 'setInterval', (then: () => void, ms: number) => {
    passed += ms
    then()
    return timer
  })
  const cleared = t.mock.method(globalThis, 'clearInterval')
  const told: string[] = []
  const streams = { print: async () => {}, say: async (line: string) => told.push(line) }
  assert.equal(await main([], credentials(await startOry(t)), streams), 0)
  const due = LOGIN_STEPS.map((step) => `${STEPS[step].name}: no answer yet after 5 s`)
  assert.deepEqual(
    told,
    due.map((line) => `ory-login: note: ${line}`),
  )
  assert.equal(cleared.mock.calls.filter((call) => call.arguments[0] === timer).length, 3)
})

// biome-ignore format: a table: which of print and say nobody reads; the exit code, what is called
const UNREAD: readonly [unread: string, Answer | Behaviour, code: number, calls: RegExp][] = [
  ['print', SUCCESS.submit, 1, /^print .*say .*stdout cannot be written\n +hint +nothing reads/s],
  ['print', status(500), 4, /^say .*got +500: /s],
  ['say', SUCCESS.submit, 0, /^print token: .*\n.*\n$/],
  ['say', status(500), 4, /^say /],
  ['print and say', SUCCESS.submit, 1, /^print .*say /s],
  ['print and say', silence, 4, /^say .*TIMEOUT/s],
]
for (const [unread, submit, code, says] of UNREAD)
  test(`nobody reads what main wants to ${unread}: exit code ${code}`, BOUND, async (t) => {
    time.graces.length = 0
    const calls: string[] = []
    const call = (name: string) => (text: string) => {
      calls.push(name, text)
      return unread.includes(name) ? new Promise(() => {}) : Promise.resolve()
    }
    const env = credentials(await startOry(t, at({ submit })))
    assert.equal(await main([], env, { print: call('print'), say: call('say') }), code)
    assert.match(calls.join(' '), says)
    // One grace: what is left of --timeout, or else a second.
    const signs = time.graces.map((ms) => Math.sign(ms - 1000))
    assert.deepEqual(signs, [submit === silence ? 0 : 1])
  })

// ---- What only a process can show: it is gone, whatever undici lost or threw, or nobody reads

/** The program, and something before it that changes what it runs on. */
const preload = (script: string) => {
  const url = `data:text/javascript,${encodeURIComponent(script)}`
  return { command: [process.execPath, '--import', harness.TSX, '--import', url, harness.PROGRAM] }
}

describe('a process is gone in its time', { concurrency: 4 }, () => {
  // Here undici's own limits, such as 300 s for the headers, are over in a second.
  const hurried = preload(`const real = setTimeout
    globalThis.setTimeout = (then, ms, ...more) => real(then, ms / 500, ...more)`)
  for (const [does, scheme, told, each] of HANGS)
    test(`where a server ${does}`, async (t) => {
      const { port } = await harness.startRaw(t, hang(told, each))
      const env = credentials({ url: `${scheme}://127.0.0.1:${port}` })
      const outcome = await program(env, ['--timeout', '3'], hurried)
      assertFailed(outcome, 4, 'start', /got +TIMEOUT: no .* within --timeout \(3 s\)\n/)
    })

  test('after an error that no promise carries, which fails the step under way', async (t) => {
    const ory = await startOry(t, at({ start: () => undefined }))
    const fault = preload(`const error = Object.assign(Error('made for a test'), { code: 'EPIPE' })
    setInterval(() => {
      if (process.listenerCount('uncaughtException')) throw error
    }, 100)`)
    const outcome = await program(credentials(ory), [], fault)
    assertFailed(outcome, 4, 'start', /got +uncaught EPIPE: made for a test\n/)
    assert.ok(ory.count('start') <= 1, 'what the process suffers is not tried again')
  })

  if (process.platform !== 'win32')
    test('where nobody reads stdout', async (t) => {
      const path = join(harness.folder(), 'a full pipe')
      execFileSync('mkfifo', [path])
      const stdout = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_NONBLOCK)
      t.after(() => fs.closeSync(stdout))
      assert.throws(() => {
        for (;;) fs.writeSync(stdout, 'full')
      }, /EAGAIN/)
      assertFailed(await program({}, ['--help'], { stdout }), 1, 'print result', /nothing reads/)
    })
})
