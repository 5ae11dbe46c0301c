/** TLS: whom the program trusts, and that each fault has words of its own, also through a proxy. */
import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { describe, mock, test } from 'node:test'
import { generate } from 'selfsigned'
import { authority, certify, TRUST } from './certificates.ts'
import type { Outcome } from './harness.ts'
import * as harness from './harness.ts'

const { at, credentials, forward, notesOf, program, run, startOry, startProxy, startRaw } = harness
const { assertFailed, assertVerified } = harness

const stranger = await certify({ name: 'An authority that nobody knows', isAuthority: true })
const sound = await certify({}, authority)
const chained = await certify({}, stranger)

// All runs within this process have it, and it must change nothing. Node itself warns of it.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
mock.method(process, 'emitWarning', () => {})

/** Only a proxy knows this host. */
const far = (port: number) => credentials({ url: `https://ory.test:${port}` })

/** Nothing without TLS, nothing of OpenSSL's own. */
const NO_ADVICE = /http:\/\/|_PROXY|error:\d|\.c:\d/

/** TLS was spoken, and failed: once, with nothing sent, and no advice to do without it. */
function assertRefused(outcome: Outcome, ...says: RegExp[]): void {
  assertFailed(outcome, 4, 'start', ...says)
  assert.doesNotMatch(outcome.stderr, NO_ADVICE)
  assert.deepEqual(notesOf(outcome), [])
}

const UNTRUSTED =
  /: the server's certificate is not trusted here\n.*private auth.*NODE_EXTRA_CA_CERTS/s
const INCOMPLETE = /an intermediate one may be missing\n.*hint +let the server send.*NODE_EXTRA_CA/s
const AT_FAULT = /: there is a fault in the server's certificate\n.*hint +give the server/s
const HANDSHAKE = /: the TLS handshake failed\n/
const ASKS = { requestCert: true, rejectUnauthorized: true }
const OLD = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }
const NULL = { maxVersion: 'TLSv1.2', ciphers: 'NULL-SHA256:@SECLEVEL=0' }
// biome-ignore format: a table: servers that are refused, whoever is trusted
const REFUSED: readonly (readonly [server: string, tls: object, ...says: RegExp[]])[] = [
  ['with a self-signed certificate', await certify(), UNTRUSTED, /self-signed certificate/],
  ['with one of an unknown authority', chained, INCOMPLETE, /unable to verify the first/],
  ['with a chain up to an unknown authority', { ...chained, cert: chained.cert + stranger.cert },
    UNTRUSTED, /self-signed certificate in certificate chain/],
  ['that wants a client certificate', { ...sound, ...ASKS, maxVersion: 'TLSv1.2' }, HANDSHAKE,
    /hint .*client certificate/],
  ['that speaks TLS 1.1 at most', { ...sound, ...OLD }, HANDSHAKE, /hint .*TLS 1\.2/],
  ['that speaks HTTP/2 alone', { ...sound, ALPNProtocols: ['h2'] }, HANDSHAKE, /hint .*HTTP\/1/],
  ['that shares no cipher', { ...sound, ...NULL }, HANDSHAKE, /hint .*cipher/],
]

describe('a server is refused', () => {
  for (const [server, tls, ...says] of REFUSED)
    test(`${server}: directly, and through a proxy that connects`, async (t) => {
      const [ory, proxy] = [await startOry(t, at({}), tls), await startProxy(t)]
      assertRefused(await run(credentials(ory)), ...says)
      assertRefused(
        await run({ ...far(ory.port), HTTPS_PROXY: proxy.url }),
        /through the proxy/,
        ...says,
      )
      assert.deepEqual([ory.contacts.length, proxy.contacts.length, ory.seen.length], [2, 1, 0])
    })

  test('where NODE_EXTRA_CA_CERTS is set, and does not vouch for it, this is told', async (t) => {
    const ory = await startOry(t, at({}), await certify())
    const outcome = await run({ ...credentials(ory), ...TRUST })
    assertRefused(outcome, /not trusted here\n.*hint +NODE_EXTRA_CA_CERTS is set, but not to/s)
  })

  test('and no option changes that', async (t) => {
    const ory = await startOry(t, at({}), chained)
    for (const option of ['--insecure', '-k', '--no-verify', '--skip-tls-verify', '--ca=none'])
      assertFailed(await run(credentials(ory), option), 2, 'read options')
    assert.equal(ory.contacts.length, 0)
  })
})

const intermediate = await certify({ name: 'An intermediate', isAuthority: true }, authority)
const below = await certify({}, intermediate)
const other = await certify({ name: 'other.test' }, authority)
const ofOther = await certify({}, other)
const altNames = [{ type: 7, ip: '127.0.0.1' }] as const
const ofClient = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
  keyType: 'ec',
  algorithm: 'sha256',
  ca: authority,
  extensions: [
    { name: 'subjectAltName', altNames: [...altNames] },
    { name: 'extKeyUsage', clientAuth: true },
  ],
})
// biome-ignore format: a table: what only shows where the authority is trusted
const TRUSTED: readonly (readonly [certificate: string, tls: object, ...says: RegExp[]])[] = [
  ['that has expired', await certify({ days: [-30, -1] }, authority), /has expired.*hint .*clock/s],
  ['that does not hold yet', await certify({ days: [1, 30] }, authority),
    /not valid yet.*hint .*clock/s],
  ['of another host', other, /another name\n.*127\.0\.0\.1 is not in.*hint .*host name/s],
  ['whose intermediate is not sent', below, INCOMPLETE, / UNABLE_TO_VERIFY_LEAF_SIGNATURE: /],
  ['for clients', { cert: ofClient.cert, key: ofClient.private }, AT_FAULT, / INVALID_PURPOSE: /],
  ['of an authority that is none', { ...ofOther, cert: ofOther.cert + other.cert }, AT_FAULT,
    / INVALID_(CA|PURPOSE): /],
]

describe('with an authority that NODE_EXTRA_CA_CERTS names', { concurrency: 4 }, () => {
  for (const isBelow of [false, true])
    test(`a login is verified, with an intermediate certificate: ${isBelow}`, async (t) => {
      const chain = { ...below, cert: below.cert + intermediate.cert }
      const ory = await startOry(t, at({}), isBelow ? chain : sound)
      assertVerified(await program({ ...credentials(ory), ...TRUST }))
      assert.deepEqual([ory.contacts.length, ory.seen.length], [1, 3])
    })

  for (const [certificate, tls, ...says] of TRUSTED)
    test(`a certificate ${certificate} is refused`, async (t) => {
      const ory = await startOry(t, at({}), tls)
      const outcome = await program({ ...credentials(ory), ...TRUST })
      assertRefused(outcome, ...says)
      assert.doesNotMatch(outcome.stderr, /not trusted/)
      assert.deepEqual([ory.contacts.length, ory.seen.length], [1, 0])
    })

  for (const isProxied of [false, true])
    test(`a client certificate is asked for by TLS 1.3, proxied: ${isProxied}`, async (t) => {
      const name = isProxied ? 'ory.test' : '127.0.0.1'
      const tls = { ...(await certify({ name }, authority)), ...ASKS, minVersion: 'TLSv1.3' }
      const [ory, proxy] = [await startOry(t, at({}), tls), await startProxy(t)]
      const env = { ...credentials({ url: `https://${name}:${ory.port}` }), ...TRUST }
      const outcome = await program({ ...env, HTTPS_PROXY: proxy.url })
      assertFailed(outcome, 4, 'start', /hint .*client certificate/)
      assert.doesNotMatch(outcome.stderr, NO_ADVICE)
      assert.deepEqual([ory.seen.length, proxy.contacts.length > 0], [0, isProxied])
    })

  test('a proxy that speaks TLS itself is trusted in the same way', async (t) => {
    const serve = async (name: string) => startOry(t, at({}), await certify({ name }, authority))
    const [ory, proxy] = [await serve('ory.test'), await serve('localhost')]
    proxy.server.on('connect', ({ url }, socket) => {
      if (socket instanceof Socket) forward(socket, `CONNECT ${url} HTTP/1.1`)
    })
    const env = { ...far(ory.port), https_proxy: `https://localhost:${proxy.port}` }
    const [verified, failed] = await Promise.all([program({ ...env, ...TRUST }), run(env)])
    assertVerified(verified)
    const says = [
      /: the proxy's certificate is not trusted here\n/,
      RegExp(`the proxy localhost:${proxy.port}\n`),
    ]
    assertFailed(failed, 4, 'start', ...says, / UNABLE_TO_/)
    assert.deepEqual([ory.seen.length, proxy.seen.length], [3, 0])
  })
})

/** A ServerHello of TLS 1.0, which a client refuses by itself. */
const hello = ['160301002a', '02000026', '0301', '00'.repeat(32), '00', 'c013', '00'].join('')
// biome-ignore format: a table: what a port answers to TLS
const PORTS: readonly (readonly [port: string, answer: string | Buffer, says: RegExp])[] = [
  ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n', /: what answers does not speak TLS\n.*http:/s],
  ['SSH', 'SSH-2.0-OpenSSH_9.9\r\n', /: what answers does not speak TLS\n.*http:/s],
  ['TLS 1.0', Buffer.from(hello, 'hex'), /handshake failed\n(?!.*http:).*hint .*TLS 1\.2/s],
]

describe('the scheme', { concurrency: true }, () => {
  for (const [port, answer, says] of PORTS)
    test(`https asked of a port that speaks ${port}`, async (t) => {
      const raw = await startRaw(t, (socket) => socket.once('data', () => socket.end(answer)))
      const outcome = await run(credentials({ url: `https://127.0.0.1:${raw.port}` }))
      assertFailed(outcome, 4, 'start', says)
      assert.doesNotMatch(outcome.stderr, /error:\d|\.c:\d/)
      assert.equal(raw.contacts.length, 1)
    })

  test('https asked of plain http through a proxy: no advice to do without TLS', async (t) => {
    const [ory, proxy] = [await startOry(t), await startProxy(t, forward)]
    const outcome = await run({ ...far(ory.port), HTTPS_PROXY: proxy.url })
    assertRefused(outcome, /not speak TLS\n.*through the proxy.*hint .*port/s)
    assert.equal(ory.seen.length, 0)
  })

  test('http asked of a port that speaks TLS: the hint is https', async (t) => {
    const ory = await startOry(t, at({}), sound)
    const outcome = await run(credentials({ url: `http://127.0.0.1:${ory.port}` }))
    assertFailed(outcome, 4, 'start', /hint .*https:\/\//)
    assert.equal(ory.seen.length, 0)
  })
})
