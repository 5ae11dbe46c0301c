/** TLS: whom the program trusts, and that each fault has words of its own, also through a proxy. */
import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { mock, test } from 'node:test'
import { authority, certify, TRUST, trust } from './certificates.ts'
import {
  credentials,
  errorOf,
  forward,
  type Outcome,
  run,
  runChild,
  startOry,
  startProxy,
} from './harness.ts'

trust(mock)
// It must change nothing. Node itself warns of it.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
mock.method(process, 'emitWarning', () => {})

const far = (port: number) => credentials({ url: `https://ory.test:${port}` })

/** It failed, once, with nothing of OpenSSL's own, and no advice to do without TLS. */
function assertRefused(outcome: Outcome, error: string): void {
  assert.deepEqual([outcome.code, errorOf(outcome)], [4, error], outcome.stderr)
  assert.doesNotMatch(outcome.stderr, /hint .*http:\/\/|error:\d|\.c:\d|: note: /)
}

const stranger = await certify({ name: 'A stranger', isAuthority: true })
const chained = await certify({}, stranger)
const sound = await certify({}, authority)
const other = await certify({ name: 'other.test' }, authority)
const intermediate = await certify({ name: 'An intermediate', isAuthority: true }, authority)
const below = await certify({}, intermediate)

const UNTRUSTED = 'the certificate is not trusted on this machine'
const LACKS = 'an intermediate certificate may be missing'
const HANDSHAKE = 'the TLS handshake failed'
const OLD = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' }
const ASKS = { requestCert: true, rejectUnauthorized: true }
// biome-ignore format: a table
const REFUSED: readonly (readonly [fault: string, tls: object, error: string])[] = [
  ['a certificate signed by itself', await certify(), UNTRUSTED],
  ['its authority is sent along', { ...chained, cert: chained.cert + stranger.cert }, UNTRUSTED],
  ['its intermediate is not sent', below, LACKS],
  ['it has expired', await certify({ days: [-30, -1] }, authority),
    'the certificate has expired or is not valid yet'],
  ['it is of another host', other, 'the certificate is for a different name'],
  ['the server wants one, too', { ...sound, ...ASKS, maxVersion: 'TLSv1.2' }, HANDSHAKE],
  ['TLS 1.1', { ...sound, ...OLD }, HANDSHAKE],
  ['HTTP/2 alone', { ...sound, ALPNProtocols: ['h2'] }, HANDSHAKE],
]
for (const [fault, tls, error] of REFUSED)
  test(`refused, directly and through a proxy: ${fault}`, async (t) => {
    const [ory, proxy] = [await startOry(t, undefined, tls), await startProxy(t)]
    assertRefused(await run(credentials(ory)), error)
    const proxied = await run({ ...far(ory.port), HTTPS_PROXY: proxy.url }, '--json')
    assertRefused(proxied, error)
    assert.equal(JSON.parse(proxied.stdout).answered_by, 'nobody')
    assert.deepEqual([ory.contacts(), proxy.contacts(), ory.seen.length], [2, 1, 0])
  })

test('NODE_EXTRA_CA_CERTS names an authority', async (t) => {
  const tls = { ...below, cert: below.cert + intermediate.cert }
  const ory = await startOry(t, undefined, tls)
  const { code, stderr } = await runChild({ ...credentials(ory), ...TRUST })
  assert.equal(code, 0, stderr)
})

// biome-ignore format: a table
for (const [what, scheme, tls, hint] of [
  ['http asked of TLS', 'http', sound, /hint .*https:\/\//],
  ['TLS 1.3 that asks for a client certificate', 'https',
    { ...sound, ...ASKS, minVersion: 'TLSv1.3' }, /hint .*client certificate/],
] as const)
  test(`${what} looks like a cut: it is hinted at`, async (t) => {
    const ory = await startOry(t, undefined, tls)
    const { code, stderr } = await run(credentials({ url: `${scheme}://127.0.0.1:${ory.port}` }))
    assert.deepEqual([code, ory.seen.length], [4, 0])
    assert.match(stderr, hint)
  })

for (const [tls, exit] of [
  [chained, 4],
  [await certify({ name: 'localhost' }, authority), 0],
] as const)
  test(`a proxy with a certificate of its own: exit code ${exit}`, async (t) => {
    const ory = await startOry(t, undefined, await certify({ name: 'ory.test' }, authority))
    const proxy = await startOry(t, undefined, tls)
    proxy.server.on('connect', ({ url }, socket) => {
      if (socket instanceof Socket) forward(socket, `CONNECT ${url} HTTP/1.1`)
    })
    const outcome = await run({ ...far(ory.port), https_proxy: `https://localhost:${proxy.port}` })
    assert.equal(outcome.code, exit)
    if (exit) assertRefused(outcome, LACKS)
    assert.deepEqual([ory.seen.length, proxy.seen.length], [exit ? 0 : 3, 0])
  })

test('https asked of plain http, directly and through a proxy', async (t) => {
  const [ory, proxy] = [await startOry(t), await startProxy(t)]
  const direct = await run(credentials({ url: `https://127.0.0.1:${ory.port}` }))
  assertRefused(direct, 'this port does not speak TLS')
  const proxied = await run({ ...far(ory.port), HTTPS_PROXY: proxy.url })
  assertRefused(proxied, 'what answers through the proxy does not speak TLS')
})
