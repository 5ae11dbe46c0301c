/** Logins over TLS, with certificates that are made here. What a process trusts is read as it starts: those are children. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { certify } from './certificates.ts'
import { credentials, emptyFolder, IDENT, type Outcome, PASS, program, run, TOKEN, TWO_LINES } from './harness.ts'
import { replay, standIn } from './stand-in.ts'

const authority = certify({ name: 'An authority of the tests', isAuthority: true })
const caFile = join(emptyFolder(), 'authority.pem')
writeFileSync(caFile, authority.cert)
const TRUSTED = { NODE_EXTRA_CA_CERTS: caFile }

/** A stand-in for Ory that speaks TLS with this certificate. */
async function serve(t: TestContext, certificate: { key: string; cert: string }) {
  const ory = await standIn(replay('success', 'logout'), certificate)
  t.after(ory.close)
  return ory
}

/** A proxy that opens tunnels, and keeps all bytes that the client sends. */
async function startProxy(t: TestContext, tunnels: (port: number) => boolean = () => true) {
  const dialled: number[] = []
  const received: Buffer[] = []
  const server = createServer((socket) => {
    dialled.push(performance.now())
    t.after(() => socket.destroy())
    socket.on('error', () => {}).on('data', (bytes) => received.push(bytes))
    socket.once('data', (bytes) => {
      const port = Number(/^CONNECT \S+:(\d+) /.exec(bytes.toString('latin1'))?.[1])
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      if (!tunnels(port)) return
      const upstream = connect(port, '127.0.0.1')
      upstream.on('error', () => socket.destroy()).on('close', () => socket.destroy())
      socket.on('close', () => upstream.destroy())
      socket.pipe(upstream).pipe(socket)
    })
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, dialled, bytes: () => Buffer.concat(received).toString('latin1') }
}

/** Asserts a failure at the first step: on stderr alone, with a hint, at the first attempt, and without secrets. */
function assertFailed({ code, stdout, stderr }: Outcome, expected: number, ...patterns: RegExp[]): void {
  assert.equal(code, expected, stderr)
  assert.equal(stdout, '')
  const lines = stderr.trimEnd().split('\n')
  assert.ok(stderr.includes('ory-login: start login flow: GET https'), stderr)
  assert.match(lines.at(-1) ?? '', /^ory-login: hint: \S/)
  for (const pattern of patterns) assert.match(stderr, pattern)
  for (const secret of [PASS, TOKEN, IDENT]) assert.ok(!stderr.includes(secret), stderr)
  assert.doesNotMatch(stderr, /attempt/)
}

/** Kinds of certificates that must not be accepted, with what says which they are. */
const REFUSED: [
  name: string,
  make: () => { key: string; cert: string },
  env: Record<string, string>,
  says: RegExp[],
][] = [
  ['signed by itself', () => certify(), {}, [/not trusted/, /self-signed/, /NODE_EXTRA_CA_CERTS/]],
  ['signed by an unknown authority', () => certify({}, authority), {}, [/not trusted/, /NODE_EXTRA_CA_CERTS/]],
  [
    'sent along with an unknown authority',
    () => {
      const { key, cert } = certify({}, authority)
      return { key, cert: cert + authority.cert }
    },
    {},
    [/not trusted/, /self-signed certificate in certificate chain/, /NODE_EXTRA_CA_CERTS/],
  ],
  [
    'signed by itself, where another authority is trusted',
    () => certify(),
    TRUSTED,
    [/not trusted/, /NODE_EXTRA_CA_CERTS/],
  ],
  ['that has expired', () => certify({ days: [-30, -1] }, authority), TRUSTED, [/expired/, /clock/]],
  ['that does not hold yet', () => certify({ days: [1, 30] }, authority), TRUSTED, [/not yet valid/, /clock/]],
  [
    'of another host',
    () => certify({ name: 'other.example' }, authority),
    TRUSTED,
    [/another name/, /127\.0\.0\.1 is not in/],
  ],
  ['of another address', () => certify({ name: '127.0.0.9' }, authority), TRUSTED, [/another name/, /127\.0\.0\.9/]],
]
const isAboutTrust = (says: RegExp[]): boolean => says.some(({ source }) => source === 'not trusted')

describe('TLS', { concurrency: 4 }, () => {
  test('the certificates of these tests are sound', () => {
    const leaf = certify({}, authority)
    const issuer = new X509Certificate(authority.cert)
    assert.ok(new X509Certificate(leaf.cert).verify(issuer.publicKey))
    assert.ok(new X509Certificate(leaf.cert).checkIssued(issuer))
    assert.equal(new X509Certificate(leaf.cert).checkIP('127.0.0.1'), '127.0.0.1')
  })

  test('a login with an authority from NODE_EXTRA_CA_CERTS: one connection, three requests', async (t) => {
    const ory = await serve(t, certify({}, authority))
    const outcome = await program({ ...credentials(ory.url), ...TRUSTED }, [])
    assert.equal(outcome.code, 0, outcome.stderr)
    assert.equal(outcome.stdout, TWO_LINES)
    assert.equal(outcome.stderr, '')
    assert.equal(ory.connections(), 1)
    assert.equal(ory.seen.length, 3)
  })

  for (const [name, make, env, says] of REFUSED) {
    test(`a certificate ${name}: one attempt, nothing is sent, and it is told which problem it is`, async (t) => {
      const ory = await serve(t, make())
      const outcome = await program({ ...credentials(ory.url), ...env }, [])
      assertFailed(outcome, 4, ...says)
      if (!isAboutTrust(says)) assert.doesNotMatch(outcome.stderr, /not trusted|NODE_EXTRA_CA_CERTS/)
      assert.doesNotMatch(outcome.stderr, /PROXY/)
      assert.equal(ory.connections(), 1)
      assert.equal(ory.seen.length, 0)
    })
  }

  test('https asked of a port that speaks plain http: one attempt, and the hint asks for the scheme', async (t) => {
    const ory = await standIn(replay('success'))
    t.after(ory.close)
    const outcome = await run(credentials(ory.url.replace('http:', 'https:')))
    assertFailed(outcome, 4, /TLS handshake failed/, /hint: .*http:\/\//)
    assert.equal(ory.connections(), 1)
    assert.equal(ory.seen.length, 0)
  })

  test('http asked of a port that speaks TLS: the hint asks for https', async (t) => {
    const ory = await serve(t, certify())
    const outcome = await run(credentials(ory.url.replace('https:', 'http:')))
    assert.equal(outcome.code, 4, outcome.stderr)
    assert.equal(outcome.stdout, '')
    assert.match(outcome.stderr, /ory-login: start login flow: GET http:/)
    assert.match(outcome.stderr, /hint: .*https/)
    assert.equal(ory.seen.length, 0)
  })

  for (const option of ['--insecure', '-k', '--no-verify', '--skip-tls-verify', '--ca=none']) {
    test(`there is no option ${option}`, async (t) => {
      const ory = await serve(t, certify())
      const { code, stdout, stderr } = await run(credentials(ory.url), option)
      assert.equal(code, 2)
      assert.equal(stdout, '')
      assert.match(stderr, /^ory-login: read options: .*\nory-login: hint: .*--help\n$/)
      assert.equal(ory.connections(), 0)
    })
  }

  test('no variable switches verification off, not even the one of Node', async (t) => {
    const ory = await serve(t, certify())
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: '0', INSECURE: '1', SKIP_TLS_VERIFY: 'true', ORY_INSECURE: 'true' }
    assertFailed(await program({ ...credentials(ory.url), ...env }, []), 4, /not trusted/)
    assert.equal(ory.seen.length, 0)
  })

  test('no variable switches verification off behind a proxy either', async (t) => {
    const ory = await serve(t, certify())
    const proxy = await startProxy(t)
    const env = { ...credentials(ory.url), HTTPS_PROXY: proxy.url, NODE_TLS_REJECT_UNAUTHORIZED: '0' }
    assertFailed(await program(env, []), 4, /not trusted/)
    assert.equal(ory.seen.length, 0)
  })
})

describe('TLS through a proxy', { concurrency: 4 }, () => {
  for (const variable of ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY']) {
    test(`a login through the tunnel of ${variable}: one tunnel, one connection, and nothing in plain text`, async (t) => {
      const ory = await serve(t, certify({}, authority))
      const proxy = await startProxy(t)
      const outcome = await program({ ...credentials(ory.url), ...TRUSTED, [variable]: proxy.url }, [])
      assert.equal(outcome.code, 0, outcome.stderr)
      assert.equal(outcome.stdout, TWO_LINES)
      assert.equal(outcome.stderr, '')
      assert.equal(proxy.dialled.length, 1)
      assert.equal(ory.connections(), 1)
      assert.equal(ory.seen.length, 3)
      assert.ok(proxy.bytes().startsWith(`CONNECT ${new URL(ory.url).host} HTTP/1.1\r\n`))
      for (const plain of [PASS, TOKEN, IDENT, 'self-service']) assert.ok(!proxy.bytes().includes(plain))
    })
  }

  for (const [name, make, env, says] of REFUSED.filter(([name]) => /itself$|expired|host$/.test(name))) {
    test(`a certificate ${name}: one tunnel, and it is the server's failure, not the proxy's`, async (t) => {
      const ory = await serve(t, make())
      const proxy = await startProxy(t)
      const outcome = await program({ ...credentials(ory.url), ...env, HTTPS_PROXY: proxy.url }, [])
      assertFailed(outcome, 4, ...says)
      assert.doesNotMatch(outcome.stderr, /PROXY|Ory was not reached/)
      assert.equal(proxy.dialled.length, 1)
      assert.equal(ory.seen.length, 0)
    })
  }

  test("a handshake that never ends behind a proxy that works: the end comes in time, as the server's failure", {
    timeout: 20_000,
  }, async (t) => {
    const proxy = await startProxy(t, () => false)
    const env = { ...credentials('https://ory.invalid'), HTTPS_PROXY: proxy.url }
    const outcome = await program(env, ['--timeout', '1'])
    const ms = performance.now() - (proxy.dialled[0] ?? 0)
    assertFailed(outcome, 4, /no answer came in time/, /--timeout 1\b/)
    assert.doesNotMatch(outcome.stderr, /PROXY|Ory was not reached/)
    assert.equal(proxy.dialled.length, 1)
    assert.ok(ms < 4000, `gone ${ms} ms after it dialled`)
  })

  for (const [name, make, says] of [
    ['signed by itself', () => certify(), /self-signed/],
    ['that has expired', () => certify({ days: [-30, -1] }, authority), /expired/],
    ['of another host', () => certify({ name: 'other.example' }, authority), /127\.0\.0\.1 is not in/],
  ] as const) {
    test(`a proxy that itself speaks TLS, with a certificate ${name}, is named as what failed`, async (t) => {
      let dials = 0
      const server = createTlsServer(make()).listen(0, '127.0.0.1')
      server.on('connection', () => {
        dials += 1
      })
      server.on('tlsClientError', () => {})
      t.after(() => server.close())
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const env = { ...credentials('https://ory.invalid'), ...TRUSTED, HTTPS_PROXY: `https://127.0.0.1:${port}` }
      const outcome = await program(env, ['--timeout', '5'])
      assertFailed(
        outcome,
        4,
        says,
        new RegExp(`proxy 127\\.0\\.0\\.1:${port}`),
        /Ory was not reached/,
        /hint: .*HTTPS_PROXY/,
      )
      assert.equal(dials, 1)
    })
  }
})
