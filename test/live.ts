/**
 * `npm run test:live`: the real program against the Ory that BASE_URL, IDENT and PASS name in the
 * environment, and not in .env; else the demo defaults, which test/kratos/compose.yml serves. Each
 * run logs in for real; a wrong password is sent once.
 */
import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { fetch } from 'undici'
import { runChild, startOry } from './harness.ts'

const { BASE_URL = 'http://127.0.0.1:4433', IDENT = '', PASS = '' } = process.env
const demo = { IDENT: 'demo@example.com', PASS: 'demo-only-password' }
const identity = IDENT || PASS ? { IDENT, PASS } : demo

const base = BASE_URL.trim().replace(/\/+$/, '')
const login = (args: string[], env: Record<string, string> = {}) =>
  runChild({ BASE_URL: base, ...identity, ...env }, args)

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
  const { code, stdout, stderr } = await login([], { PASS: `${identity.PASS}-wrong` })
  assert.deepEqual([code, stdout], [3, ''], stderr)
  assert.match(stderr, /step +submit credentials: [\s\S]*hint /)
})

test('--json gives one value that says the same', async () => {
  const { code, stdout, stderr } = await login(['--json', '--logout'])
  assert.equal(code, 0, stderr)
  const { ok, identity_id, logged_out, steps } = JSON.parse(stdout)
  assert.deepEqual([ok, logged_out, steps.length], [true, true, 4])
  assert.match(identity_id, /\S/)
})

test('after --logout the token is refused', async (t) => {
  let token = ''
  // The program shows no whole token, so a relay on loopback listens in.
  const { url } = await startOry(t, ({ method, path, headers, body }, response) => {
    const isOfHop = /^(host|connection|content-length)$/
    const kept = Object.entries(headers).filter(([name]) => !isOfHop.test(name))
    const sent = kept.map(([name, value]): [string, string] => [name, String(value)])
    fetch(base + path, { method, headers: sent, body: body || null }).then(async (answer) => {
      const text = await answer.text()
      token ||= /"session_token":"([^"]+)"/.exec(text)?.[1] ?? ''
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text)
    })
    return undefined
  })
  const { code, stderr } = await login(['--logout'], { BASE_URL: url })
  assert.equal(code, 0, stderr)
  assert.notEqual(token, '')
  const whoami = await fetch(`${base}/sessions/whoami`, { headers: { 'x-session-token': token } })
  await whoami.body?.cancel()
  assert.equal(whoami.status, 401)
})
