/**
 * `npm run test:live`: the real program against the Ory that BASE_URL, IDENT and PASS name in the environment (the demo
 * defaults else, which test/kratos/compose.yml serves). Each run logs in for real; the wrong password is sent once.
 */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { fetch } from 'undici'

const { BASE_URL = 'http://127.0.0.1:4433', IDENT = 'demo@example.com', PASS = 'demo-only-password' } = process.env
const { program } = await import('./harness.ts') // it clears the three variables, so after they are read

const base = BASE_URL.trim().replace(/\/+$/, '')
const login = (args: string[], env: Record<string, string> = {}) =>
  program({ BASE_URL: base, IDENT, PASS, ...env }, args)

before(async () => {
  const answer = await fetch(`${base}/self-service/login/api`).catch(() => undefined)
  await answer?.body?.cancel()
  if (answer) return
  console.error(`Nothing answers at ${base}. Set BASE_URL, IDENT and PASS, or start the demo Ory:`)
  console.error('  docker compose -f test/kratos/compose.yml up')
  process.exit(1)
})

test('a login is verified', async () => {
  const { code, stdout, stderr } = await login([])
  assert.equal(code, 0, stderr)
  assert.match(stdout, /^token: \S{1,24}…\nidentity_id: \S+\n$/)
})

test('a wrong password is refused, with exit code 3', async () => {
  const { code, stdout, stderr } = await login([], { PASS: `${PASS}-wrong` })
  assert.equal(code, 3, stderr)
  assert.equal(stdout, '')
  assert.match(stderr, /submit credentials[\s\S]*hint: /)
})

test('--json gives one value that says the same', async () => {
  const { code, stdout, stderr } = await login(['--json', '--logout'])
  assert.equal(code, 0, stderr)
  const { ok, identity_id, logged_out, steps } = JSON.parse(stdout)
  assert.deepEqual([ok, logged_out, steps.length], [true, true, 4])
  assert.match(identity_id, /\S/)
})

test('after --logout the token is refused', async () => {
  let token = ''
  // The program shows no whole token, so a relay on loopback listens in.
  const relay = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    const headers = Object.entries(request.headers).filter(([name]) => !/^(host|connection|content-length)$/.test(name))
    const answer = await fetch(base + request.url, {
      method: request.method ?? 'GET',
      headers: headers.map(([name, value]): [string, string] => [name, String(value)]),
      body: body === '' ? null : body,
    })
    const text = await answer.text()
    token ||= /"session_token":"([^"]+)"/.exec(text)?.[1] ?? ''
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text)
  })
  after(() => relay.close())
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
  const { port } = relay.address() as AddressInfo
  const { code, stderr } = await login(['--logout'], { BASE_URL: `http://127.0.0.1:${port}` })
  assert.equal(code, 0, stderr)
  assert.notEqual(token, '')
  const whoami = await fetch(`${base}/sessions/whoami`, { headers: { 'x-session-token': token } })
  await whoami.body?.cancel()
  assert.equal(whoami.status, 401)
})
