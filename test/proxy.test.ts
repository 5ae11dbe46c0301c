/** The program behind a proxy: HTTP_PROXY, HTTPS_PROXY and NO_PROXY are read by the process, so each case is a child. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { credentials, IDENT, IDENTITY, type Outcome, PASS, program, TOKEN, TWO_LINES } from './harness.ts'
import { replay, standIn } from './stand-in.ts'

/** What a proxy does with a CONNECT to an address. */
type Habit = (socket: Socket, address: string) => void

const answer =
  (head: string): Habit =>
  (socket) =>
    socket.end(`HTTP/1.1 ${head}\r\ncontent-length: 0\r\n\r\n`)

/** Opens the tunnel, to the port that is asked for, whatever the host's name. */
const tunnel: Habit = (socket, address) => {
  const upstream = connect(Number(address.split(':').at(-1)), '127.0.0.1')
  upstream.on('error', () => socket.destroy()).on('close', () => socket.destroy())
  socket.on('close', () => upstream.destroy())
  socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
  socket.pipe(upstream).pipe(socket)
}

/** A proxy for one test. It remembers when it was dialled, and all that it read before it did anything. */
async function startProxy(t: TestContext, habit: Habit, greet: (socket: Socket) => void = () => {}) {
  const dialled: number[] = []
  const heads: string[] = []
  const server = createServer((socket) => {
    dialled.push(performance.now())
    t.after(() => socket.destroy())
    let head = ''
    const read = (bytes: Buffer) => {
      head += bytes.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      socket.off('data', read)
      heads.push(head)
      habit(socket, head.split(' ')[1] ?? '')
    }
    socket.on('error', () => {}).on('data', read)
    greet(socket)
  }).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { host: `127.0.0.1:${port}`, url: `http://127.0.0.1:${port}`, dialled, heads }
}

async function startOry(t: TestContext) {
  const ory = await standIn(replay('success', 'logout'))
  t.after(ory.close)
  return ory
}

/** The address of a proxy that is not there. */
async function absentProxy(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `127.0.0.1:${port}`
}

function assertVerified(outcome: Outcome): void {
  assert.equal(outcome.code, 0, outcome.stderr)
  assert.equal(outcome.stdout, TWO_LINES)
  assert.equal(outcome.stderr, '')
}

const PROXY_SECRET = 'Pr0xy+secret'
const withCredentials = (host: string): string => `http://proxy-user:${encodeURIComponent(PROXY_SECRET)}@${host}`
const BASIC = Buffer.from(`proxy-user:${PROXY_SECRET}`).toString('base64')
const SECRETS = [PASS, TOKEN, IDENT, PROXY_SECRET, encodeURIComponent(PROXY_SECRET), 'proxy-user', BASIC]

/** Asserts a failure that says what it should: on stderr alone, with a hint, and without secrets. */
function assertFailed({ code, stdout, stderr }: Outcome, expected: number, ...patterns: RegExp[]): void {
  assert.equal(code, expected, stderr)
  assert.equal(stdout, '')
  const lines = stderr.trimEnd().split('\n')
  for (const line of lines) assert.match(line, /^ory-login: /)
  assert.match(lines.at(-1) ?? '', /^ory-login: hint: .*HTTPS?_PROXY/)
  for (const pattern of patterns) assert.match(stderr, pattern)
  for (const secret of SECRETS) assert.ok(!stderr.includes(secret), stderr)
}

describe('a login through a proxy', { concurrency: 4 }, () => {
  for (const name of ['HTTP_PROXY', 'http_proxy']) {
    test(`${name}: one tunnel for three requests, and no secret outside of it`, async (t) => {
      const ory = await startOry(t)
      const proxy = await startProxy(t, tunnel)
      assertVerified(await program({ ...credentials(ory.url), [name]: proxy.url }, []))
      assert.equal(proxy.dialled.length, 1)
      assert.equal(ory.connections(), 1)
      assert.equal(ory.seen.length, 3)
      assert.equal(proxy.heads.length, 1)
      const [head = ''] = proxy.heads
      assert.ok(head.startsWith(`CONNECT ${new URL(ory.url).host} HTTP/1.1\r\n`), head)
      assert.match(head, /\r\n\r\n$/)
      for (const secret of [PASS, TOKEN, IDENT, IDENTITY, 'flow']) assert.ok(!head.includes(secret), head)
    })
  }

  test('credentials of the proxy go to the proxy and nowhere else', async (t) => {
    const ory = await startOry(t)
    const proxy = await startProxy(t, tunnel)
    const env = { ...credentials(ory.url), HTTP_PROXY: withCredentials(proxy.host) }
    const outcome = await program(env, ['--verbose', '--logout'])
    assert.equal(outcome.code, 0, outcome.stderr)
    assert.equal(outcome.stdout, TWO_LINES)
    for (const secret of SECRETS) assert.ok(!outcome.stderr.includes(secret), outcome.stderr)
    assert.match(proxy.heads[0] ?? '', new RegExp(`\r\nproxy-authorization: Basic ${BASIC}\r\n`, 'i'))
    assert.equal(proxy.dialled.length, 1)
    assert.equal(ory.seen.length, 4)
    for (const { headers } of ory.seen) {
      assert.equal(headers['proxy-authorization'], undefined)
      assert.equal(headers.authorization, undefined)
    }
  })

  test('the proxy looks the host up, so that no resolver is needed here', async (t) => {
    const ory = await startOry(t)
    const proxy = await startProxy(t, tunnel)
    const { port } = new URL(ory.url)
    const outcome = await program({ ...credentials(`http://ory.invalid:${port}`), HTTP_PROXY: proxy.url }, [])
    assert.equal(outcome.code, 0, outcome.stderr)
    assert.equal(outcome.stdout, TWO_LINES)
    assert.match(outcome.stderr, /^ory-login: warning: .*unencrypted\n$/)
    assert.ok(proxy.heads[0]?.startsWith(`CONNECT ory.invalid:${port} HTTP/1.1\r\n`))
  })

  for (const [name, env] of [
    ['NO_PROXY names the host', (_: string) => ({ NO_PROXY: '127.0.0.1' })],
    ['no_proxy names the host', (_: string) => ({ no_proxy: '127.0.0.1' })],
    ['NO_PROXY names host and port among others', (host: string) => ({ NO_PROXY: `example.com, ${host}` })],
    ['NO_PROXY is *', (_: string) => ({ NO_PROXY: '*' })],
  ] as const) {
    test(`${name}: the proxy is left alone`, async (t) => {
      const ory = await startOry(t)
      const proxy = await startProxy(t, answer('502 Bad Gateway'))
      const proxies = { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url }
      assertVerified(await program({ ...credentials(ory.url), ...proxies, ...env(new URL(ory.url).host) }, []))
      assert.equal(proxy.dialled.length, 0)
      assert.equal(ory.seen.length, 3)
    })
  }

  test('NO_PROXY names another host: the proxy is used', async (t) => {
    const ory = await startOry(t)
    const proxy = await startProxy(t, tunnel)
    const env = { ...credentials(ory.url), HTTP_PROXY: proxy.url, NO_PROXY: 'example.com,127.0.0.1:1' }
    assertVerified(await program(env, []))
    assert.equal(proxy.dialled.length, 1)
  })

  test('HTTPS_PROXY is not for a BASE_URL with http', async (t) => {
    const ory = await startOry(t)
    const proxy = await startProxy(t, answer('502 Bad Gateway'))
    assertVerified(await program({ ...credentials(ory.url), HTTPS_PROXY: proxy.url }, []))
    assert.equal(proxy.dialled.length, 0)
  })
})

/** Proxies that fail, how often they may be dialled, and what is said. The first five are tried with https too. */
const FAILING: [name: string, habit: Habit, dials: number, says: RegExp][] = [
  ['answers 407', answer('407 Proxy Authentication Required'), 1, /\b407\b.*hint: .*user and password/s],
  ['answers 403', answer('403 Forbidden'), 1, /\b403\b/],
  ['answers 502', answer('502 Bad Gateway'), 3, /\b502\b.*attempt 3 of 3/s],
  ['hangs up on each CONNECT', (socket) => socket.end(), 3, /attempt 3 of 3/],
  ['speaks no HTTP', (socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n'), 1, /HTTP/],
  ['answers 400', answer('400 Bad Request'), 1, /\b400\b/],
  ['answers 500', answer('500 Internal Server Error'), 1, /\b500\b/],
  ['answers 503', answer('503 Service Unavailable'), 3, /\b503\b.*attempt 3 of 3/s],
  ['resets each CONNECT', (socket) => socket.resetAndDestroy(), 3, /attempt 3 of 3/],
  ['breaks off its answer', (socket) => socket.end('HTTP/1.1 20'), 3, /attempt 3 of 3/],
]

describe('a proxy that fails is named as what failed', { concurrency: 6 }, () => {
  for (const [scheme, name] of [
    ['http', 'HTTP_PROXY'],
    ['https', 'HTTPS_PROXY'],
  ] as const) {
    for (const [does, habit, dials, says] of scheme === 'http' ? FAILING : FAILING.slice(0, 5)) {
      test(`a proxy in ${name} ${does}`, async (t) => {
        const proxy = await startProxy(t, habit)
        const env = { ...credentials(`${scheme}://ory.invalid`), [name]: withCredentials(proxy.host) }
        const outcome = await program(env, [])
        // Whatever it is, it is no answer of Ory's: the proxy's "no HTTP" too says nothing about Ory.
        assertFailed(outcome, 4, /start login flow/, /Ory was not reached/, new RegExp(`proxy ${proxy.host}`), says)
        assert.equal(proxy.dialled.length, dials)
        for (const head of proxy.heads) assert.match(head, /^CONNECT ory\.invalid:(80|443) HTTP\/1\.1\r\n/)
      })
    }

    test(`a proxy in ${name} that accepts and says nothing: the end comes in time`, { timeout: 20_000 }, async (t) => {
      const proxy = await startProxy(t, () => {})
      const env = { ...credentials(`${scheme}://ory.invalid`), [name]: withCredentials(proxy.host) }
      const outcome = await program(env, ['--timeout', '1'])
      const ms = performance.now() - (proxy.dialled[0] ?? 0)
      assertFailed(outcome, 4, /start login flow/, /TIMEOUT/, /Ory was not reached/, new RegExp(`proxy ${proxy.host}`))
      assert.equal(proxy.dialled.length, 1)
      assert.ok(ms < 4000, `gone ${ms} ms after it dialled`)
    })

    test(`a proxy in ${name} that is not there`, async () => {
      const host = await absentProxy()
      const env = { ...credentials(`${scheme}://ory.invalid`), [name]: withCredentials(host) }
      const outcome = await program(env, [])
      assertFailed(outcome, 4, /ECONNREFUSED/, /Ory was not reached/, new RegExp(`proxy ${host}`), /attempt 3 of 3/)
    })
  }

  test('a proxy whose name nobody knows', async () => {
    const env = { ...credentials('https://127.0.0.1'), HTTPS_PROXY: withCredentials('proxy.invalid:3128') }
    const outcome = await program(env, ['--timeout', '2'])
    assertFailed(outcome, 4, /ENOTFOUND|EAI_AGAIN|TIMEOUT/, /Ory was not reached/, /proxy proxy\.invalid:3128/)
  })

  for (const [name, value] of [
    ['HTTP_PROXY', 'proxy:3128'],
    ['HTTP_PROXY', '::'],
    ['HTTP_PROXY', 'ftp://x'],
    ['http_proxy', 'http://'],
    ['HTTPS_PROXY', 'proxy:3128'],
    ['https_proxy', `http://proxy-user:${PROXY_SECRET}@:bad`],
  ] as const) {
    test(`${name}=${value} is not a proxy's URL, and a matter of configuration`, async (t) => {
      const ory = await startOry(t)
      const outcome = await program({ ...credentials(ory.url), [name]: value }, [])
      assertFailed(outcome, 2, /proxy/i)
      assert.equal(ory.connections(), 0)
    })
  }

  for (const [does, habit] of [
    ['says nothing', () => {}],
    ['hangs up', (socket: Socket) => socket.end()],
    ['speaks no SOCKS', (socket: Socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
  ] as const) {
    test(`a proxy with a scheme that undici knows besides, socks5, that ${does}: it ends, and names the proxy`, async (t) => {
      const proxy = await startProxy(t, () => {}, habit)
      const env = {
        ...credentials('http://ory.invalid'),
        HTTP_PROXY: withCredentials(proxy.host).replace('http', 'socks5'),
      }
      const signal = { name: 'SIGKILL', afterMs: 8000 } as const // or the tests would hang with it
      const { code, killedBy, stdout, stderr } = await program(env, ['--timeout', '1'], { signal })
      assert.equal(killedBy, null, 'it had to be killed')
      assert.ok(code === 2 || code === 4, `exit code ${code}`)
      assert.equal(stdout, '')
      assert.match(stderr, /hint: .*HTTPS?_PROXY/)
      for (const secret of SECRETS) assert.ok(!stderr.includes(secret), stderr)
      assert.ok(proxy.dialled.length <= 3)
    })
  }

  test('a failure of Ory behind a proxy that works is not put on the proxy', async (t) => {
    const ory = await standIn(() => ({ status: 500, body: { error: { code: 500, message: 'made for a test' } } }))
    t.after(ory.close)
    const proxy = await startProxy(t, tunnel)
    const { code, stdout, stderr } = await program({ ...credentials(ory.url), HTTP_PROXY: proxy.url }, [])
    assert.equal(code, 4, stderr)
    assert.equal(stdout, '')
    assert.match(stderr, /\b500\b.*made for a test/)
    assert.doesNotMatch(stderr, /PROXY|Ory was not reached/)
    assert.equal(proxy.dialled.length, 1)
  })

  test('a server that hangs behind a proxy that works is not put on the proxy, and the end comes in time', {
    timeout: 20_000,
  }, async (t) => {
    const ory = await standIn(() => undefined)
    t.after(ory.close)
    const proxy = await startProxy(t, tunnel)
    const env = { ...credentials(ory.url), HTTP_PROXY: proxy.url }
    const { code, stdout, stderr } = await program(env, ['--timeout', '1'])
    const ms = performance.now() - (proxy.dialled[0] ?? 0)
    assert.equal(code, 4, stderr)
    assert.equal(stdout, '')
    assert.match(stderr, /start login flow: .*no answer came in time/s)
    assert.doesNotMatch(stderr, /PROXY|Ory was not reached/)
    assert.ok(ms < 4000, `gone ${ms} ms after it dialled`)
  })

  test('a proxy that opens each tunnel and cuts it: dialled three times at most', async (t) => {
    const proxy = await startProxy(t, (socket) => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n', () => socket.destroy())
    })
    const env = { ...credentials('http://ory.invalid'), HTTP_PROXY: withCredentials(proxy.host) }
    const { code, stdout, stderr } = await program(env, [])
    assert.equal(code, 4, stderr)
    assert.equal(stdout, '')
    assert.match(stderr, /attempt 3 of 3/)
    for (const secret of SECRETS) assert.ok(!stderr.includes(secret), stderr)
    assert.equal(proxy.dialled.length, 3)
  })
})

describe('a proxy that fails for a moment', { concurrency: true }, () => {
  for (const [does, habit] of [
    ['answers 503', answer('503 Service Unavailable')],
    ['hangs up', (socket: Socket) => socket.end()],
  ] as const) {
    test(`${does} once: the login succeeds, and the retry is announced`, async (t) => {
      const ory = await startOry(t)
      const proxy = await startProxy(t, (socket, address) =>
        (proxy.dialled.length === 1 ? habit : tunnel)(socket, address),
      )
      const outcome = await program({ ...credentials(ory.url), HTTP_PROXY: proxy.url }, [])
      assert.equal(outcome.code, 0, outcome.stderr)
      assert.equal(outcome.stdout, TWO_LINES)
      assert.match(outcome.stderr, /^ory-login: note: got PROXY \w+; attempt 2 of 3[^\n]*\n$/)
      assert.equal(proxy.dialled.length, 2)
      assert.equal(ory.connections(), 1)
    })
  }
})
