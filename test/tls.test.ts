/** TLS: whom the program trusts, and that each fault has words of its own, also through a proxy. */
import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { mock, test } from 'node:test'
import { generate } from 'selfsigned'
import { authority, certify, TRUST, trust } from './certificates.ts'
import type { Outcome } from './harness.ts'
import * as harness from './harness.ts'

const { at, credentials, forward, notesOf, program, run, startOry, startProxy, startRaw } = harness
const { assertFailed, assertVerified } = harness

// All runs within this process have it, and it must change nothing. Node itself warns of it.
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
mock.method(process, 'emitWarning', () => {})
harness.ownTime()

/** Only a proxy knows this host. */
const far = (port: number) => credentials({ url: `https://ory.test:${port}` })

/** Nothing of OpenSSL's own, and no advice to do without TLS. */
const NO_ADVICE = /hint .*http:\/\/|error:\d|\.c:\d/

/** TLS was spoken, and failed, once. */
function assertRefused(outcome: Outcome, ...says: RegExp[]): void {
  assertFailed(outcome, 4, 'start', ...says)
  assert.doesNotMatch(outcome.stderr, NO_ADVICE)
  assert.deepEqual(notesOf(outcome), [])
}

const stranger = await certify({ name: 'An authority that nobody knows', isAuthority: true })
const chained = await certify({}, stranger)
const sound = await certify({}, authority)
const intermediate = await certify({ name: 'An intermediate', isAuthority: true }, authority)
const below = await certify({}, intermediate)
const other = await certify({ name: 'other.test' }, authority)
const ofOther = await certify({}, other)
const expired = await certify({ days: [-30, -1] }, authority)
const early = await certify({ days: [1, 30] }, authority)
const ofClient = await generate([{ name: 'commonName', value: '127.0.0.1' }], {
  keyType: 'ec',
  algorithm: 'sha256',
  ca: authority,
  extensions: [
    { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
    { name: 'extKeyUsage', clientAuth: true },
  ],
})

const UNTRUSTED = /not trusted on this machine\n.*hint +with a private CA.*NODE_EXTRA_CA_CERTS/s
const LACKS = /intermediate.* UNABLE_TO_VERIFY_LEAF_.*hint +let the server send.*NODE_EXTRA_CA/s
const AT_FAULT = /certificate is faulty\n.*got +INVALID_(CA|PURPOSE): /s
const HANDSHAKE = /TLS handshake failed\n.*hint .*client certificate.*TLS 1\.2.*HTTP\/1/s
const NONE = /no certificate for this host.*hint .*client certificate.*TLS 1\.2/s
const ASKS = { requestCert: true, rejectUnauthorized: true }
const OLD = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }
const NULL = { maxVersion: 'TLSv1.2', ciphers: 'NULL-SHA256:@SECLEVEL=0' }
// biome-ignore format: a table: servers that are refused, whoever is trusted
const REFUSED: readonly (readonly [server: string, tls: object, ...says: RegExp[]])[] = [
  ['with a self-signed certificate', await certify(), UNTRUSTED, / DEPTH_ZERO_SELF_SIGNED_CERT: /],
  ['with one of an unknown authority', chained, LACKS, /unable to verify the first/],
  ['with a chain up to an unknown authority', { ...chained, cert: chained.cert + stranger.cert },
    UNTRUSTED, / SELF_SIGNED_CERT_IN_CHAIN: /],
  ['that wants a client certificate', { ...sound, ...ASKS, maxVersion: 'TLSv1.2' }, NONE],
  ['that speaks TLS 1.1 at most', { ...sound, ...OLD }, HANDSHAKE],
  ['that speaks HTTP/2 alone', { ...sound, ALPNProtocols: ['h2'] }, HANDSHAKE],
  ['that shares no cipher', { ...sound, ...NULL }, NONE],
]
test('NODE_TLS_REJECT_UNAUTHORIZED has no effect, and this is told', async (t) => {
  const ory = await startOry(t, at({}), await certify())
  const env = { ...credentials(ory), NODE_TLS_REJECT_UNAUTHORIZED: '0' }
  assertRefused(await run(env), /UNAUTHORIZED=0 has no effect/)
})

for (const [server, tls, ...says] of REFUSED)
  test(`a server ${server} is refused, directly and through a proxy`, async (t) => {
    const [ory, proxy] = [await startOry(t, at({}), tls), await startProxy(t)]
    const proxied = await run({ ...far(ory.port), HTTPS_PROXY: proxy.url })
    assertRefused(await run(credentials(ory)), ...says)
    assertRefused(proxied, /through the proxy/, ...says)
    assert.deepEqual([ory.contacts.length, proxy.contacts.length, ory.seen.length], [2, 1, 0])
  })

// biome-ignore format: a table: what only shows where the authority is trusted
const FAULTY: readonly (readonly [certificate: string, tls: object, ...says: RegExp[]])[] = [
  ['that has expired', expired, /has expired.* CERT_HAS_EXPIRED: .*hint .*clock/s],
  ['that is not valid yet', early, /not valid yet.* CERT_NOT_YET_VALID: .*hint .*clock/s],
  ['of another host', other, /different name\n.*127\.0\.0\.1 is not in.*hint +check the host/s],
  ['whose intermediate is not sent', below, LACKS],
  ['for clients', { cert: ofClient.cert, key: ofClient.private }, AT_FAULT],
  ['of an authority that is none', { ...ofOther, cert: ofOther.cert + other.cert }, AT_FAULT],
]
for (const [certificate, tls, ...says] of FAULTY)
  test(`a certificate ${certificate} is refused, though its authority is trusted`, async (t) => {
    trust(t.mock)
    const ory = await startOry(t, at({}), tls)
    const outcome = await run(credentials(ory))
    assertRefused(outcome, ...says)
    assert.doesNotMatch(outcome.stderr, /not trusted/)
    assert.deepEqual([ory.contacts.length, ory.seen.length], [1, 0])
  })

test('NODE_EXTRA_CA_CERTS names an authority, and an intermediate one may be sent', async (t) => {
  const ory = await startOry(t, at({}), { ...below, cert: below.cert + intermediate.cert })
  assertVerified(await program({ ...credentials(ory), ...TRUST }))
})

test('no option does without trust', async (t) => {
  const ory = await startOry(t, at({}), chained)
  for (const option of ['--insecure', '-k', '--no-verify', '--skip-tls-verify', '--ca=none'])
    assertFailed(await run(credentials(ory), option), 2, 'read settings')
  assert.equal(ory.contacts.length, 0)
})

test('a client certificate that TLS 1.3 asks for, after its handshake', async (t) => {
  trust(t.mock)
  const ory = await startOry(t, at({}), { ...sound, ...ASKS, minVersion: 'TLSv1.3' })
  assertFailed(await run(credentials(ory)), 4, 'start', /hint .*client certificate/)
  assert.equal(ory.seen.length, 0)
})

test('a proxy that speaks TLS itself is trusted, or not, in the same way', async (t) => {
  const serve = async (name: string) => startOry(t, at({}), await certify({ name }, authority))
  const [ory, proxy] = [await serve('ory.test'), await serve('localhost')]
  proxy.server.on('connect', ({ url }, socket) => {
    if (socket instanceof Socket) forward(socket, `CONNECT ${url} HTTP/1.1`)
  })
  const env = { ...far(ory.port), https_proxy: `https://localhost:${proxy.port}` }
  const through = RegExp(`proxy localhost:${proxy.port}\n.*hint .*the proxy in https_proxy`, 's')
  assertRefused(await run(env), through, LACKS)
  trust(t.mock)
  assertVerified(await run(env))
  assert.deepEqual([ory.seen.length, proxy.seen.length], [3, 0])
})

// ---- The scheme

/** A ServerHello of TLS 1.0, which a client refuses by itself. */
const hello = ['160301002a', '02000026', '0301', '00'.repeat(32), '00', 'c013', '00'].join('')
// biome-ignore format: a table: what a port answers to TLS
const PORTS: readonly (readonly [port: string, answer: string | Buffer, says: RegExp])[] = [
  ['HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n', /does not speak TLS\n.*http:/s],
  ['SSH', 'SSH-2.0-OpenSSH_9.9\r\n', /does not speak TLS\n.*http:/s],
  ['TLS 1.0', Buffer.from(hello, 'hex'), HANDSHAKE],
]
for (const [port, answer, says] of PORTS)
  test(`https asked of a port that speaks ${port}`, async (t) => {
    const raw = await startRaw(t, (socket) => socket.once('data', () => socket.end(answer)))
    const outcome = await run(credentials({ url: `https://127.0.0.1:${raw.port}` }))
    assertFailed(outcome, 4, 'start', says)
    assert.doesNotMatch(outcome.stderr, /error:\d|\.c:\d/)
    assert.equal(raw.contacts.length, 1)
  })

test('https asked of plain http through a proxy: no advice to do without TLS', async (t) => {
  const [ory, proxy] = [await startOry(t), await startProxy(t)]
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
