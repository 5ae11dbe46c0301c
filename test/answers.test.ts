/** The verdict: what exits 0, and what every other answer of Ory's means, as issue 3 and ory-answers.md have it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { credentials, IDENT, IDENTITY, type Outcome, PASS, run, TOKEN, TWO_LINES } from './harness.ts'
import { type Answer, recording, replay, type StandIn, standIn } from './stand-in.ts'

type Step = 'start' | 'submit' | 'whoami'
type Answers = Partial<Record<Step, Answer>>

const NAMES = { start: 'start login flow', submit: 'submit credentials', whoami: 'verify session' }
const REQUESTS = {
  start: ['GET', '/self-service/login/api'],
  submit: ['POST', '/self-service/login'],
  whoami: ['GET', '/sessions/whoami'],
} as const
const STEPS: readonly Step[] = ['start', 'submit', 'whoami']

const stepOf = ({ method, path }: { method: string; path: string }): Step | undefined =>
  STEPS.find((step) => REQUESTS[step][0] === method && path.replace(/\?.*/, '').endsWith(REQUESTS[step][1]))

/** The answers of a recording, by step. */
const recorded = (name: string): Answers =>
  Object.fromEntries(recording(name).map(({ request, response }) => [stepOf(request), response]))

const SUCCESS = recorded('success')
const bodyOf = (step: Step): Record<string, unknown> => ({ ...(SUCCESS[step]?.body as Record<string, unknown>) })
const json = (body: unknown, status = 200): Answer => ({
  status,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(body),
})

/** One run against a server that answers as told, else as in the recorded success. */
async function login(answers: Answers, env: Record<string, string> = {}, ...args: string[]) {
  const server = await standIn((seen) => {
    const step = stepOf(seen)
    return step ? (answers[step] ?? SUCCESS[step]) : { status: 404, body: 'not a path of Ory' }
  })
  try {
    return { ...(await run({ ...credentials(server.url), ...env }, ...args)), url: server.url, seen: server.seen }
  } finally {
    await server.close()
  }
}

/** A plain failure: nothing on stdout, lines with the prefix, first step and request, last the hint, no secret. */
function assertFailure(outcome: Outcome & Pick<StandIn, 'url'>, code: number, step: Step, ...shows: RegExp[]) {
  const { stdout, stderr, url } = outcome
  assert.equal(outcome.code, code, stderr)
  assert.equal(stdout, '')
  const lines = stderr.trimEnd().split('\n')
  for (const line of lines) assert.match(line, /^ory-login: \P{C}+$/u)
  const [method, path] = REQUESTS[step]
  assert.ok(lines.includes(`ory-login: ${NAMES[step]}: ${method} ${url}${path}`), stderr)
  assert.match(lines.at(-1) ?? '', /^ory-login: hint: \S.{10,}/)
  assert.ok(lines.slice(0, -1).every((line) => !line.startsWith('ory-login: hint')))
  for (const pattern of shows) assert.match(stderr, pattern)
  for (const secret of [PASS, TOKEN, IDENT]) assert.ok(!stderr.includes(secret), stderr)
  assert.doesNotMatch(stderr, /bug in ory-login|^\s+at /m)
}

function assertSuccess({ code, stdout, stderr }: Outcome, lines = TWO_LINES) {
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: lines, stderr: '' })
}

test('the recorded login is verified: two lines on stdout, nothing on stderr, three requests', async () => {
  const server = await standIn(replay('success'))
  try {
    assertSuccess(await run(credentials(server.url)))
    assert.deepEqual(
      server.seen.map(({ method, path }) => `${method} ${path.replace(/=.*/, '=')}`),
      ['GET /self-service/login/api', 'POST /self-service/login?flow=', 'GET /sessions/whoami'],
    )
    const [start, submit, whoami] = server.seen
    for (const { headers } of server.seen) {
      assert.equal(headers.accept, 'application/json')
      assert.match(headers['user-agent'] ?? '', /^ory-login\/\d+\.\d+\.\d+$/)
      assert.equal(headers.cookie, undefined)
      assert.equal(headers.origin, undefined)
      assert.equal(headers.authorization, undefined)
    }
    assert.deepEqual([start?.body, whoami?.body], ['', ''])
    assert.equal(submit?.headers['content-type'], 'application/json')
    assert.deepEqual(JSON.parse(submit?.body ?? ''), { method: 'password', identifier: IDENT, password: PASS })
    assert.deepEqual(
      server.seen.map(({ headers }) => headers['x-session-token']),
      [undefined, undefined, TOKEN],
    )
  } finally {
    await server.close()
  }
})

test('a cookie that the server sets is not sent back', async () => {
  const headers = { 'set-cookie': 'csrf_token_1=abc; Path=/', 'content-type': 'application/json' }
  const outcome = await login({
    start: { status: 200, headers, body: SUCCESS.start?.body },
    submit: { status: 200, headers, body: SUCCESS.submit?.body },
  })
  assertSuccess(outcome)
  for (const { headers } of outcome.seen) assert.equal(headers.cookie, undefined)
})

/** Rows that mean the same have the same `row`, every other has a meaning and a hint of its own. */
interface Row {
  row: string
  name: string
  answers: Answers
  code: number
  step: Step
  shows: RegExp[]
}

const flowWith = (messages: unknown, nodes: unknown = []): Record<string, unknown> => ({
  ...bodyOf('start'),
  ui: { messages, nodes },
})
const refusal = (id: number, text: string): Answer => json(flowWith([{ id, text, type: 'error' }]), 400)
const again = { 'retry-after': '0' } // so that the attempts follow at once

const ROWS: Row[] = [
  {
    row: 'no project',
    name: 'start: 404 with text/plain, as recorded of a wrong path prefix',
    answers: { start: recording('wrong-path')[0]?.response ?? { status: 0 } },
    code: 1,
    step: 'start',
    shows: [/\b404\b/, /404 page not found/, /no Ory project/i, /hint: .*BASE_URL.*slug.*prefix/],
  },
  {
    row: 'no project',
    name: 'start: 404 with HTML',
    answers: {
      start: { status: 404, headers: { 'content-type': 'text/html' }, body: '<html>\n<h1>Nope</h1>\n</html>\n' },
    },
    code: 1,
    step: 'start',
    shows: [/\b404\b/, /<h1>Nope<\/h1>/, /no Ory project/i, /hint: .*BASE_URL/],
  },
  {
    row: 'no project',
    name: 'start: 404 with JSON, as for a slug that does not exist',
    answers: { start: json({ error: { code: 404, status: 'Not Found', reason: 'Project of this slug: none.' } }, 404) },
    code: 1,
    step: 'start',
    shows: [/\b404\b/, /Project of this slug: none\./, /no Ory project/i, /hint: .*slug/],
  },
  {
    row: 'admin port',
    name: 'start: 307, as recorded of the admin port',
    answers: recorded('admin-port'),
    code: 1,
    step: 'start',
    shows: [
      /\b307\b/,
      /admin port/,
      /http:\/\/127\.0\.0\.1:4433\/self-service\/login\/api/,
      /hint: .*public port.*4433/,
    ],
  },
  {
    row: 'session already available',
    name: 'start: 400 session_already_available',
    answers: {
      start: json(
        { error: { id: 'session_already_available', code: 400, reason: 'A valid session was detected.' } },
        400,
      ),
    },
    code: 1,
    step: 'start',
    shows: [/\b400\b/, /session_already_available/, /A valid session was detected/, /cookie/, /hint: .*proxy/],
  },
  {
    row: 'wrong credentials',
    name: 'submit: 4000006, as recorded of a wrong password',
    answers: recorded('wrong-password'),
    code: 3,
    step: 'submit',
    shows: [/\b400\b/, /\b4000006\b/, /credentials are invalid/, /wrong password or unknown/, /hint: .*IDENT and PASS/],
  },
  {
    row: 'wrong credentials',
    name: 'submit: 4000006, as recorded of an unknown identifier',
    answers: recorded('unknown-identifier'),
    code: 3,
    step: 'submit',
    shows: [/\b400\b/, /\b4000006\b/, /credentials are invalid/, /wrong password or unknown/, /hint: .*IDENT and PASS/],
  },
  {
    row: 'empty field',
    name: 'submit: 4000002 in the messages of a node, as recorded of an empty password',
    answers: recorded('empty-password'),
    code: 3,
    step: 'submit',
    shows: [/\b400\b/, /\b4000002\b/, /Property password is missing/, /empty/, /hint: .*IDENT and PASS/],
  },
  {
    row: 'unverified address',
    name: 'submit: 403 session_verified_address_required, as recorded; its error.code of 400 is shown too',
    answers: recorded('unverified-address'),
    code: 3,
    step: 'submit',
    shows: [/\b403\b/, /session_verified_address_required/, /error\.code 400/, /not verified/, /hint: .*verif/],
  },
  {
    row: 'unverified address',
    name: 'submit: 400 with 4000010, as older servers have it',
    answers: { submit: refusal(4000010, 'Account not active yet. Did you forget to verify your email address?') },
    code: 3,
    step: 'submit',
    shows: [/\b400\b/, /\b4000010\b/, /Did you forget to verify/, /not verified/, /hint: .*verif/],
  },
  {
    row: 'disabled identity',
    name: 'submit: 401, as recorded of an inactive identity',
    answers: recorded('inactive-identity'),
    code: 3,
    step: 'submit',
    shows: [/\b401\b/, /This account was disabled/, /identity is disabled/, /hint: .*active/],
  },
  {
    row: 'disabled identity',
    name: 'submit: 400 with 4010011, as newer servers have it',
    answers: { submit: refusal(4010011, 'It is not possible to sign in.') },
    code: 3,
    step: 'submit',
    shows: [/\b400\b/, /\b4010011\b/, /identity is disabled/, /hint: .*active/],
  },
  {
    row: 'password method off',
    name: 'submit: 404 "disabled by system administrator", as recorded, is no wrong slug',
    answers: recorded('password-method-disabled'),
    code: 3,
    step: 'submit',
    shows: [/\b404\b/, /disabled by system administrator/, /password method is off/, /hint: .*enable/],
  },
  {
    row: 'password method off',
    name: 'submit: 400 with 4010002',
    answers: { submit: refusal(4010002, 'Could not find any login strategy.') },
    code: 3,
    step: 'submit',
    shows: [/\b400\b/, /\b4010002\b/, /password method is off/, /hint: .*enable/],
  },
  {
    row: 'generic',
    name: 'submit: 400 with 4000001, where only the text tells',
    answers: { submit: refusal(4000001, 'The HTTP Request Header included the "Cookie" key.') },
    code: 1,
    step: 'submit',
    shows: [/\b400\b/, /\b4000001\b/, /included the "Cookie" key/, /hint: .*(cookie|text)/],
  },
  {
    row: 'unknown flow',
    name: 'submit: 404 "Unable to locate the resource", as recorded of an unknown flow',
    answers: recorded('unknown-flow'),
    code: 1,
    step: 'submit',
    shows: [/\b404\b/, /Unable to locate the resource/, /does not know the flow/, /hint: .*one database/],
  },
  {
    row: 'expired flow',
    name: 'submit: 410 self_service_flow_expired, as recorded',
    answers: recorded('expired-flow'),
    code: 1,
    step: 'submit',
    shows: [/\b410\b/, /self_service_flow_expired/, /expired 0\.01 minutes ago/, /hint: .*(lifespan|clock)/],
  },
  {
    row: 'browser needed',
    name: 'submit: 422 browser_location_change_required',
    answers: {
      submit: json(
        {
          error: { id: 'browser_location_change_required', code: 422, reason: 'In order to complete this flow …' },
          redirect_browser_to: 'https://x.example/login',
        },
        422,
      ),
    },
    code: 1,
    step: 'submit',
    shows: [/\b422\b/, /browser_location_change_required/, /browser/, /hint: .*native/],
  },
  {
    row: 'account not found',
    name: 'submit: 4000037, account not found',
    answers: { submit: refusal(4000037, 'This account does not exist or has no login method configured.') },
    code: 3,
    step: 'submit',
    shows: [/\b400\b/, /\b4000037\b/, /This account does not exist/, /hint: .*IDENT/],
  },
  {
    row: 'captcha',
    name: 'submit: 4000038, captcha failed',
    answers: { submit: refusal(4000038, 'Captcha verification failed, please try again.') },
    code: 3,
    step: 'submit',
    shows: [/\b400\b/, /\b4000038\b/, /Captcha verification failed/, /hint: .*captcha/],
  },
  {
    row: 'hook failed',
    name: 'submit: HTTP 400 around error.code 500, both shown',
    answers: {
      submit: json({ error: { code: 500, status: 'Internal Server Error', reason: 'a webhook broke' } }, 400),
    },
    code: 4,
    step: 'submit',
    shows: [/\b400\b/, /error\.code 500/, /a webhook broke/, /hook/, /hint: .*logs/],
  },
  {
    row: 'token refused',
    name: 'whoami: 401, as recorded of an invalid token',
    answers: recorded('invalid-token'),
    code: 1,
    step: 'whoami',
    shows: [/\b401\b/, /No valid session credentials/, /token.*refused/, /hint: .*X-Session-Token/],
  },
  {
    row: 'second factor',
    name: 'whoami: 403 session_aal2_required after a login without an identity, as recorded',
    answers: recorded('aal2-required'),
    code: 3,
    step: 'whoami',
    shows: [/\b403\b/, /session_aal2_required/, /password is right/, /hint: .*second factor/],
  },
  {
    row: 'inactive session',
    name: 'whoami: 200 with active false',
    answers: { whoami: json({ ...bodyOf('whoami'), active: false }) },
    code: 1,
    step: 'whoami',
    shows: [/\b200\b/, /no active|not active/, /hint: /],
  },
  {
    row: 'another identity',
    name: 'whoami: 200 with another identity than the login had',
    answers: { whoami: json({ ...bodyOf('whoami'), identity: { id: 'somebody-else' } }) },
    code: 1,
    step: 'whoami',
    shows: [/\b200\b/, /identity/, /another/, /hint: .*(proxy|cache)/],
  },
  ...STEPS.flatMap((step): Row[] => [
    {
      row: 'rate limit',
      name: `${step}: 429`,
      answers: { [step]: { ...json({ error: { code: 429, reason: 'Too many.' } }, 429), headers: again } },
      code: 4,
      step,
      shows: [/\b429\b/, /Too many\./, /rate limit/, /hint: .*wait/],
    },
    ...[500, 502, 503, 504].map(
      (status): Row => ({
        row: 'server down',
        name: `${step}: ${status}`,
        answers: { [step]: { status, headers: again, body: 'upstream\nis gone' } },
        code: 4,
        step,
        shows: [new RegExp(`\\b${status}\\b`), /upstream is gone/, /down/, /nothing about the credentials/, /hint: /],
      }),
    ),
  ]),
]

for (const { name, answers, code, step, shows } of ROWS) {
  test(name, async () => assertFailure(await login(answers), code, step, ...shows))
}

test('every row has a meaning and a hint of its own, and rows that mean the same say the same', async () => {
  const said = new Map<string, string>()
  for (const { row, answers } of ROWS) {
    const { code, stdout, stderr } = await login(answers)
    assert.notEqual(code, 0)
    assert.equal(stdout, '')
    const [error = '', hint = ''] = stderr.trimEnd().split('\n').slice(-2)
    const words = `${error.replace(/: expected .*/, '')}\n${hint}`
    assert.equal(said.get(row) ?? words, words)
    said.set(row, words)
  }
  for (const part of [0, 1]) {
    assert.equal(new Set([...said.values()].map((words) => words.split('\n')[part])).size, said.size)
  }
})

test('the same status means another thing at another step', async () => {
  for (const status of [307, 400, 401, 403, 404, 410, 422]) {
    const reason = status === 401 ? 'This account was disabled.' : 'Something.'
    const words = await Promise.all(
      STEPS.map(async (step) => {
        const { code, stdout, stderr } = await login({ [step]: json({ error: { code: status, reason } }, status) })
        assert.notEqual(code, 0)
        assert.equal(stdout, '')
        assert.ok(stderr.includes(`ory-login: ${NAMES[step]}: `) && stderr.includes(reason), stderr)
        return stderr.split('\n').at(-3)
      }),
    )
    assert.equal(new Set(words).size, STEPS.length, `${status}`)
  }
})

for (const [name, session] of [
  ['no session', undefined],
  ['a session of null', null],
  ['a session without an identity', { id: 'a', active: true }],
  ['an identity of null', { id: 'a', active: true, identity: null }],
] as const) {
  test(`a login answer with ${name} is verified by whoami`, async () => {
    assertSuccess(await login({ submit: json({ session_token: TOKEN, session }) }))
  })
}

test('an identity in the login answer that is not the one of whoami fails at whoami', async () => {
  const submit = json({ session_token: TOKEN, session: { identity: { id: 'somebody-else' } } })
  assertFailure(await login({ submit }), 1, 'whoami', /another/)
})

for (const identity of [
  {},
  { id: '' },
  { id: null },
  { id: 5 },
  { id: ['a'] },
  'text',
  5,
  true,
  false,
  [],
  [IDENTITY],
]) {
  test(`a malformed identity in the login answer fails there: ${JSON.stringify(identity)}`, async () => {
    const submit = json({ session_token: TOKEN, session: { identity } })
    assertFailure(await login({ submit }), 1, 'submit', /\b200\b/)
  })
}

for (const id of ['1', 'user_42', 'auth0|5f7c8ec7', 'Zoë:Ärger/7', 'with a space', '😀', 'x'.repeat(200)]) {
  test(`an identity id need not be a UUID: ${id.slice(0, 20)}`, async () => {
    const outcome = await login({
      submit: json({ session_token: TOKEN, session: { identity: { id } } }),
      whoami: json({ active: true, identity: { id } }),
    })
    assertSuccess(outcome, TWO_LINES.replace(IDENTITY, id))
  })
}

for (const id of [
  '',
  ' ',
  '\n',
  'a\nb',
  'a\u0000b',
  'a\u001b[31mb',
  'a\u202eb',
  'a\u2028b',
  '\ud800',
  5,
  null,
  ['a'],
  {},
]) {
  test(`an identity id that is empty, unprintable or no text is not verified: ${JSON.stringify(id)}`, async () => {
    const outcome = await login({
      submit: json({ session_token: TOKEN }),
      whoami: json({ ...bodyOf('whoami'), identity: { id } }),
    })
    assertFailure(outcome, 1, 'whoami', /\b200\b/, /identity/)
  })
}

for (const active of ['true', 'false', 1, null, undefined, [true], {}]) {
  test(`an active of ${JSON.stringify(active)} is not verified, and the identity is not blamed`, async () => {
    const outcome = await login({ whoami: json({ ...bodyOf('whoami'), active }) })
    assertFailure(outcome, 1, 'whoami', /\b200\b/, /active/)
    assert.doesNotMatch(outcome.stderr, /names no identity|another than/)
  })
}

for (const id of ['', 5, null, undefined, ['a'], { id: 'a' }, true]) {
  test(`a flow id that is empty or no text fails at the start: ${JSON.stringify(id)}`, async () => {
    const outcome = await login({ start: json({ ...bodyOf('start'), id }) })
    assertFailure(outcome, 1, 'start', /\b200\b/, /flow/)
    assert.equal(outcome.seen.length, 1)
  })
}

for (const id of ['a&b=c/../?#ä', ' ', '\u0000\n', '%41+ %', '../../admin?x=', 'a\r\nx-evil: 1', '😀']) {
  test(`a flow id is encoded into the query: ${JSON.stringify(id)}`, async () => {
    const outcome = await login({ start: json({ ...bodyOf('start'), id }) })
    assertSuccess(outcome)
    assert.equal(outcome.seen[1]?.path, `/self-service/login?flow=${encodeURIComponent(id)}`)
    assert.equal(outcome.seen[1]?.headers['x-evil'], undefined)
  })
}

test('a flow id that is no sound text fails at its step, and is no bug of the program', async () => {
  const outcome = await login({ start: json({ ...bodyOf('start'), id: 'a\ud800' }) })
  assertFailure(outcome, 1, 'start')
})

for (const token of [
  '',
  'a\nb',
  'a\r\nx-evil: 1',
  'tokenĀ',
  '😀',
  ' ',
  'a b',
  '\u0000',
  '\ud800',
  5,
  null,
  [TOKEN],
  {},
]) {
  test(`a session_token that no header can carry fails at the submit: ${JSON.stringify(token)}`, async () => {
    const outcome = await login({ submit: json({ session_token: token }) })
    assertFailure(outcome, 1, 'submit', /\b200\b/, /session_token/)
    assert.equal(outcome.seen.length, 2)
  })
}

test('a session_token that is missing fails at the submit', async () => {
  assertFailure(await login({ submit: json({ session: bodyOf('submit').session }) }), 1, 'submit', /session_token/)
})

for (const length of [1, 14, 15, 16, 20, 38, 39, 40, 200]) {
  test(`of a token of ${length} characters at most 24 are shown, and at least 15 stay hidden`, async () => {
    const token = 'A1b2C3d4E5f6G7h8I9j0'.repeat(10).slice(0, length)
    const outcome = await login({ submit: json({ session_token: token }) })
    const shown = token.slice(0, Math.max(0, Math.min(24, length - 15)))
    assertSuccess(outcome, `token: ${shown}…\nidentity_id: ${IDENTITY}\n`)
    assert.equal(outcome.seen[2]?.headers['x-session-token'], token)
  })
}

for (const step of STEPS) {
  for (const status of [201, 202, 203, 204, 205, 206, 226]) {
    test(`${step}: a status of ${status} is a failure, whatever the body`, async () => {
      const outcome = await login({ [step]: { ...SUCCESS[step], status } })
      assertFailure(outcome, 1, step, new RegExp(`\\b${status}\\b`))
    })
  }
  for (const body of ['[]', '[{"id":"a","session_token":"b","active":true}]', '"text"', 'null', '5', 'true', '{}']) {
    test(`${step}: a 200 with the JSON ${body} is a failure`, async () => {
      const headers = { 'content-type': 'application/json' }
      assertFailure(await login({ [step]: { status: 200, headers, body } }), 1, step, /\b200\b/)
    })
  }
  for (const body of ['', ' ', '<html>Welcome to the hotel</html>', '{"id": "a', "{'id': 1}", '{"id":"a"} trailing']) {
    test(`${step}: a 200 whose body is no JSON is a failure that says so: ${JSON.stringify(body)}`, async () => {
      const headers = { 'content-type': 'application/json' }
      assertFailure(await login({ [step]: { status: 200, headers, body } }), 1, step, /\b200\b/, /no JSON/)
    })
  }
  test(`${step}: what the table does not know gets its status and one line of its text`, async () => {
    const outcome = await login({ [step]: { status: 418, body: 'short\r\nand\tstout\n' } })
    assertFailure(outcome, 1, step, /\b418\b/, /short and ?stout/)
    assert.equal(outcome.stderr.trimEnd().split('\n').length, 3)
  })
  test(`${step}: what the table does not know gets its ids, from body and header, and the reason`, async () => {
    const error = { id: 'geo_blocked', code: 451, status: 'Unavailable', reason: 'Not here.', message: 'no' }
    const headers = { 'ory-error-id': 'geo_blocked_by_header', 'content-type': 'application/json' }
    const outcome = await login({ [step]: { status: 451, headers, body: { error } } })
    assertFailure(outcome, 1, step, /\b451\b/, /\bgeo_blocked\b/, /\bgeo_blocked_by_header\b/, /Not here\./)
  })
  test(`${step}: error.message stands in for a missing error.reason`, async () => {
    assertFailure(await login({ [step]: json({ error: { message: 'Only this.' } }, 418) }), 1, step, /418.*Only this\./)
  })
  test(`${step}: an error.code that is not the status is shown beside it`, async () => {
    assertFailure(await login({ [step]: json({ error: { code: 499 } }, 418) }), 1, step, /418.*error\.code 499/)
  })
  test(`${step}: a redirect is reported with origin and path, and nobody goes there`, async () => {
    const elsewhere = await standIn(() => ({ status: 200, body: {} }))
    try {
      for (const status of [301, 302, 303, 307, 308]) {
        const headers = { location: `${elsewhere.url}/else/where?q=secret-query#part` }
        const outcome = await login({ [step]: { status, headers } })
        assertFailure(outcome, 1, step, new RegExp(`\\b${status}\\b`), /redirect/, /\/else\/where/)
        assert.ok(outcome.stderr.includes(`${elsewhere.url}/else/where`))
        assert.doesNotMatch(outcome.stderr, /secret-query/)
      }
      assert.equal(elsewhere.connections(), 0)
    } finally {
      await elsewhere.close()
    }
  })
}

test('whoami: a 403 that names no second factor is not taken for one', async () => {
  const outcome = await login({ whoami: json({ error: { code: 403, reason: 'Forbidden here.' } }, 403) })
  assertFailure(outcome, 1, 'whoami', /\b403\b/, /Forbidden here\./)
  assert.doesNotMatch(outcome.stderr, /password is right/)
})

test('submit: a 404 of another kind is neither the method nor the flow', async () => {
  const outcome = await login({ submit: { status: 404, body: 'no such page' } })
  assertFailure(outcome, 1, 'submit', /\b404\b/, /no such page/)
  assert.doesNotMatch(outcome.stderr, /method is off|know the flow/)
})

test('refused credentials are sent once', async () => {
  const outcome = await login(recorded('wrong-password'))
  assertFailure(outcome, 3, 'submit')
  assert.equal(outcome.seen.filter(({ method }) => method === 'POST').length, 1)
})

test("the flow's ui.action is never used, wherever it points", async () => {
  const other = await standIn(replay('success'))
  const ui = { action: `${other.url}/self-service/login?flow=x`, method: 'PUT', nodes: [] }
  try {
    const outcome = await login({ start: json({ ...bodyOf('start'), ui }) })
    assertSuccess(outcome)
    assert.equal(other.connections(), 0)
    assert.deepEqual(
      outcome.seen.map(({ method }) => method),
      ['GET', 'POST', 'GET'],
    )
  } finally {
    await other.close()
  }
})

test('a flow without a password field is submitted all the same', async () => {
  assertSuccess(await login({ start: json({ id: 'a', ui: { nodes: [] } }) }))
})

test('a path prefix of BASE_URL is kept at every step, and shown', async () => {
  const server = await standIn((seen) => SUCCESS[stepOf(seen) ?? 'start'])
  try {
    assertSuccess(await run({ ...credentials(server.url), BASE_URL: ` ${server.url}/a/b// ` }))
    assert.deepEqual(
      server.seen.map(({ path }) => path.replace(/\?.*/, '')),
      ['/a/b/self-service/login/api', '/a/b/self-service/login', '/a/b/sessions/whoami'],
    )
  } finally {
    await server.close()
  }
  const wrong = await standIn(() => recording('wrong-path')[0]?.response)
  try {
    const outcome = await run({ ...credentials(wrong.url), BASE_URL: `${wrong.url}/wrong` })
    assertFailure({ ...outcome, url: `${wrong.url}/wrong` }, 1, 'start', /404 page not found/)
  } finally {
    await wrong.close()
  }
})

const SPELLED = 'Demo.Person@Example.com'
for (const text of [SPELLED, SPELLED.toLowerCase(), SPELLED.toUpperCase(), 'dEMO.pERSON@eXAMPLE.COM']) {
  test(`IDENT is never shown, even where the server repeats it as ${text}`, async () => {
    const messages = [{ id: 4000006, text: `No ${text} here, ${encodeURIComponent(text)}`, type: 'error' }]
    const nodes = [{ attributes: { name: 'identifier', value: text }, messages: [{ id: 5, text: `<${text}>` }] }]
    const outcome = await login({ submit: json(flowWith(messages, nodes), 400) }, { IDENT: ` ${SPELLED} ` })
    assertFailure(outcome, 3, 'submit', /\b4000006\b/, /IDENT/)
    assert.doesNotMatch(outcome.stderr, /demo\.person/i)
    assert.equal(JSON.parse(outcome.seen[1]?.body ?? '').identifier, SPELLED)
  })
}

test('of form fields the messages are read, never the values', async () => {
  const nodes = [
    {
      attributes: { name: 'password', value: 'a-value-of-a-field' },
      messages: [{ id: 4000002, text: 'It is missing.' }],
    },
  ]
  const outcome = await login({ submit: json(flowWith([], nodes), 400) })
  assertFailure(outcome, 3, 'submit', /4000002/, /It is missing\./)
  assert.doesNotMatch(outcome.stderr, /a-value-of-a-field/)
})

test('all messages of a form are shown, with their ids', async () => {
  const nodes = [{ messages: [{ id: 4000003, text: 'Third.' }] }, { messages: [{ id: 4000005, text: 'Fifth.' }] }]
  const outcome = await login({ submit: json(flowWith([{ id: 4000099, text: 'First.' }], nodes), 400) })
  assertFailure(outcome, 1, 'submit', /4000099.*4000003.*4000005/, /First\..*Third\..*Fifth\./)
})

for (const [white, pass] of [
  ['begins', ` ${PASS}`],
  ['ends', `${PASS}\n`],
] as const) {
  test(`a refused PASS that ${white} with white space is pointed out, and was sent as it is`, async () => {
    const outcome = await login(recorded('wrong-password'), { PASS: pass })
    assertFailure(outcome, 3, 'submit', /hint: .*white space/)
    assert.equal(JSON.parse(outcome.seen[1]?.body ?? '').password, pass)
  })
}

test('a refused PASS without white space around it gets no hint about that', async () => {
  const outcome = await login(recorded('wrong-password'), { PASS: 'with space inside' })
  assertFailure(outcome, 3, 'submit')
  assert.doesNotMatch(outcome.stderr, /white space/)
})
