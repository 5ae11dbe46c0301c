/** Proxies: when one is used, how, and that its failures are told as its own. */
import assert from 'node:assert/strict'
import net from 'node:net'
import { describe, mock, test } from 'node:test'
import { authority, certify, trust } from './certificates.ts'
import * as harness from './harness.ts'
import { answerWith, at, credentials, cut, forward, type Habit, page, run } from './harness.ts'

const { program, replyOf, runChild, STEPS, silence, startOry, startProxy, TWO_LINES } = harness
trust(mock)
// All names lead to this machine.
const { connect } = net
mock.method(net, 'connect', (options: net.TcpNetConnectOpts) =>
  connect({ ...options, host: '127.0.0.1' }),
)

const tls = await certify({ name: 'ory.test' }, authority)
const through = (url: string, { port }: { port: number }) => {
  const proxy = `http://proxy-user:Pr0xy%2Bsecret@127.0.0.1:${port}`
  return { ...credentials({ url }), HTTP_PROXY: proxy, HTTPS_PROXY: proxy }
}
const BASIC = Buffer.from('proxy-user:Pr0xy+secret').toString('base64')
const SECRET = RegExp(`proxy-user|Pr0xy|${BASIC}`)

const CONNECTED = 'HTTP/1.1 200 Connection established\r\n\r\n'
const busy = answerWith('503 No')
// biome-ignore format: a table
const FAILING: readonly [scheme: string, does: string, Habit, dials: number][] = [
  ['https', 'answers 403', answerWith('403 No'), 1],
  ['https', 'answers 407', answerWith('407 Who'), 1],
  ['http', 'answers 407', answerWith('407 Who'), 1],
  ['https', 'answers 503', busy, 3],
  ['https', 'hangs up', (socket) => socket.end(), 3],
  ['https', 'resets', (socket) => socket.resetAndDestroy(), 3],
  ['https', 'is no proxy', (socket) => socket.end('SSH-2.0-x\r\n'), 3],
  ['https', 'connects, and cuts', (socket) => socket.end(CONNECTED), 3],
  ['https', 'answers with a page', answerWith('200 OK', '<h1>Log in'), 1],
  ['https', 'waits', () => {}, 1],
  ['http', 'waits', () => {}, 1],
  ['https', 'connects, and waits', (socket) => socket.write(CONNECTED), 1],
]

test('it is dialled alone, so it alone can refuse a connection, at any step', () => {
  const config = program.readConfig(through('http://ory.test', { port: 1 }), '')
  for (const [code, who] of [
    ['ENOTFOUND', 'proxy'],
    ['ECONNREFUSED', 'proxy'],
    ['EPIPE', 'nobody'],
  ]) {
    const reply = { ...replyOf(harness.answer(0)), code: `${code}` }
    assert.equal(program.readReply('submit', reply, '', config).who, who)
  }
})

describe('a proxy', { concurrency: 10 }, () => {
  for (const scheme of ['http', 'https'])
    test(`over ${scheme}, it gets its credentials, and one connection`, async (t) => {
      const isHttp = scheme === 'http'
      const [ory, proxy] = [
        await startOry(t, at({}), isHttp ? undefined : tls),
        await startProxy(t),
      ]
      const host = `ory.test:${ory.port}`
      const { stdout, stderr } = await run(through(`${scheme}://${host}`, proxy), '--verbose')
      assert.equal(stdout, TWO_LINES, stderr)
      assert.doesNotMatch(stderr, SECRET)
      assert.deepEqual([proxy.contacts(), ory.contacts(), ory.seen.length], [1, 1, 3])
      const [head = ''] = proxy.heads
      const asked = isHttp ? `GET http://${host}${STEPS.start.path}` : `CONNECT ${host}`
      assert.ok(head.startsWith(`${asked} HTTP/1.1\r\n`), head)
      assert.ok(head.includes(`Basic ${BASIC}\r\n`), head)
      assert.doesNotMatch(head, /demo|ory_st/)
      for (const { headers } of ory.seen) {
        assert.equal(headers.host, host)
        assert.equal('proxy-authorization' in headers, isHttp)
      }
    })

  test('a host in NO_PROXY is asked directly', async (t) => {
    const [ory, proxy] = [await startOry(t), await startProxy(t)]
    const env = through(`http://ory.test:${ory.port}`, proxy)
    const { code, stderr } = await run({ ...env, NO_PROXY: 'ory.test' })
    assert.deepEqual([code, proxy.contacts(), ory.contacts()], [0, 0, 1], stderr)
  })

  for (const [scheme, does, habit, dials] of FAILING)
    test(`one that ${does}, over ${scheme}: its fault, without its secret`, async (t) => {
      const proxy = await startProxy(t, habit)
      const env = through(`${scheme}://ory.test`, proxy)
      // undici would dial some again and again, and a socket may hold the process.
      const { code, stdout, stderr } = await (does.endsWith('waits')
        ? runChild(env, ['--json', '--timeout', '2'])
        : run(env, '--json'))
      const { answered_by } = JSON.parse(stdout)
      assert.deepEqual([code, answered_by, proxy.contacts()], [4, 'proxy', dials])
      assert.match(stderr, RegExp(` through the proxy 127.0.0.1:${proxy.port}\n`))
      assert.doesNotMatch(stdout + stderr, SECRET)
    })

  for (const [what, step, told, isNamed] of [
    ['a page', 'start', page(200), true],
    ['a page', 'submit', page(500), false],
    ['a cut', 'submit', cut(), false],
    ['silence', 'submit', silence, false],
  ] as const)
    test(`${what} at ${step} may be its own at the start, but not later`, async (t) => {
      const [ory, proxy] = [await startOry(t, at({ [step]: told })), await startProxy(t)]
      const env = through(`http://ory.test:${ory.port}`, proxy)
      const { stdout } = await run(env, '--json', '--timeout', '8')
      const { answered_by, hints } = JSON.parse(stdout)
      assert.notEqual(answered_by, 'proxy')
      assert.equal(/proxy/i.test(hints), isNamed)
    })

  test('a fickle one: its 503 is tried again, also after a good start', async (t) => {
    const ory = await startOry(t, at({ submit: cut() }), tls)
    const proxy = await startProxy(t, (socket, head) =>
      (proxy.heads.length === 2 ? forward : busy)(socket, head),
    )
    const { stdout } = await run(through(`https://ory.test:${ory.port}`, proxy), '--json')
    const { step, answered_by } = JSON.parse(stdout)
    assert.deepEqual([step, answered_by], ['submit credentials', 'proxy'])
  })
})
