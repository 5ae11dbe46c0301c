/** --json and --verbose: one JSON value whatever happens, and on stderr a line for each request. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type * as harness from './harness.ts'
import {
  ALL_STEPS,
  assertFailed,
  assertNoSecrets,
  assertVerified,
  at,
  credentials,
  IDENTITY,
  login,
  notesOf,
  PASS,
  recorded,
  reportOf,
  run,
  SESSION,
  STEPS,
  SUCCESS,
  startOry,
  startProxy,
  TOKEN,
} from './harness.ts'

type Outcome = harness.Outcome & { ory: harness.Ory }
type Times = Record<'duration_ms' | 'waited_ms', number>
type ToldStep = Times & { name: string; status: number | null; attempts: number }
type Words = Record<'error' | 'expected' | 'got' | 'request_id', string>
type Told = Record<string, unknown> & Words & { hints: string[]; steps: ToldStep[] }
type Reached = readonly [step: harness.Step, status: number | null, attempts?: number]

/** The one JSON value on the one line of stdout: no control characters in it, and no secrets. */
function readJson(outcome: harness.Outcome): Told {
  assert.match(outcome.stdout, /^\{\P{C}*\}\n$/u)
  assertNoSecrets(outcome, PASS, TOKEN, TOKEN.slice(24))
  const told: Told = JSON.parse(outcome.stdout)
  return told
}

/** The steps to the last one reached, in times that add up, and the id that all requests had. */
function assertSteps(told: Told, { ory, ms }: Outcome, [last, ...came]: Reached): void {
  const before = ALL_STEPS.slice(0, ALL_STEPS.indexOf(last))
  let sum = 0
  for (const [index, step] of [...before, last].entries()) {
    const [status, attempts = 1] = step === last ? came : [200]
    const { duration_ms = -1, waited_ms = -1, ...rest } = told.steps[index] ?? {}
    assert.deepEqual(rest, { name: STEPS[step].name, status, attempts })
    for (const time of [duration_ms, waited_ms]) assert.ok(Number.isInteger(time) && time >= 0)
    assert.equal(waited_ms > 0, attempts > 1)
    sum += duration_ms + waited_ms
  }
  assert.equal(told.steps.length, before.length + 1)
  assert.ok(sum <= ms + 20, `${sum} of ${ms} ms`)
  assert.match(told.request_id, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
  for (const { headers } of ory.seen) assert.equal(headers['x-request-id'], told.request_id)
}

// ---- A verified login

const VERIFIED = {
  token: 'ory_st_4zWKh7TUgnoCa657q…',
  identity_id: IDENTITY,
  session_id: SESSION,
  expires_at: Object(SUCCESS.whoami.body).expires_at,
}

for (const logged_out of [false, true])
  test(`a verified login is told whole, logged out: ${logged_out}`, async (t) => {
    const args = logged_out ? ['--json', '--logout'] : ['--json']
    const outcome = await login(t, {}, {}, ...args)
    assert.deepEqual([outcome.code, outcome.stderr], [0, ''])
    const told = readJson(outcome)
    const { steps, request_id: _, ...rest } = told
    assert.deepEqual(rest, { ok: true, ...VERIFIED, logged_out, base_url: outcome.ory.url })
    assertSteps(told, outcome, logged_out ? ['logout', 204] : ['whoami', 200])
    assert.equal(outcome.ory.seen.length, steps.length)
  })

test('an id or an expiry that is not there is an empty text', async (t) => {
  const submit = { status: 200, body: { session_token: TOKEN } }
  const whoami = { status: 200, body: { active: true, identity: { id: IDENTITY } } }
  const outcome = await login(t, { submit, whoami }, {}, '--json')
  const { ok, session_id, expires_at } = readJson(outcome)
  assert.deepEqual([ok, session_id, expires_at, outcome.stderr], [true, '', '', ''])
})

test('the time of the answers stands apart from that of the waits', async (t) => {
  const whoami: harness.Behaviour = (_, response) => {
    if (ory.count('whoami') === 1) return { status: 503 }
    return void setTimeout(() => response.end(JSON.stringify(SUCCESS.whoami.body)), 300)
  }
  const ory = await startOry(t, at({ whoami }))
  const outcome = await run(credentials(ory), '--json')
  const told = readJson(outcome)
  assertSteps(told, { ...outcome, ory }, ['whoami', 200, 2])
  const { duration_ms = 0, waited_ms = 0 } = told.steps[2] ?? {}
  assert.ok(duration_ms >= 250 && waited_ms >= 250, `${duration_ms} and ${waited_ms} ms`)
})

// ---- Failures

const silence: harness.Behaviour = () => undefined
const cut: harness.Behaviour = (_, { socket }) => void socket?.destroy()
const odd = (body: unknown, headers = {}): harness.Answer => ({ status: 418, headers, body })
const twice = { error: { id: 'body' }, ui: { messages: [{ id: 5 }, { id: 5 }] } }
const byHeader = { 'ory-error-id': 'header' }
const hostile = { reason: '\u001b[31m\n::error::##[error]\u202e', message: `${PASS} ${TOKEN}` }
const page = { status: 200, body: '<title>Shop</title>' }
const moved = { status: 302, headers: { location: 'https://x.test/a?flow=b' } }
const large = { status: 200, body: ' '.repeat(2 ** 20 + 1) }

/** The answer at the last step, or the recording that has it. */
type Given = string | harness.Answer | harness.Behaviour
type Failure = [code: number, Reached, Given, says: RegExp, ids?: string[], seconds?: number]
// biome-ignore format: a table
const FAILURES: Record<string, Failure> = {
  'wrong credentials': [3, ['submit', 400], 'wrong-password', /are invalid/, ['4000006']],
  'a second factor': [3, ['whoami', 403], 'aal2-required', /factor/, ['session_aal2_required']],
  'ids, twice': [1, ['start', 418], odd(twice, byHeader), /418/, ['5', 'body', 'header']],
  'hostile texts': [1, ['submit', 418], odd({ error: hostile }), /withheld/],
  'a page': [1, ['start', 200], page, /"Shop"/],
  'a redirect': [1, ['start', 302], moved, /x\.test\/a(?!\?)/],
  'too large a body': [1, ['whoami', null], large, /bytes/],
  '503 at each attempt': [4, ['whoami', 503, 3], { status: 503 }, /attempt 3 of 3/],
  'cuts': [4, ['start', null, 3], cut, /connection was cut/],
  'silence': [4, ['submit', null], silence, /TIMEOUT.*4 s/, [], 4],
  'a logout refused': [1, ['logout', 403], 'logout-unknown-token', /only the log out failed/],
  'a logout in vain': [4, ['logout', null], silence, /only the log out failed/, [], 4],
}
describe('one value, with the facts that stderr has, for', { concurrency: true }, () => {
  for (const [what, [exit_code, last, given, says, ids = [], seconds]] of Object.entries(FAILURES))
    test(what, async (t) => {
      const [step, status] = last
      const steps = typeof given === 'string' ? recorded(given) : { [step]: given }
      const args = ['--json', '--logout', '--timeout', String(seconds ?? 30)]
      const outcome = await login(t, steps, {}, ...args)
      const { ory } = outcome
      assertFailed(outcome, exit_code, step, says)

      const told = readJson(outcome)
      const { error, expected, got, hints, request_id, ory_ids, steps: _, ...rest } = told
      const { name, method, path } = STEPS[step]
      const request = `${method} ${ory.url}${path}`
      assert.deepEqual(rest, {
        ...{ ok: false, exit_code, step: name, request, base_url: ory.url },
        ...(status !== null && { status }),
        ...(step === 'logout' && { ...VERIFIED, logged_out: false }),
      })
      assert.deepEqual(Array.isArray(ory_ids) && ory_ids.sort(), ids)
      const { lines, ...report } = reportOf(outcome)
      const trace = status === null ? '' : `x-request-id ${request_id}`
      const rows = { error, step: `${name}: ${request}`, expected, got, hint: hints.join('\n') }
      assert.deepEqual(report, { ...rows, trace })

      assertSteps(told, outcome, last)
      const took = told.steps.reduce((sum, { duration_ms }) => sum + duration_ms, 0)
      if (seconds) assert.ok(took > seconds * 500, `${took} ms`)
      assert.equal(ory.count('logout') > 0, step === 'logout')
    })
})

const proxied = { ...credentials({ url: 'http://ory.test' }), HTTP_PROXY: `${PASS}:3128` }
// biome-ignore format: a table
const MISTAKES: [step: string, args: string[], env: harness.Variables, variables?: string[]][] = [
  ['read options', ['--nonsense', '--json'], {}],
  ['read options', ['--json', 'positional'], {}],
  ['read options', ['--timeout', '--json'], {}],
  ['read options', ['--logout=yes', '--json'], {}],
  ['read configuration', ['--json'], { IDENT: '', PASS: ' ' }, ['IDENT', 'PASS']],
  ['read configuration', ['--json'], { BASE_URL: `http://user:${PASS}@ory.test` }, ['BASE_URL']],
  ['read configuration', ['--json'], { IDENT: 'x' }, ['PASS']],
  ['read configuration', ['--json'], proxied, ['HTTP_PROXY']],
]
test('a mistake in usage or configuration is one value too, and names the variables', async () => {
  for (const [step, args, env, variables] of MISTAKES) {
    const outcome = await run(env, ...args)
    assertFailed(outcome, 2, step, ...(variables ?? []).map((name) => new RegExp(name)))
    const { error, hints, ...rest } = readJson(outcome)
    const named = variables && { variables }
    assert.deepEqual(rest, { ok: false, exit_code: 2, step, ...named, steps: [] })
    const lines = [`ory-login: error: ${error}`, ...hints.map((hint) => `  hint      ${hint}`)]
    assert.equal(outcome.stderr, `${lines.join('\n')}\n`)
  }
})

test('BASE_URL is shown as it is used; where it repeats the password, withheld', async (t) => {
  const env = credentials({ url: `${(await startOry(t)).url}/some-prefix/` })
  const args = ['--json', '--verbose']
  assert.equal(readJson(await run(env, ...args)).base_url, env.BASE_URL?.slice(0, -1))
  const withheld = await run({ ...env, PASS: 'some-prefix' }, ...args)
  assert.match(String(readJson(withheld).base_url), /withheld/)
  assertNoSecrets(withheld, 'some-prefix')
})

// ---- --verbose

const requestLine = (step: harness.Step, came: string) => {
  const { name, method, path } = STEPS[step]
  return new RegExp(`^ory-login: note: ${name}: ${method} ${path}: ${came} in \\d+ ms$`)
}

test('--verbose tells what is in force, and each request', async (t) => {
  const outcome = await login(t, {}, {}, '--verbose', '--logout')
  const { url, seen } = outcome.ory
  assertVerified(outcome, /./)
  const [inForce = '', ...lines] = outcome.stderr.trimEnd().split('\n')
  assert.ok(inForce.startsWith(`ory-login: note: BASE_URL ${url}; `), inForce)
  assert.match(inForce, /BASE_URL from the environment, IDENT from the env.*; no proxy; x-request/)
  assert.equal(lines.length, 4)
  for (const [index, step] of ALL_STEPS.entries())
    assert.match(lines[index] ?? '', requestLine(step, step === 'logout' ? '204' : '200'))
  assertNoSecrets(outcome, PASS, TOKEN, '?', Object(SUCCESS.start.body).id)
  assert.match(outcome.stderr, new RegExp(String(seen[0]?.headers['x-request-id'])))
})

test('--verbose has a line for each attempt, with what came of it', async (t) => {
  const outcome = await login(t, { submit: cut }, {}, '--verbose')
  const line = requestLine('submit', '[A-Z_]{5,}')
  assert.equal(outcome.stderr.split('\n').filter((each) => line.test(each)).length, 3)
  assert.equal(notesOf(outcome).filter((note) => / is due in /.test(note)).length, 2)
})

test('a proxy is told without its credentials', async (t) => {
  const [ory, proxy] = [await startOry(t, at({ start: odd('') })), await startProxy(t)]
  const HTTP_PROXY = `http://someone:proxy-password@127.0.0.1:${proxy.port}`
  const env = { ...credentials({ url: `http://ory.test:${ory.port}` }), HTTP_PROXY }
  const outcome = await run(env, '--verbose', '--json')
  assert.match(String(readJson(outcome).request), new RegExp(`proxy 127.0.0.1:${proxy.port}$`))
  const said = new RegExp(`^.*note: BASE_URL .*the proxy 127.0.0.1:${proxy.port} .HTTP_PROXY.;`)
  assert.match(outcome.stderr, said)
  assertNoSecrets(outcome, 'someone', 'proxy-password')
})
