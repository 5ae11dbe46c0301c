/** Proxies: when one is used, how, and that its failures are told as its own. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { describe, mock, type TestContext, test } from 'node:test'
import { authority, certify, TRUST } from './certificates.ts'
import type { Habit, Outcome, Variables } from './harness.ts'
import * as harness from './harness.ts'

const { IDENT, PASS, STEPS, TOKEN } = harness
const { answerWith, at, credentials, forward, program, run, startOry } = harness
const { assertFailed, assertNoSecrets, assertVerified, startProxy } = harness

/** What this machine itself looks up. */
const lookedUp = harness.nameServer()

// Each address that is none of .test is this machine's; there, all is served at 127.0.0.1.
const realConnect = net.connect
mock.method(net, 'connect', (options: net.TcpNetConnectOpts) =>
  realConnect(options.host?.endsWith('.test') ? options : { ...options, host: '127.0.0.1' }),
)

/** A stand-in for Ory behind TLS, with a certificate for a host that only a proxy knows. */
const startFar = async (t: TestContext, name: string) =>
  startOry(t, at({}), await certify({ name }, authority))

/** Credentials in the URL of a proxy, and all that would tell them. */
const withCredentials = ({ port }: { port: number }) =>
  `http://proxy-user:Pr0xy%2Bsecret@127.0.0.1:${port}`
const BASIC = Buffer.from('proxy-user:Pr0xy+secret').toString('base64')
const SECRETS = ['proxy-user', 'Pr0xy+secret', 'Pr0xy%2Bsecret', BASIC]

const far = (scheme: string, port?: number): Variables =>
  credentials({ url: `${scheme}://ory.test${port ? `:${port}` : ''}` })
const NOTE = /^ory-login: note: BASE_URL is http: .*\n$/
const retriesOf = ({ stderr }: Outcome) => stderr.match(/note: .*; attempt \d of \d/g) ?? []

describe('where it works', { concurrency: 4 }, () => {
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
      for (const { headers } of ory.seen)
        assert.deepEqual(
          [headers.host, headers['proxy-authorization']],
          [`ory.test:${ory.port}`, `Basic ${BASIC}`],
        )
      assert.deepEqual([proxy.contacts.length, ory.contacts.length], [1, 1])
    })

  test('HTTPS_PROXY is asked to connect, once, and it alone gets its credentials', async (t) => {
    const [ory, proxy] = [await startFar(t, 'ory.test'), await startProxy(t)]
    const proxies = { HTTPS_PROXY: withCredentials(proxy), HTTP_PROXY: 'http://b.test' }
    const env = { ...far('https', ory.port), ...TRUST, ...proxies }
    const outcome = await program(env, ['--verbose'])
    assertVerified(outcome, RegExp(`; the proxy 127.0.0.1:${proxy.port} \\(HTTPS_PROXY\\);`))
    assertNoSecrets(outcome, ...SECRETS)
    const [head = ''] = proxy.heads
    assert.ok(head.startsWith(`CONNECT ory.test:${ory.port} HTTP/1.1\r\n`), head)
    assert.match(head, RegExp(`\r\nproxy-authorization: Basic ${BASIC}\r\n`, 'i'))
    for (const secret of [PASS, TOKEN, IDENT, 'self-service']) assert.ok(!head.includes(secret))
    const sent = ory.seen.flatMap(({ headers }) => Object.keys(headers))
    assert.ok(!sent.some((name) => /auth/.test(name)), `${sent}`)
    const counts = [proxy.contacts.length, ory.contacts.length, ory.seen.length]
    assert.deepEqual(counts, [1, 1, 3])
  })

  test('what did not connect at first connects at the second try', async (t) => {
    const ory = await startFar(t, '192.0.2.1')
    const proxy = await startProxy(t, (socket, head) => {
      const habit = proxy.heads.length > 1 ? forward : answerWith('503 Service Unavailable')
      habit(socket, head)
    })
    const url = `https://192.0.2.1:${ory.port}`
    const outcome = await program({ ...credentials({ url }), ...TRUST, HTTPS_PROXY: proxy.url })
    assertVerified(outcome, /^ory-login: note: .* got 503; attempt 2 of 3 .*\n$/)
    assert.deepEqual([proxy.contacts.length, ory.contacts.length], [2, 1])
  })

  test('a proxy that hangs up on a plain request, once: the second try succeeds', async (t) => {
    const ory = await startOry(t)
    const proxy = await startProxy(t, (socket, head) =>
      proxy.heads.length > 1 ? forward(socket, head) : socket.end(),
    )
    const outcome = await run({ ...far('http', ory.port), HTTP_PROXY: proxy.url })
    assertVerified(outcome, /\n.*note: .* got \w+; attempt 2 of 3 .*\n$/)
  })
})

test('which variables leave it alone; only then the host is looked up here', async (t) => {
  const [ory, proxy] = [await startOry(t), await startProxy(t)]
  const { port } = ory
  const [HTTP_PROXY, HTTPS_PROXY, http_proxy] = [proxy.url, proxy.url, proxy.url]
  const SOCKS = 'socks5://127.0.0.1:1080'
  // biome-ignore format: a table: how often proxy and look-up are used for these hosts
  const cases: [uses: [proxy: number, lookup: number], hosts: string, ...Variables[]][] = [
    [[0, 1], 'api.ory.test', ...['api.ory.test', 'API.Ory.Test', 'ory.test', '.ory.test', '*.test',
      'test', '*', `api.ory.test:${port}`, `ory.test:${port}`, 'b.test, ory.test', 'b ory.test',
      ].map((NO_PROXY) => ({ NO_PROXY, HTTP_PROXY }))],
    [[1, 0], 'api.ory.test', ...['', 'ory.test:1', 'b.test', 'i.ory.test', 'y.test', '127.0.0.1',
      ].map((NO_PROXY) => ({ NO_PROXY, HTTP_PROXY }))],
    [[1, 0], 'ory.test', { http_proxy, HTTP_PROXY: 'http://b.test' }, { HTTP_PROXY,
      HTTPS_PROXY: SOCKS }, { no_proxy: 'b.test', NO_PROXY: 'ory.test', HTTP_PROXY }],
    [[0, 1], 'ory.test', { no_proxy: 'ory.test', http_proxy }, { HTTPS_PROXY, HTTP_PROXY: '' },
      { http_proxy: '', HTTP_PROXY }, { HTTPS_PROXY }, { NO_PROXY: '*', HTTP_PROXY: SOCKS }],
    [[0, 0], '127.0.0.1 127.1.2.3 2130706433 0.0.0.0 [::1] [::] [::ffff:127.0.0.1] localhost ' +
      'localhost. LOCALHOST api.localhost', { HTTP_PROXY }, { http_proxy }, { HTTP_PROXY: SOCKS }],
  ]
  const each = cases.flatMap(([uses, hosts, ...envs]) =>
    hosts.split(' ').flatMap((host) => envs.map((env) => [uses, host, env] as const)),
  )
  for (const [uses, host, env] of each) {
    const before = [proxy.contacts.length, lookedUp.length] as const
    const own = credentials({ url: `http://${host}:${port}` })
    assertVerified(await run({ ...own, ...env }), host.endsWith('.test') ? NOTE : /^$/)
    const used = [proxy.contacts.length - before[0], lookedUp.length - before[1]]
    assert.deepEqual(used, uses, `${host} ${JSON.stringify(env)}`)
  }
})

test('a proxy for http is none for https', async (t) => {
  const [ory, proxy] = [await startFar(t, 'ory.test'), await startProxy(t)]
  const [HTTP_PROXY, http_proxy] = [proxy.url, proxy.url]
  const env = { ...far('https', ory.port), ...TRUST, HTTP_PROXY, http_proxy }
  assertFailed(await run(env), 4, 'start', /certificate/)
  assert.deepEqual([proxy.contacts.length, ory.contacts.length], [0, 1])
})

const through = ({ port }: { port: number }) => RegExp(`through the proxy 127.0.0.1:${port}\n`)
const tell =
  (...told: string[]): Habit =>
  (socket) =>
    socket.write(told.join(''))
const CONNECTED = 'HTTP/1.1 200 Connection established\r\n\r\n'
const PAGE = '<title>Log in to this Wi-Fi</title>'
const reset: Habit = (socket) => socket.resetAndDestroy()
const busy = answerWith('503 No')
let turns = 0
const fadesAway: Habit = (socket, head) => (turns++ > 0 ? reset : busy)(socket, head)
const CANNOT = /: the proxy cannot be reached, or did not connect to Ory\n.*check HTTPS?_PROXY/is
// biome-ignore format: a table: what is asked, what the proxy does, its dials, and what is told
const FAILING: readonly [scheme: string, does: string, Habit, dials: number, ...RegExp[]][] = [
  ['https', 'answers 403', answerWith('403 Forbidden'), 1, /proxy refuses.* 403: .*HTTPS_PROXY/s],
  ['https', 'answers 407', answerWith('407 Who'), 1, /refuses.* 407: .*password in HTTPS_PROXY/s],
  ['http', 'answers 407', answerWith('407 Who'), 1, /refuses.*\(407\).*password in HTTP_PROXY/s],
  ['https', 'answers 502', answerWith('502 No'), 3, /could not connect.* 502: .*BASE_URL/s],
  ['https', 'answers 503', busy, 3, /answers, but could not connect.* 503: /s],
  ['https', 'answers 504', answerWith('504 No'), 3, /answers, but could not connect.* 504: /s],
  ['https', 'answers 503, then resets', fadesAway, 3, / 503; .* ECONNRESET; /s, CANNOT],
  ['https', 'answers 400', answerWith('400 No'), 3, CANNOT, / 400: /],
  ['https', 'hangs up', (socket) => socket.end(), 3, CANNOT, / (ECONNRESET|UND_ERR_SOCKET): /],
  ['http', 'hangs up', (socket) => socket.end(), 3, CANNOT, / (ECONNRESET|UND_ERR_SOCKET): /],
  ['https', 'resets', reset, 3, CANNOT, / ECONNRESET: /],
  ['http', 'resets', reset, 3, CANNOT, / ECONNRESET: /],
  ['https', 'breaks off', (socket) => socket.end('HTTP/1.1 20'), 3, CANNOT],
  ['https', 'speaks no HTTP', (socket) => socket.end('SSH-2.0-x\r\n'), 3, CANNOT, / HTTPParserE/],
  ['https', 'connects, and cuts', (socket) => socket.end(CONNECTED), 3, /cut before(?!.*PROXY)/s],
]
const variable = (scheme: string) => `${scheme.toUpperCase()}_PROXY`

describe('where it fails, it is named, without its credentials', { concurrency: true }, () => {
  for (const [scheme, does, habit, dials, ...says] of FAILING)
    test(`${scheme}, and it ${does}`, async (t) => {
      const proxy = await startProxy(t, habit)
      const outcome = await run({ ...far(scheme), [variable(scheme)]: withCredentials(proxy) })
      assertFailed(outcome, 4, 'start', through(proxy), ...says)
      assertNoSecrets(outcome, ...SECRETS)
      assert.deepEqual([proxy.contacts.length, retriesOf(outcome).length], [dials, dials - 1])
      const asked = scheme === 'http' ? /^GET http:\/\/ory\.test\// : /^CONNECT ory\.test:443 /
      for (const head of proxy.heads) assert.match(head, asked)
    })

  test('its URL cannot be used: a matter of configuration, by the name that is set', async () => {
    for (const [scheme, name, value] of [
      ['http', 'http_proxy', 'http://proxy-user:Pr0xy+secret%@b.test'],
      ['https', 'HTTPS_PROXY', 'http://proxy-user:%ff@b.test'],
      ['http', 'HTTP_PROXY', 'http://b.test/path'],
      ['https', 'https_proxy', 'socks5://proxy-user:Pr0xy+secret@b.test'],
    ] as const) {
      const outcome = await run({ ...far(scheme), [name]: value })
      assertFailed(outcome, 2, 'read configuration', RegExp(`: ${name} is not .* of an HTTP proxy`))
      assertNoSecrets(outcome, ...SECRETS)
    }
  })

  test('nothing listens there; the hint names the variable as it is spelled', async () => {
    const port = harness.CLOSED_PORT
    const refused = async (name: string) => {
      const env = far(name.replace(/_.*/, '').toLowerCase())
      const outcome = await run({ ...env, [name]: withCredentials({ port }) })
      const says = [/ ECONNREFUSED: .*attempt 3 of 3/, RegExp(`hint +check ${name},`)]
      assertFailed(outcome, 4, 'start', through({ port }), CANNOT, ...says)
      assertNoSecrets(outcome, ...SECRETS)
    }
    await Promise.all(['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy'].map(refused))
  })

  // As a process: undici dials such proxies again, Node may warn, and sockets may hold it.
  // biome-ignore format: a table
  const children: [scheme: string, does: string, Habit, seconds: number, says: RegExp][] = [
    ['https', 'says nothing', () => {}, 4, /no answer came in time.*the proxy in HTTPS_PROXY/s],
    ['http', 'says nothing', () => {}, 4, /no answer came in time.*the proxy in HTTP_PROXY/s],
    ['https', 'connects, and says nothing', tell(CONNECTED), 4, /no answer came in time/],
    ['https', 'answers with a page', answerWith('200 OK', PAGE), 20, /TLS\n.*want a login/s],
    ['https', 'connects, and sends a page', tell(CONNECTED, PAGE), 20, /does not speak TLS/],
  ]
  for (const [scheme, does, habit, seconds, says] of children)
    test(`${scheme}, and it ${does}: the process is gone in time`, async (t) => {
      const proxy = await startProxy(t, habit)
      const env = { ...far(scheme), [variable(scheme)]: withCredentials(proxy) }
      const outcome = await program(env, ['--timeout', `${seconds}`])
      const ms = performance.now() - (proxy.contacts[0] ?? 0)
      assertFailed(outcome, 4, 'start', through(proxy), says)
      assertNoSecrets(outcome, ...SECRETS)
      assert.doesNotMatch(outcome.stderr, /hint .*http:/)
      assert.ok(ms < seconds * 1000 + 15_000, `gone after ${ms} ms`)
      assert.ok(proxy.contacts.length <= 3, `${proxy.contacts.length} dials`)
    })

  test('a page to a plain request is what answers, in the place of Ory', async (t) => {
    const proxy = await startProxy(t, answerWith('200 OK', PAGE))
    const outcome = await run({ ...far('http'), HTTP_PROXY: proxy.url })
    assertFailed(outcome, 1, 'start', through(proxy), /page titled "Log in to this Wi-Fi"/)
    assert.equal(proxy.contacts.length, 1)
  })

  // biome-ignore format: a table
  const late: [what: string, Parameters<typeof at>[0], step: harness.Step, says: RegExp][] = [
    ['a 500', { whoami: { status: 500 } }, 'whoami', /got +500: /],
    ['a cut', { submit: (_, { socket }) => void socket?.destroy() }, 'submit', /went away/],
  ]
  for (const [what, steps, step, says] of late)
    test(`after a good start ${what} is not put on the proxy`, async (t) => {
      const [ory, proxy] = [await startOry(t, at(steps)), await startProxy(t)]
      const outcome = await run({ ...far('http', ory.port), HTTP_PROXY: proxy.url })
      assertFailed(outcome, 4, step, says)
      assert.doesNotMatch(outcome.stderr, /hint .*proxy/i)
    })

  test('nor is silence behind it told as no connection', async (t) => {
    const ory = await startOry(t, at({ start: () => undefined }))
    const proxy = await startProxy(t)
    const env = { ...far('http', ory.port), HTTP_PROXY: proxy.url }
    assertFailed(await run(env, '--timeout', '2'), 4, 'start', /in time through the proxy/)
  })

  test('an Ory that the proxy cannot reach any more is not a wrong host in BASE_URL', async (t) => {
    const tls = await certify({ name: 'ory.test' }, authority)
    const ory = await startOry(t, at({ submit: (_, { socket }) => void socket?.destroy() }), tls)
    const proxy = await startProxy(t, (socket, head) =>
      (proxy.heads.length > 1 ? answerWith('502 No') : forward)(socket, head),
    )
    const env = { ...far('https', ory.port), ...TRUST, HTTPS_PROXY: proxy.url }
    const outcome = await program(env)
    assertFailed(outcome, 4, 'submit', /could not connect to Ory/, /hint +the login began well/)
    assert.doesNotMatch(outcome.stderr, /hint .*BASE_URL/)
  })
})
