/** Proxies: when one is used, how, and that its failures are told as its own. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { describe, mock, type TestContext, test } from 'node:test'
import { readConfig } from '../src/ory-login.ts'
import { authority, certify, trust } from './certificates.ts'
import type { Behaviour, Habit, Step, Variables } from './harness.ts'
import * as harness from './harness.ts'

const { IDENT, PASS, STEPS, TOKEN } = harness
const { answerWith, at, credentials, forward, program, run, startOry } = harness
const { assertFailed, assertNoSecrets, assertVerified, startProxy } = harness

trust(mock)
const time = harness.ownTime()
/** What this machine itself looks up. */
const lookedUp = harness.nameServer()
// Each address that is none of .test is this machine's; there, all is served at 127.0.0.1.
const realConnect = net.connect
mock.method(net, 'connect', (options: net.TcpNetConnectOpts) =>
  realConnect(options.host?.endsWith('.test') ? options : { ...options, host: '127.0.0.1' }),
)

/** A stand-in for Ory behind TLS, with a certificate for a host that only a proxy knows. */
const startFar = async (t: TestContext, steps: Parameters<typeof at>[0] = {}) =>
  startOry(t, at(steps), await certify({ name: 'ory.test' }, authority))
const far = (scheme: string, port: number | '' = ''): Variables =>
  credentials({ url: `${scheme}://ory.test:${port}` })
/** The usual variable of a scheme. */
const variable = (scheme: string) => `${scheme.toUpperCase()}_PROXY`
const NOTE = /^ory-login: note: BASE_URL is http:.*\n$/

/** Credentials in the URL of a proxy, and all that would tell them. */
const withCredentials = ({ port }: { port: number }) =>
  `http://proxy-user:Pr0xy%2Bsecret@127.0.0.1:${port}`
const BASIC = Buffer.from('proxy-user:Pr0xy+secret').toString('base64')
const SECRETS = ['proxy-user', 'Pr0xy+secret', 'Pr0xy%2Bsecret', BASIC]

// ---- Where it works

for (const name of ['HTTP_PROXY', 'http_proxy'])
  test(`${name} gets plain requests, on one connection, with its credentials`, async (t) => {
    const [ory, proxy] = [await startOry(t), await startProxy(t)]
    const env = { ...far('http', ory.port), [name]: withCredentials(proxy) }
    const outcome = await run(env, '--logout')
    assertVerified(outcome, NOTE)
    assertNoSecrets(outcome, ...SECRETS)
    const paths = ory.seen.map(({ method, path }) => `${method} ${path.replace(/\?.*/, '')}`)
    const steps = Object.values(STEPS).map((step) => `${step.method} ${env.BASE_URL}${step.path}`)
    assert.ok(proxy.heads[0]?.startsWith(`${steps[0]} HTTP/1.1\r\n`), proxy.heads[0])
    assert.deepEqual(paths.slice(1), steps.slice(1)) // only the first is changed on its way
    for (const { headers } of ory.seen) {
      assert.equal(headers.host, `ory.test:${ory.port}`)
      assert.equal(headers['proxy-authorization'], `Basic ${BASIC}`)
    }
    assert.deepEqual([proxy.contacts.length, ory.contacts.length, lookedUp], [1, 1, []])
  })

test('HTTPS_PROXY is asked to connect, once, and it alone gets its credentials', async (t) => {
  const [ory, proxy] = [await startFar(t), await startProxy(t)]
  const proxies = { HTTPS_PROXY: withCredentials(proxy), HTTP_PROXY: 'http://b.test' }
  const outcome = await run({ ...far('https', ory.port), ...proxies }, '--verbose')
  assertVerified(outcome, RegExp(`; the proxy 127.0.0.1:${proxy.port} \\(HTTPS_PROXY\\)\n`))
  assertNoSecrets(outcome, ...SECRETS)
  const [head = ''] = proxy.heads
  assert.ok(head.startsWith(`CONNECT ory.test:${ory.port} HTTP/1.1\r\n`), head)
  assert.match(head, RegExp(`\r\nproxy-authorization: Basic ${BASIC}\r\n`, 'i'))
  for (const secret of [PASS, TOKEN, IDENT, 'self-service']) assert.ok(!head.includes(secret))
  const sent = ory.seen.flatMap(({ headers }) => Object.keys(headers))
  assert.doesNotMatch(`${sent}`, /auth/)
  const counts = [proxy.contacts.length, ory.contacts.length, ory.seen.length]
  assert.deepEqual([counts, lookedUp], [[1, 1, 3], []])
})

// biome-ignore format: a table: whether http://api.ory.test:81 needs no proxy, given a NO_PROXY
const EXEMPT: readonly [isExempt: boolean, ...string[]][] = [
  [true, 'api.ory.test', 'API.Ory.Test', 'ory.test', '.ory.test', '*.test', 'test', '*',
    'b ory.test', 'b.test, ory.test', 'api.ory.test:81', 'ory.test:81'],
  [false, '', 'ory.test:1', 'b.test', 'i.ory.test', 'y.test', '127.0.0.1'],
]
test('NO_PROXY names a host or a domain above it, with its port or none', () => {
  const env = { ...credentials({ url: 'http://api.ory.test:81' }), HTTP_PROXY: 'http://a.test' }
  for (const [isExempt, ...values] of EXEMPT)
    for (const NO_PROXY of values)
      assert.equal(!readConfig({ ...env, NO_PROXY }, '').proxy, isExempt, NO_PROXY)
})

test('a host that needs no proxy is looked up here, and asked directly', async (t) => {
  const [ory, proxy] = [await startOry(t), await startProxy(t)]
  const env = { ...far('http', ory.port), HTTP_PROXY: proxy.url, NO_PROXY: 'ory.test' }
  assertVerified(await run(env), NOTE)
  assert.deepEqual([proxy.contacts.length, lookedUp.splice(0)], [0, ['ory.test']])
})

// ---- Where it fails

const through = ({ port }: { port: number }) => RegExp(`through the proxy 127.0.0.1:${port}\n`)
const CONNECTED = 'HTTP/1.1 200 Connection established\r\n\r\n'
const PAGE = '<title>Log in to this Wi-Fi</title>'
const hangsUp: Habit = (socket) => socket.end()
const reset: Habit = (socket) => socket.resetAndDestroy()
const busy = answerWith('503 No')
const isUp = () => time.isUp()
const CANNOT = /proxy cannot be reached, or closed the connection\n.*hint +check HTTPS?_PROXY/s
const CUT = /got +(ECONNRESET|UND_ERR_SOCKET): /
const LATE = /in time through the proxy.*: no complete answer.*the proxy in HTTPS?_PROXY/s
// biome-ignore format: a table: what is asked, what the proxy does, its dials, and what is told
const FAILING: readonly [scheme: string, does: string, Habit, dials: number, ...RegExp[]][] = [
  ['https', 'answers 403', answerWith('403 Forbidden'), 1, /not allow this host.* 403: /s],
  ['https', 'answers 407', answerWith('407 Who'), 1, /user and password.* 407: .*in HTTPS_PROXY/s],
  ['http', 'answers 407', answerWith('407 Who'), 1, /user and password.*\(407\).*in HTTP_PROXY/s],
  ['https', 'answers 502', answerWith('502 No'), 3, /could not connect.* 502: .*BASE_URL/s],
  ['https', 'answers 503', busy, 3, /could not connect.* 503: /s],
  ['https', 'answers 504', answerWith('504 No'), 3, /could not connect.* 504: /s],
  ['https', 'answers 400', answerWith('400 No'), 3, /not connect.* 400: /s],
  ['https', 'hangs up', hangsUp, 3, CANNOT, CUT],
  ['http', 'hangs up', hangsUp, 3, CANNOT, CUT],
  ['https', 'resets', reset, 3, CANNOT, / ECONNRESET: /],
  ['http', 'resets', reset, 3, CANNOT, / ECONNRESET: /],
  ['https', 'breaks off', (socket) => socket.end('HTTP/1.1 20'), 3, CANNOT],
  ['https', 'speaks no HTTP', (socket) => socket.end('SSH-2.0-x\r\n'), 3, / HTTPParserError: /],
  ['https', 'connects, and cuts', (socket) => socket.end(CONNECTED), 3, CUT],
  ['https', 'answers with a page', answerWith('200 OK', PAGE), 1, /not speak TLS.*want a login/s],
  ['https', 'sends a page then', (socket) => socket.write(CONNECTED + PAGE), 1, /not speak TLS/],
  ['https', 'says nothing', (socket) => socket.write('', isUp), 1, LATE],
  ['http', 'says nothing', (socket) => socket.write('', isUp), 1, LATE],
  ['https', 'connects, and says nothing', (socket) => socket.write(CONNECTED, isUp), 1, LATE],
]
for (const [scheme, does, habit, dials, ...says] of FAILING)
  test(`${scheme} through a proxy that ${does}: named, without its credentials`, async (t) => {
    time.waits.length = 0
    const proxy = await startProxy(t, habit)
    const outcome = await run({ ...far(scheme), [variable(scheme)]: withCredentials(proxy) })
    assertFailed(outcome, 4, 'start', through(proxy), ...says)
    assertNoSecrets(outcome, ...SECRETS)
    assert.doesNotMatch(outcome.stderr, /hint .*begin.* with http:/)
    assert.deepEqual([proxy.contacts.length, time.waits.length], [dials, dials - 1])
    const asked = scheme === 'http' ? /^GET http:\/\/ory\.test\// : /^CONNECT ory\.test:443 /
    for (const head of proxy.heads) assert.match(head, asked)
  })

// undici dials such proxies again, Node may warn, and sockets may hold the process.
describe('a process is gone in its time', { concurrency: true }, () => {
  for (const told of ['', CONNECTED])
    test(`where a proxy says nothing but "${told}"`, async (t) => {
      const proxy = await startProxy(t, (socket) => socket.write(told))
      const outcome = await program({ ...far('https'), HTTPS_PROXY: proxy.url }, ['--timeout', '2'])
      assertFailed(outcome, 4, 'start', through(proxy), LATE)
      assert.ok(proxy.contacts.length <= 1, `${proxy.contacts.length} dials`)
    })
})

const NOTHING = withCredentials({ port: harness.CLOSED_PORT })
// biome-ignore format: a table: its variable, its URL, and the exit code
const UNUSABLE: readonly [name: string, url: string, code: 2 | 4][] = [
  ['HTTP_PROXY', NOTHING, 4], ['HTTPS_PROXY', NOTHING, 4],
  ['http_proxy', NOTHING, 4], ['https_proxy', NOTHING, 4],
  ['http_proxy', 'http://proxy-user:Pr0xy+secret%@b.test', 2],
  ['HTTPS_PROXY', 'http://proxy-user:%ff@b.test', 2],
  ['HTTP_PROXY', 'http://b.test/path', 2],
  ['https_proxy', 'socks5://proxy-user:Pr0xy+secret@b.test', 2],
]
for (const [name, url, code] of UNUSABLE)
  test(`${url} in ${name}: it is named as it is spelled, exit code ${code}`, async () => {
    const outcome = await run({ ...far(name.replace(/_.*/, '').toLowerCase()), [name]: url })
    if (code === 2) assertFailed(outcome, 2, 'read settings', RegExp(`: ${name} is not the URL`))
    else assertFailed(outcome, 4, 'start', RegExp(`ECONNREFUSED: .*hint +check ${name},`, 's'))
    assertNoSecrets(outcome, ...SECRETS)
  })

test('a page to a plain request may be of the proxy, which is told', async (t) => {
  const proxy = await startProxy(t, answerWith('200 OK', PAGE))
  const outcome = await run({ ...far('http'), HTTP_PROXY: proxy.url })
  assertFailed(outcome, 1, 'start', through(proxy), /hint .*come from the proxy in HTTP_PROXY/)
  assert.equal(proxy.contacts.length, 1)
})

const cut: Behaviour = (_, { socket }) => void socket?.destroy()
// biome-ignore format: a table
const AFTER_THE_START: readonly [what: string, Step, Behaviour, says: RegExp][] = [
  ['a 500', 'whoami', () => ({ status: 500 }), /got +500: /],
  ['a cut', 'submit', cut, /went away/],
  ['silence', 'submit', () => void time.isUp(), /did not answer this step/],
]
for (const [what, step, behaviour, says] of AFTER_THE_START)
  test(`${what} at ${step}, after a good start, is not put on the proxy`, async (t) => {
    const [ory, proxy] = [await startOry(t, at({ [step]: behaviour })), await startProxy(t)]
    const outcome = await run({ ...far('http', ory.port), HTTP_PROXY: proxy.url })
    assertFailed(outcome, 4, step, says)
    assert.doesNotMatch(outcome.stderr, /hint .*proxy/i)
  })

// biome-ignore format: a table: what a proxy does at first, and then; the step that fails, if any
const FICKLE: readonly [does: string, scheme: string, Habit, Habit, Step | '', says: RegExp][] = [
  ['503, then connects', 'https', busy, forward, '', /note: .* got 503; .* \(2 of 3\)\n$/],
  ['nothing, then connects', 'http', hangsUp, forward, '', /note: .* got \w+; .* \(2 of 3\)\n$/],
  ['503, then resets', 'https', busy, reset, 'start', /cannot be reached.* ECONNRESET: /s],
  ['200, then 503', 'https', forward, busy, 'submit', /could not connect to Ory.*got +503: /s],
]
for (const [does, scheme, first, then, step, says] of FICKLE)
  test(`a proxy answers ${does}, over ${scheme}`, async (t) => {
    const steps = step === 'submit' ? { submit: cut } : {}
    const ory = await (scheme === 'http' ? startOry(t) : startFar(t, steps))
    const proxy = await startProxy(t, (...args) => (proxy.heads.length > 1 ? then : first)(...args))
    const outcome = await run({ ...far(scheme, ory.port), [variable(scheme)]: proxy.url })
    if (step) assertFailed(outcome, 4, step, says)
    else assertVerified(outcome, says)
  })
