/** --json and --verbose: one JSON value whatever happens, and on stderr a line for each request. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type * as harness from './harness.ts'
import {
  ALL_STEPS,
  assertFailed,
  assertNoSecrets,
  at,
  CLOSED_PORT,
  credentials,
  IDENTITY,
  login,
  PASS,
  recorded,
  reportOf,
  run,
  SESSION,
  STEPS,
  SUCCESS,
  startOry,
  TOKEN,
} from './harness.ts'

/** The one JSON value on the one line of stdout: no control characters in it, and no secrets. */
function readJson(outcome: harness.Outcome) {
  assert.match(outcome.stdout, /^\{\P{C}*\}\n$/u)
  assertNoSecrets(outcome, PASS, TOKEN, TOKEN.slice(24))
  return JSON.parse(outcome.stdout)
}

type Reached = readonly [step: harness.Step, status: number | null, attempts?: number]
/** Tells each step up to the last one reached, and the id that all its requests had. */
function assertSteps(outcome: harness.Outcome & { ory: harness.Ory }, [last, ...came]: Reached) {
  const { steps, request_id } = readJson(outcome)
  const reached = ALL_STEPS.slice(0, ALL_STEPS.indexOf(last) + 1)
  assert.equal(steps.length, reached.length)
  let sum = 0
  for (const [index, step] of reached.entries()) {
    const [status, attempts = 1] = step === last ? came : [200]
    const { duration_ms, waited_ms, ...rest } = steps[index]
    assert.deepEqual(rest, { name: STEPS[step].name, status, attempts })
    for (const ms of [duration_ms, waited_ms]) assert.ok(Number.isInteger(ms) && ms >= 0)
    assert.equal(waited_ms > 0, attempts > 1)
    sum += duration_ms + waited_ms
  }
  assert.ok(sum <= outcome.ms + 20, `${sum} of ${outcome.ms} ms`)
  assert.match(request_id, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
  for (const { headers } of outcome.ory.seen) assert.equal(headers['x-request-id'], request_id)
}

// ---- A verified login

const { expires_at } = Object(SUCCESS.whoami.body)
const token = 'ory_st_4zWKh7TUgnoCa657q…'
const VERIFIED = { token, identity_id: IDENTITY, session_id: SESSION, expires_at }

for (const logged_out of [false, true])
  test(`a verified login is told whole, logged out: ${logged_out}`, async (t) => {
    const outcome = await login(t, {}, {}, '--json', ...(logged_out ? ['--logout'] : []))
    assert.deepEqual([outcome.code, outcome.stderr], [0, ''])
    const { steps: _, request_id, ...told } = readJson(outcome)
    assert.deepEqual(told, { ok: true, ...VERIFIED, logged_out, base_url: outcome.ory.url })
    assertSteps(outcome, logged_out ? ['logout', 204] : ['whoami', 200])
  })

// ---- Failures

const silence: harness.Behaviour = () => undefined
const cut: harness.Behaviour = (_, { socket }) => void socket?.destroy()
const odd = (body: unknown, headers = {}): harness.Answer => ({ status: 418, headers, body })
const twice = { error: { id: 'body' }, ui: { messages: [{ id: 5 }, { id: 5 }] } }
const reason = `\u001b[31m\n::error::##[error]\u202e ${PASS}`
const hostile = { error: { code: 418, id: 'withheld_too', reason, message: TOKEN } }
const page = { status: 200, body: '<title>Shop</title>' }
const moved = { status: 302, headers: { location: 'https://x.test/a?flow=b' } }
const large = { status: 200, body: ' '.repeat(2 ** 20 + 1) }

/** The answer at the last step, or the recording that has it. */
type Given = string | harness.Answer | harness.Behaviour
type Failure = [code: number, who: string, Reached, Given, says: RegExp, ids?: string[]]
// biome-ignore format: a table
const FAILURES: Record<string, Failure> = {
  'wrong credentials': [3, 'ory', ['submit', 400], 'wrong-password', /are invalid/, ['4000006']],
  'a second factor': [3, 'ory', ['whoami', 403], 'aal2-required', /due/, ['session_aal2_required']],
  'ids, each told once': [1, 'ory', ['start', 418], odd(twice, { 'ory-error-id': 'header' }),
    /got +418 body 5 header: /, ['body', '5', 'header']],
  'hostile texts': [1, 'ory', ['submit', 418], odd(hostile), /got +418: .withheld/],
  'a page': [1, 'other', ['start', 200], page, /200: a page titled "Shop"/],
  'a redirect': [1, 'other', ['start', 302], moved, /x\.test\/a(?!\?)/],
  'too large a body': [1, 'nobody', ['whoami', null], large, /got +BODY_TOO_LARGE: /],
  '503 at each attempt': [4, 'other', ['whoami', 503, 3], { status: 503 }, /empty body/],
  'cuts': [4, 'nobody', ['start', null, 3], cut, /connection was cut/],
  'silence': [4, 'nobody', ['start', null], silence, /got +TIMEOUT: .*1 s/],
  'a logout refused': [1, 'ory', ['logout', 403], 'logout-unknown-token', /is verified, but/],
  'a logout in vain': [4, 'nobody', ['logout', null, 3], cut, /is verified, but/],
}
describe('one value, with the facts that stderr has, for', { concurrency: true }, () => {
  for (const [what, [code, answered_by, last, given, says, ids = []]] of Object.entries(FAILURES))
    test(what, async (t) => {
      const [step, status] = last
      const steps = typeof given === 'string' ? recorded(given) : { [step]: given }
      const timeout = given === silence ? '1' : '60'
      const outcome = await login(t, steps, {}, '--json', '--logout', '--timeout', timeout)
      assertFailed(outcome, code, step, says)
      assertSteps(outcome, last)

      const { error, expected, got, hints, request_id, steps: _, ...told } = readJson(outcome)
      const { name, method, path } = STEPS[step]
      const base_url = outcome.ory.url
      const request = `${method} ${base_url}${path}`
      assert.deepEqual(told, {
        ...{ ok: false, exit_code: code, step: name, answered_by, request, ory_ids: ids, base_url },
        ...(status !== null && { status }),
        ...(step === 'logout' && { ...VERIFIED, logged_out: false }),
      })
      const { lines, ...report } = reportOf(outcome)
      const logId = status === null ? '' : `x-request-id ${request_id}`
      const hint = hints.join('\n')
      assert.deepEqual(report, { error, step: `${name}: ${request}`, expected, got, hint, logId })
    })
})

const proxied = { ...credentials({ url: 'http://ory.test' }), HTTP_PROXY: `${PASS}:3128` }
const BASE_URL = `http://user:${PASS}@ory.test`
// biome-ignore format: a table
const MISTAKES: [args: string[], env: harness.Variables, variables: string[]][] = [
  [['--nonsense', '--json'], {}, []], [['--json', 'positional'], {}, []],
  [['--timeout', '--json'], {}, []], [['--logout=yes', '--json'], {}, []],
  [['--json'], { IDENT: '', PASS: ' ' }, ['IDENT', 'PASS']], [['--json'], { IDENT: 'x' }, ['PASS']],
  [['--json'], { BASE_URL }, ['BASE_URL']], [['--json'], proxied, ['HTTP_PROXY']],
]
for (const [args, env, variables] of MISTAKES)
  test(`one value for ${args.join(' ')}, with ${JSON.stringify(env)}`, async () => {
    const outcome = await run(env, ...args)
    assertFailed(outcome, 2, 'read settings')
    const { error, hints, ...told } = readJson(outcome)
    assert.deepEqual(told, { ok: false, exit_code: 2, step: 'read settings', variables, steps: [] })
    assert.deepEqual(reportOf(outcome), { ...reportOf(outcome), error, hint: hints.join('\n') })
  })

// ---- --verbose

test('a second try is told in the times of its step, and by --verbose', async (t) => {
  const whoami: harness.Behaviour = (_, response) => {
    if (ory.count('whoami') > 1) return SUCCESS.whoami
    return void setTimeout(() => response.writeHead(503).end(), 300)
  }
  const ory = await startOry(t, at({ whoami }))
  const outcome = { ...(await run(credentials(ory), '--json', '--verbose')), ory }
  assertSteps(outcome, ['whoami', 200, 2])
  const { steps, request_id } = readJson(outcome)
  const { duration_ms, waited_ms } = steps[2]
  assert.ok(duration_ms >= 250 && waited_ms >= 250, `${duration_ms} and ${waited_ms} ms`)

  const settings = ['IDENT', 'PASS'].map((name) => `${name} from the environment`)
  const base = `BASE_URL ${ory.url}, from the environment; no proxy`
  for (const part of [...settings, base, `request-id ${request_id}`])
    assert.ok(outcome.stderr.includes(part), part)
  const came = [...outcome.stderr.matchAll(/^ory-login: note: (.*: \d+) in \d+ ms$/gm)]
  assert.deepEqual(
    came.map(([, request]) => request),
    [
      'start login flow: 200',
      'submit credentials: 200',
      'verify session: 503',
      'verify session: 200',
    ],
  )
  assert.match(outcome.stderr, /note: whoami: got 503; .* .2 of 3/)
})

test('a proxy is told without its credentials', async () => {
  const HTTP_PROXY = `http://someone:proxy-password@127.0.0.1:${CLOSED_PORT}`
  const env = { ...credentials({ url: 'http://ory.test' }), HTTP_PROXY }
  const outcome = await run(env, '--verbose', '--json')
  const { answered_by, request } = readJson(outcome)
  assert.deepEqual([answered_by, /proxy 127.0.0.1:2$/.test(request)], ['proxy', true], request)
  assert.match(outcome.stderr, /note: BASE_URL .*; the proxy 127.0.0.1:2 .HTTP_PROXY.\n/)
  assertNoSecrets(outcome, 'someone', 'proxy-password')
})
