/** A bad network: what is tried again, how long that waits, and that it always ends in its time. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { describe, mock, test } from 'node:test'
import { Headers } from 'undici'
import * as harness from './harness.ts'
import { type Answer, answer, type Behaviour, cut, error, inTurn, login } from './harness.ts'

const { ALL_STEPS, at, CLOSED_PORT, compiled, credentials, errorOf, LOGIN_STEPS } = harness
const { program, run, runChild, SUCCESS, silence, startOry, startRaw } = harness

const dials: net.TcpNetConnectOpts[] = []
const gone = new Set<string>() // ports: a closed one could be given to another server
const { connect } = net
/** Names lead to this machine; one like etimedout-2.test fails so often first, with this code. */
mock.method(net, 'connect', (options: net.TcpNetConnectOpts) => {
  dials.push(options)
  const { host = '', port } = options
  const [name = '', fails = 0] = host.split(/[-.]/)
  const isLost = dials.filter((each) => each.host === host).length <= Number(fails)
  const fault = isLost ? Object.assign(Error('a fault'), { code: name.toUpperCase() }) : null
  const first = name === 'two' ? [{ address: '::1', family: 6 }] : []
  const lookup: net.LookupFunction = (_host, _options, then) =>
    then(fault, [...first, { address: '127.0.0.1', family: 4 }])
  return connect({ ...options, port: gone.has(`${port}`) ? CLOSED_PORT : port, lookup })
})

const NOW = Date.parse('2026-03-01T12:00:00Z')
const inSeconds = (seconds: number): string => new Date(NOW + seconds * 1000).toUTCString()
const after = (value: string) => ({ 'retry-after': value })
const resets = (value: string) => ({ 'x-ratelimit-reset': value })
// biome-ignore format: a list
const NO_TIMES = ['soon', 'soon GMT', '1.5', '-1', '0x10', inSeconds(-90),
  '2026-03-01T12:01:30.000Z'].map(after)
// biome-ignore format: a table
const WAITS: readonly [ms: number, attempt: number, status: number, ...object[]][] = [
  [250, 1, 503, {}, after('0'), resets('12'), ...NO_TIMES],
  [500, 2, 0, {}],
  [1000, 1, 429, {}, resets('1795000000'), resets('3601'), ...NO_TIMES],
  [2000, 2, 429, {}, after('1'), { ...after('2'), ...resets('1795000000') }],
  [12_000, 1, 429, resets('soon, 12, 1.5, -9'), { ...after('5'), ...resets('0, 12') }],
  [90_000, 1, 503, after('90, 90'), after(inSeconds(90)),
    { ...after(inSeconds(90)), date: 'today' },
    { ...after(inSeconds(3690)), date: inSeconds(3600) }],
]
test('the longest wait counts, a backoff is its floor, its jitter on top', (t) => {
  t.mock.method(Date, 'now', () => NOW)
  for (const [ms, attempt, status, ...all] of WAITS)
    for (const told of all) {
      const headers = new Headers({ ...told })
      const waits = [0, 1].map((random) => {
        t.mock.method(Math, 'random', () => random)
        return program.waitMs(attempt, { status, headers })
      })
      const most = attempt * (status === 429 ? 500 : 125)
      assert.deepEqual(waits, [ms, ms + most], `${attempt} ${status} ${JSON.stringify(told)}`)
    }
})

test('that no answer has come is told every 5 s, at each step', async (t) => {
  t.mock.method(globalThis, 'setInterval', (then: () => void, ms: number) => ms === 5000 && then())
  const said: string[] = []
  const streams = { print: async () => {}, say: async (text: string) => said.push(text) }
  await program.main([], credentials(await startOry(t)), streams)
  const steps = said.map((text) => /note: (\w+): no answer after \d+ ms$/.exec(text)?.[1])
  assert.deepEqual(steps, LOGIN_STEPS)
})

const soon = (status: number, body: unknown = '', headers = {}) =>
  answer(status, body, { 'retry-after': '0', ...headers })
const reset = cut('', 'resetAndDestroy')
const OK = 'HTTP/1.1 200 OK\r\n'
const LONG = 'content-length: 99\r\n\r\n{"id":'
// biome-ignore format: a table
const RETRYABLE: readonly (readonly [what: string, Answer | Behaviour])[] = [
  ...[429, 502, 503, 504].map((code) => [`a ${code}`, soon(code)] as const),
  ['a JSON that breaks off', soon(200, '{"id":')],
  ['a body that is no gzip', soon(200, '{}', { 'content-encoding': 'gzip' })],
  ['a cut in the head', cut(`${OK}content-ty`)],
  ['a cut in the body', cut(OK + LONG)],
  ['a cut in a chunk', cut(`${OK}transfer-encoding: chunked\r\n\r\n9\r\n{"id"`)],
]
const dies: Behaviour = (_, { socket }) => {
  gone.add(`${socket?.localPort}`)
  socket?.destroy()
  return undefined
}

const ZIPPED = 'HTTP/1.1 421 No\r\ncontent-encoding: gzip\r\n\r\n'
// biome-ignore format: a table: what a server sends, and then again and again
const HANGS: readonly [does: string, scheme: string, told: string, each?: string][] = [
  ['says nothing', 'http', ''],
  ['never begins with TLS', 'https', ''],
  ['never ends its headers', 'http', OK, 'x-a: b\r\n'],
  ['drips its body', 'http', OK + LONG, ' '],
  ['sends nothing but 102', 'http', '', 'HTTP/1.1 102 Processing\r\n\r\n'],
  ['sends a 421 that is no gzip', 'http', `${ZIPPED}${'x'.repeat(300_000)}`],
]
const preload = (script: string) => {
  const first = ['--import', `data:text/javascript,${encodeURI(script)}`]
  return { command: [process.execPath, ...first, compiled()] }
}
/** With this, undici's own limits, such as 300 s for the headers, are over in a second. */
const HURRIED = preload(`const real = setTimeout
  globalThis.setTimeout = (then, ms, ...more) => real(then, ms / 500, ...more)`)

describe('a bad network', { concurrency: 8, timeout: 100_000 }, () => {
  for (const [what, told] of RETRYABLE)
    test(`${what}: the same request is sent again, three times at most`, async (t) => {
      const once = LOGIN_STEPS.map((step) => [step, inTurn(told, SUCCESS[step])])
      const steps = { ...Object.fromEntries(once), logout: told }
      const { ory, code, stderr } = await login(t, steps, {}, '--logout', '--timeout=99')
      assert.deepEqual([code, ALL_STEPS.map(ory.count)], [4, [2, 2, 2, 3]], stderr)
      for (const nth of [0, 2, 4, 6]) assert.deepEqual(ory.seen[nth + 1], ory.seen[nth])
    })

  for (const [step, exit, tries, what, ...told] of [
    ['start', 1, 1, 'two lengths', cut(`${OK}content-length: 2\r\n${LONG}`)],
    ['submit', 4, 1, 'a refusal that is cut', cut(`HTTP/1.1 400 No\r\n${LONG}`)],
    ['submit', 1, 2, 'a 421, after which undici sends it again', soon(421)],
    ['whoami', 0, 2, 'a 401 of Ory, then a 200', error(401, 'No.'), SUCCESS.whoami],
  ] as const)
    test(`${step} that gets ${what}: ${tries} requests, on one connection`, async (t) => {
      const { ory, code } = await login(t, { [step]: inTurn(...told) })
      assert.deepEqual([code, ory.count(step), ory.contacts()], [exit, tries, 1])
    })

  for (const [host, exit, tries, says] of [
    ['two.test', 0, 1, /^undefined/],
    ['etimedout-2.test', 0, 3, /^undefined/],
    ['enotfound-9.test', 4, 3, /^ENOTFOUND: /],
    ['two.test:2', 4, 3, /: .* ::1:2.*, connect .* 127\.0\.0\.1:2/],
    ['127.0.0.1:6000', 2, 1, /bad port/],
  ] as const)
    test(`${host}: ${tries} tries, exit code ${exit}`, async (t) => {
      const { port } = await startOry(t)
      const url = `http://${host.includes(':') ? host : `${host}:${port}`}`
      const { code, stdout } = await run(credentials({ url }), '--json')
      const { got, steps } = JSON.parse(stdout)
      assert.deepEqual([code, steps[0].attempts], [exit, tries])
      assert.match(`${got}`, says)
      // Node's 250 ms are too short for a far host.
      for (const dial of dials) assert.ok(Number(dial.autoSelectFamilyAttemptTimeout) >= 1000)
    })

  for (const step of ALL_STEPS.slice(1))
    for (const [does, told, limit, got] of [
      ['is gone', dies, '--timeout=60', /^ECONNREFUSED: /],
      ['cuts', reset, '--timeout=60', /^ECONNRESET: |^UND_ERR_SOCKET: /],
      ['hangs', inTurn(soon(503), silence), '--timeout=15', /^TIMEOUT: .* before got 503/],
    ] as const)
      test(`a server that ${does} at ${step}: its address was right`, async (t) => {
        const args = ['--logout', '--json', limit]
        const { code, stdout } = await login(t, { [step]: told }, {}, ...args)
        const report = JSON.parse(stdout)
        assert.equal(code, 4)
        assert.match(report.got, got)
        const said = [report.error, ...report.hints].join()
        assert.match(said, /after a good start|Ory began this login/)
        assert.doesNotMatch(said, /\b(host|port|DNS|BASE_URL)\b/)
      })

  for (const [does, scheme, told, each = ''] of HANGS)
    test(`where a server ${does}, the process ends in time`, async (t) => {
      const { port } = await startRaw(t, (socket) =>
        socket.once('data', () => {
          const timer = setInterval(() => socket.write(each), 50)
          socket.on('close', () => clearInterval(timer)).write(told)
        }),
      )
      const env = credentials({ url: `${scheme}://127.0.0.1:${port}` })
      const outcome = await runChild(env, ['--timeout=3'], HURRIED)
      assert.match(outcome.stderr, /got +TIMEOUT\b.* s\)\n/)
      const isOpen = errorOf(outcome).startsWith('the server accepted')
      assert.deepEqual([outcome.code, isOpen], [4, scheme === 'http'])
    })

  for (const [after, requests] of [
    ['6', 3],
    ['3600', 1],
  ] as const)
    test(`two waits of ${after} s do not fit into 11 s: ${requests} requests`, async (t) => {
      const busy = soon(503, '', { 'retry-after': after })
      const steps = { start: inTurn(busy, SUCCESS.start), submit: busy }
      const { ory, code, stderr } = await login(t, steps, {}, '--timeout', '11')
      assert.deepEqual([code, ory.seen.length], [4, requests])
      assert.match(stderr, /would exceed --timeout/)
    })

  test('what nothing caught fails the step under way', async (t) => {
    const env = credentials(await startOry(t, at({ start: silence })))
    const throws = preload(`setInterval(() => {
      if (process.listenerCount('uncaughtException')) throw Error('a fault')
    }, 100)`)
    const { code, stderr } = await runChild(env, [], throws)
    assert.match(stderr, /^ory-login: error: .*got +UNCAUGHT: Error: a fault\n/s)
    assert.equal(code, 4)
  })

  for (const [submit, exit, least] of [
    [SUCCESS.submit, 1, 5000],
    [silence, 4, 6000],
  ] as const)
    test(`nobody reads its output: exit code ${exit}`, async (t) => {
      const never = () => new Promise(() => {})
      const env = credentials(await startOry(t, at({ submit })))
      const began = performance.now()
      const code = await program.main(['--timeout=5'], env, { print: never, say: never })
      assert.equal(code, exit)
      const ms = performance.now() - began
      assert.ok(ms > least - 20 && ms < least + 15_000, `${ms}`)
    })
})
