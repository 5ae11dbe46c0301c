/** What is green, and what never is; what each request has; how whole runs end. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as harness from './harness.ts'
import { ALL_STEPS, type Answer, answer, bodyOf, brief, cut, error, login } from './harness.ts'

const { credentials, IDENT, IDENTITY, lastOf, page, PASS, program, run, SESSION } = harness
const { STEPS, SUCCESS, startOry, stepOf, TOKEN, TWO_LINES } = harness
const submit = (changes: object) => ({ submit: answer(200, bodyOf('submit', changes)) })
const whoami = (changes: object) => ({ whoami: answer(200, bodyOf('whoami', changes)) })

for (const identity of [{ id: 'Zoë:Ärger|7 😀' }, null, undefined])
  test(`verified is who whoami shows, where the login shows ${brief(identity)}`, async (t) => {
    const told = submit({ session: { id: SESSION, identity } })
    const shown = whoami({ identity: { id: 'Zoë:Ärger|7 😀' } })
    const { code, stdout } = await login(t, { ...told, ...shown })
    assert.deepEqual([code, stdout], [0, TWO_LINES.replace(IDENTITY, 'Zoë:Ärger|7 😀')])
  })

for (const [length, shown] of Object.entries({ 15: 0, 16: 1, 39: 24, 4096: 24 }))
  test(`of a token of ${length}, ${shown} characters are shown`, async (t) => {
    const session_token = 'A1b2C3d4E5f6G7h8I9j0'.repeat(205).slice(0, Number(length))
    const { code, stdout } = await login(t, submit({ session_token }))
    assert.deepEqual([code, stdout.split('…')[0]], [0, `token: ${session_token.slice(0, shown)}`])
  })

test('a firewall that lets it pass is no obstacle', async (t) => {
  const whoami = { ...SUCCESS.whoami, headers: { 'x-amzn-waf-action': 'count' } }
  assert.equal((await login(t, { whoami })).code, 0)
})

test('the recorded login is verified, even if whoami refuses its session once', async (t) => {
  const whoami = harness.inTurn(lastOf('invalid-token')[1], SUCCESS.whoami)
  const { code, stdout, ory } = await login(t, { whoami })
  assert.deepEqual([code, stdout], [0, TWO_LINES])
  const sent = ory.seen.map(({ method, path, headers, body }) => {
    return [method, path, headers['x-session-token'], body && JSON.parse(body)]
  })
  const recorded = harness.recording('success').map(({ request }) => {
    const { method, path, headers, body = '' } = request
    return [method, path, headers?.['x-session-token'], body]
  })
  assert.deepEqual(sent, [...recorded, recorded.at(-1)])
})

test('each request is as documented, on one connection, with HEADERS', async (t) => {
  const flow = 'a&b=c/../?#ä %41+\r\nx-evil: 1😀'
  const body = { id: flow, ui: { action: 'http://127.0.0.1:2/', method: 'PUT' } }
  const start = answer(200, body, { 'set-cookie': 'a=b; Path=/' })
  const ory = await startOry(t, harness.at({ start }))
  const HEADERS = 'X-Gate: a\r\n\nx-gate:  b: c '
  const env = { ...credentials(ory), BASE_URL: ` ${ory.url}/a/b// `, HEADERS }
  assert.deepEqual([(await run(env, '--logout')).code, ory.contacts()], [0, 1])
  const login = { method: 'password', identifier: IDENT, password: PASS }
  const sent = ory.seen.map(({ method, path, body }) => [method, path, body])
  assert.deepEqual(sent, [
    ['GET', '/a/b/self-service/login/api', ''],
    ['POST', `/a/b/self-service/login?${new URLSearchParams({ flow })}`, JSON.stringify(login)],
    ['GET', '/a/b/sessions/whoami', ''],
    ['DELETE', '/a/b/self-service/logout/api', JSON.stringify({ session_token: TOKEN })],
  ])
  const all = (name: string) => ory.seen.map(({ headers }) => headers[name])
  const id = `${all('x-request-id')[0]}`
  assert.match(id, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
  for (const [name, value] of Object.entries({
    accept: 'application/json',
    'accept-encoding': 'identity',
    cookie: undefined,
    'user-agent': `ory-login/${program.VERSION}`,
    'x-gate': 'a, b: c',
    'x-request-id': id,
  }))
    assert.deepEqual(all(name), [value, value, value, value], name)
  const [none, json] = [undefined, 'application/json']
  assert.deepEqual(all('content-type'), [none, json, none, json])
  assert.deepEqual(all('x-session-token'), [none, none, TOKEN, none])
})

const NO_OWNER = submit({ session: { id: SESSION } })
const ODD = ['', 5, null, undefined, ['a'], { id: 'a' }, true, '\ud800']
const ODD_TOKENS = [...ODD, ' ', 'a b', 'a\r\nx-evil: 1', 'x'.repeat(4097)]
const ODD_OWNERS = ['text', [IDENTITY], 5, true, []]
const ODD_IDS = ODD.map((id) => ({ id }))
const UNPRINTABLE = [' ', 'a\u202eb', 'a\u2028b', 'a\u2029b'].map((id) => ({ id }))
type Never = readonly [got: RegExp, make: (odd: unknown) => harness.Steps, odds: unknown[]]
// biome-ignore format: a table
const NEVER_GREEN: readonly Never[] = [
  [/no id of a flow/, (id) => ({ start: answer(200, { id }) }), ODD],
  [/no session_token/, (session_token) => submit({ session_token }), ODD_TOKENS],
  [/no session\.id/, (session) => submit({ session }), [null, 'a', ...ODD_IDS]],
  [/has ended/, (active) => submit({ session: { id: SESSION, active } }), [false]],
  [/session\.identity/, (identity) => submit({ session: { id: SESSION, identity } }),
    [...ODD_OWNERS, false, { id: '' }]],
  [/not active/, (active) => whoami({ active }), [false, 'true', 1, null, [true], {}]],
  [/no identity/, (identity) => ({ ...NO_OWNER, ...whoami({ identity }) }),
    [...ODD_OWNERS, null, undefined, ...ODD_IDS, ...UNPRINTABLE]],
  [/another identity/, (id) => whoami({ identity: { id } }), ['b', IDENTITY.toUpperCase()]],
  [/another session/, (id) => whoami({ id }), [...ODD, SESSION.toUpperCase()]],
  ...harness.LOGIN_STEPS.map((step): Never => [/^200/, (body) => ({ [step]: answer(200, body) }),
    ['', '[]', '{}', '"text"', 'null', '5', '<p>', [SUCCESS[step].body],
      ...['\n{}', '\n[', ' x'].map((more) => JSON.stringify(SUCCESS[step].body) + more)]]),
  ...ALL_STEPS.map((step): Never => [/^2\d\d/,
    (status) => ({ [step]: { ...SUCCESS[step], status: Number(status) } }),
    [201, 202, 203, 206, step === 'logout' ? 200 : 204]]),
]
for (const [got, make, odds] of NEVER_GREEN)
  for (const odd of odds)
    test(`never green: ${Object.keys(make(odd))} ${got}: ${brief(odd)}`, async (t) => {
      const { code, stdout } = await login(t, make(odd), {}, '--logout', '--json')
      const told = JSON.parse(stdout)
      assert.deepEqual([told.ok, code > 0], [false, true])
      assert.match(told.got, got)
    })

type Came = string | Answer | harness.Behaviour // or a recording's name
type End = readonly [exit: number, tries: number, who: string, got: string, Came]
const to = (status: number) => answer(status, '', { location: '/else' })
const reset = cut('', 'resetAndDestroy')
const begun = cut('HTTP/1.1 400 A\r\ncontent-length: 9\r\n\r\n{')
// biome-ignore format: a table
const ENDS: Record<harness.Step, readonly End[]> = {
  start: [
    [3, 1, 'ory', '404 hook 123: ', 'before-hook-refused'],
    [4, 1, 'other', '403: ', page(403)],
    [4, 1, 'other', '429: an empty body', answer(429, '', { 'retry-after': '60' })],
    [4, 3, 'other', '503: A.', error(503, 'A.')],
    [4, 3, 'nobody', 'ECONNRESET: ', reset],
  ],
  submit: [
    [3, 1, 'ory', '400 4000006: ', 'wrong-password'],
    [4, 1, 'ory', '502: ', 'hook-failed'],
    [4, 3, 'other', '504: ', page(504)],
    [4, 1, 'nobody', '400 incomplete: ', begun],
    [1, 1, 'other', '307: ', to(307)],
  ],
  whoami: [
    [1, 3, 'ory', '401: ', 'invalid-token'],
    [3, 1, 'ory', '403 session_aal2_required: ', 'aal2-required'],
    [4, 3, 'ory', '502: A.', error(502, 'A.')],
    [1, 1, 'other', '302: ', to(302)],
  ],
  logout: [
    [1, 1, 'ory', '403: ', 'logout-unknown-token'],
    [4, 3, 'nobody', 'ECONNRESET: ', reset],
    [1, 1, 'other', '307: ', to(307)],
  ],
}
describe('a whole run ends', { concurrency: 12 }, () => {
  for (const step of ALL_STEPS)
    for (const [exit, tries, who, got, came] of ENDS[step])
      test(`at ${step} with exit code ${exit} after ${got}`, async (t) => {
        const told = typeof came === 'string' ? lastOf(came)[1] : came
        const { code, stdout, ory } = await login(t, { [step]: told }, {}, '--logout', '--json')
        const json = JSON.parse(stdout)
        const seen = [code, json.exit_code, json.step, json.answered_by, ory.count(step)]
        assert.deepEqual(seen, [exit, exit, STEPS[step].name, who, tries])
        assert.ok(json.got.startsWith(got), json.got)
        assert.ok(ory.seen.every(stepOf), 'redirected')
      })
})
