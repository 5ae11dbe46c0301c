/** --json, --verbose and --logout: one JSON value whatever happens, one line for each request, no session left behind. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { credentials, IDENT, IDENTITY, type Outcome, PASS, run, TOKEN, TWO_LINES } from './harness.ts'
import { type Answer, type Behaviour, recording, replay, type Seen, type StandIn, standIn } from './stand-in.ts'

type Step = 'start' | 'submit' | 'whoami' | 'logout'

// biome-ignore format: a table
const REQUESTS = {
  start:  { name: 'start login flow',   method: 'GET',    path: '/self-service/login/api' },
  submit: { name: 'submit credentials', method: 'POST',   path: '/self-service/login' },
  whoami: { name: 'verify session',     method: 'GET',    path: '/sessions/whoami' },
  logout: { name: 'log out',            method: 'DELETE', path: '/self-service/logout/api' },
}
const STEPS = ['start', 'submit', 'whoami', 'logout'] as const
const LOGIN = STEPS.slice(0, 3)

const stepOf = ({ method, path }: Seen): Step =>
  STEPS.find((step) => REQUESTS[step].method === method && REQUESTS[step].path === path.replace(/\?.*/, '')) ??
  assert.fail(`${method} ${path}`)

const SESSION = recording('success').at(-1)?.response.body as Record<string, unknown>
const VERIFIED = {
  token: TWO_LINES.split('\n')[0]?.slice('token: '.length),
  identity_id: IDENTITY,
  session_id: SESSION.id,
  expires_at: SESSION.expires_at,
}

/** As recorded, but for some steps. */
const except =
  (others: Partial<Record<Step, Answer | Behaviour>>): Behaviour =>
  (seen, response) => {
    const other = others[stepOf(seen)]
    if (other === undefined) return replay('success', 'logout')(seen, response)
    return typeof other === 'function' ? other(seen, response) : other
  }

/** One server for as long as a function takes. */
async function during<Result>(behaviour: Behaviour, act: (server: StandIn) => Promise<Result>): Promise<Result> {
  const server = await standIn(behaviour)
  try {
    return await act(server)
  } finally {
    await server.close()
  }
}

const recorded = (name: string, step: Step): Answer =>
  recording(name).find(({ request }) => request.path.startsWith(REQUESTS[step].path))?.response ?? assert.fail(name)

interface ToldStep {
  name: string
  status: number | null
  attempts: number
  duration_ms: number
}
type Told = Record<string, unknown> & { ok: boolean; error: string; hint: string; steps: ToldStep[] }

/** The one JSON value on the one line of stdout. Nothing in it, or on stderr, is a secret. */
function readJson({ stdout, stderr }: Outcome): Told {
  assert.match(stdout, /^\{\P{C}*\}\n$/u)
  for (const secret of [PASS, TOKEN, TOKEN.slice(24), IDENT]) {
    assert.ok(!stdout.includes(secret), stdout)
    assert.ok(!stderr.includes(secret), stderr)
  }
  return JSON.parse(stdout)
}

/** What is told of the steps: each one's name, status and attempts, and a duration that can be. */
function assertSteps(told: Told, ms: number, ...expected: [Step, number | null, number?][]) {
  assert.deepEqual(
    told.steps.map(({ name, status, attempts }) => [name, status, attempts]),
    expected.map(([step, status, attempts = 1]) => [REQUESTS[step].name, status, attempts]),
  )
  for (const step of told.steps) {
    assert.deepEqual(Object.keys(step), ['name', 'status', 'attempts', 'duration_ms'])
    assert.ok(Number.isInteger(step.duration_ms) && step.duration_ms >= 0)
  }
  assert.ok(told.steps.reduce((sum, { duration_ms }) => sum + duration_ms, 0) <= ms + 10)
}

const methods = ({ seen }: StandIn) => seen.map(({ method }) => method)

test('--json tells of a verified login whole, in one value on one line, and nothing on stderr', async () => {
  await during(replay('success', 'logout'), async (server) => {
    const outcome = await run(credentials(server.url), '--json')
    assert.deepEqual([outcome.code, outcome.stderr], [0, ''])
    const told = readJson(outcome)
    const { steps, ...rest } = told
    assert.deepEqual(rest, { ok: true, ...VERIFIED, logged_out: false })
    assert.equal(steps.length, 3)
    assertSteps(told, outcome.ms, ['start', 200], ['submit', 200], ['whoami', 200])
    assert.deepEqual(methods(server), ['GET', 'POST', 'GET'])
  })
})

test('--json --logout tells of the logout too', async () => {
  await during(replay('success', 'logout'), async (server) => {
    for (const args of [
      ['--json', '--logout'],
      ['--logout', '--json'],
    ]) {
      const outcome = await run(credentials(server.url), ...args)
      assert.deepEqual([outcome.code, outcome.stderr], [0, ''])
      const told = readJson(outcome)
      const { steps, ...rest } = told
      assert.deepEqual(rest, { ok: true, ...VERIFIED, logged_out: true })
      assert.equal(steps.length, 4)
      assertSteps(told, outcome.ms, ['start', 200], ['submit', 200], ['whoami', 200], ['logout', 204])
    }
  })
})

test('--logout without --json gives the two lines, and ends exactly the session of this login', async () => {
  await during(replay('success', 'logout'), async (server) => {
    const { code, stdout, stderr } = await run(credentials(server.url), '--logout')
    assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: TWO_LINES, stderr: '' })
    assert.deepEqual(methods(server), ['GET', 'POST', 'GET', 'DELETE'])
    const logout = server.seen.at(-1)
    assert.equal(logout?.path, '/self-service/logout/api')
    assert.deepEqual(JSON.parse(logout?.body ?? ''), { session_token: TOKEN })
    assert.equal(logout?.headers['content-type'], 'application/json')
    assert.equal(logout?.headers.accept, 'application/json')
    assert.match(logout?.headers['user-agent'] ?? '', /^ory-login\//)
    assert.equal(logout?.headers.cookie, undefined)
    assert.equal(server.connections(), 1)
  })
})

test('without --logout no DELETE is sent, and neither where the login fails', async () => {
  await during(replay('success', 'logout'), async (server) => {
    for (const args of [[], ['--json'], ['--verbose'], ['--json', '--verbose', '--timeout', '20']]) {
      const { code, stdout } = await run(credentials(server.url), ...args)
      assert.equal(code, 0)
      assert.notEqual(stdout, '')
    }
    assert.ok(!methods(server).includes('DELETE'))
  })
  for (const step of LOGIN) {
    await during(except({ [step]: { status: 418, body: 'no' } }), async (server) => {
      const { code, stdout, stderr } = await run(credentials(server.url), '--logout')
      assert.deepEqual([code, stdout], [1, ''])
      assert.match(stderr, /418/)
      assert.ok(!methods(server).includes('DELETE'))
    })
  }
})

test('a session id or an expiry that is missing is told as an empty text', async () => {
  const whoami = { status: 200, body: { active: true, identity: { id: IDENTITY } } }
  await during(except({ whoami }), async ({ url }) => {
    const outcome = await run(credentials(url), '--json')
    assert.deepEqual([outcome.code, outcome.stderr], [0, ''])
    const { steps: _, ...rest } = readJson(outcome)
    assert.deepEqual(rest, { ok: true, ...VERIFIED, session_id: '', expires_at: '', logged_out: false })
  })
})

test('a session id and an expiry that hold secrets or controls are cleaned', async () => {
  const id = `\u001b[31m${PASS}\n${TOKEN}\u202e`
  await during(except({ whoami: { status: 200, body: { ...SESSION, id, expires_at: id } } }), async ({ url }) => {
    const outcome = await run(credentials(url), '--json')
    assert.deepEqual([outcome.code, outcome.stderr], [0, ''])
    assert.equal(readJson(outcome).ok, true)
  })
})

/** Every class of failure. Without a step of Ory's there is no request, and nothing in `steps`. */
interface Failure {
  name: string
  behaviour?: Behaviour
  env?: (url: string) => Record<string, string>
  /** Set in the environment of the process, where the proxy's variables are read. */
  proxy?: string
  args?: string[]
  code: number
  step: string
  status?: number
  ids?: string[]
  error?: RegExp
  hint?: RegExp
  steps: [Step, number | null, number?][]
}

const garbage: Behaviour = (_, { socket }) => {
  socket?.end('220 mail.example.com ESMTP\r\n')
  return undefined
}
const silence: Behaviour = () => undefined
const hangUp: Behaviour = (_, { socket }) => {
  socket?.destroy()
  return undefined
}
const hostileText = `\u001b[31m\n::error::${PASS} ${encodeURIComponent(IDENT)} ##[error]\u202e${TOKEN}`
const hasNoTime = ['--timeout', '0.2'] // for the wait before another attempt
const before = (step: Step): [Step, number][] => STEPS.slice(0, STEPS.indexOf(step)).map((earlier) => [earlier, 200])

const FAILURES: Failure[] = [
  ...[['--nonsense'], ['positional'], ['--timeout', '0'], ['--timeout'], ['--logout=yes']].map(
    (args): Failure => ({
      name: `the usage error ${args.join(' ')}`,
      args,
      code: 2,
      step: 'read options',
      hint: /--help/,
      steps: [],
    }),
  ),
  {
    name: 'variables that are set but empty',
    env: (url) => ({ BASE_URL: url, IDENT: '', PASS: ' ' }),
    code: 2,
    step: 'read configuration',
    error: /IDENT, PASS/,
    steps: [],
  },
  {
    name: 'a BASE_URL with a password in it',
    env: (url) => ({ ...credentials(url), BASE_URL: url.replace('//', `//user:${PASS}@`) }),
    code: 2,
    step: 'read configuration',
    error: /BASE_URL/,
    steps: [],
  },
  {
    name: 'a proxy that is not a URL',
    env: (url) => credentials(url),
    proxy: 'proxy.example:3128',
    code: 2,
    step: 'choose proxy',
    hint: /HTTP_PROXY/,
    steps: [],
  },
  {
    name: 'a port that fetch refuses',
    env: () => credentials('http://127.0.0.1:6666'),
    code: 2,
    step: REQUESTS.start.name,
    error: /bad port/,
    hint: /port/,
    steps: [['start', null]],
  },
  {
    name: 'https asked of a plain port',
    env: (url) => credentials(url.replace('http:', 'https:')),
    args: hasNoTime,
    code: 4,
    step: REQUESTS.start.name,
    hint: /http:\/\//,
    steps: [['start', null]],
  },
  {
    name: 'wrong credentials',
    behaviour: replay('wrong-password'),
    env: (url) => ({ ...credentials(url), PASS: 'wrong-password' }),
    code: 3,
    step: REQUESTS.submit.name,
    status: 400,
    ids: ['4000006'],
    error: /credentials are invalid/,
    hint: /IDENT and PASS/,
    steps: [...before('submit'), ['submit', 400]],
  },
  {
    name: 'a second factor',
    behaviour: replay('aal2-required'),
    code: 3,
    step: REQUESTS.whoami.name,
    status: 403,
    ids: ['session_aal2_required'],
    hint: /second factor/,
    steps: [...before('whoami'), ['whoami', 403]],
  },
  {
    name: 'a session that is not active',
    behaviour: except({ whoami: { status: 200, body: { ...SESSION, active: false } } }),
    code: 1,
    step: REQUESTS.whoami.name,
    status: 200,
    error: /no active|not active/,
    steps: [...before('whoami'), ['whoami', 200]],
  },
  ...LOGIN.flatMap((step): Failure[] => {
    const at = { step: REQUESTS[step].name }
    const steps = (status: number | null, attempts?: number): Failure['steps'] => [
      ...before(step),
      attempts ? [step, status, attempts] : [step, status],
    ]
    return [
      {
        ...at,
        name: `${step}: an answer that nobody knows, with ids twice`,
        behaviour: except({
          [step]: {
            status: 418,
            headers: { 'ory-error-id': 'by_header' },
            body: { error: { id: 'by_body' }, ui: { messages: [{ id: 5 }, { id: 5 }, { id: 'by_header' }] } },
          },
        }),
        code: 1,
        status: 418,
        ids: ['by_body', 'by_header', '5'],
        steps: steps(418),
      },
      {
        ...at,
        name: `${step}: a body that is no JSON`,
        behaviour: except({ [step]: { status: 200, body: '<html>' } }),
        code: 1,
        status: 200,
        error: /no JSON/,
        steps: steps(200),
      },
      {
        ...at,
        name: `${step}: a redirect`,
        behaviour: except({ [step]: { status: 302, headers: { location: 'https://x.example/a?b=c' } } }),
        code: 1,
        status: 302,
        error: /https:\/\/x\.example\/a(?!\?)/,
        steps: steps(302),
      },
      {
        ...at,
        name: `${step}: a 503 at each attempt`,
        behaviour: except({ [step]: { status: 503, headers: { 'retry-after': '0' }, body: 'down' } }),
        code: 4,
        status: 503,
        error: /down.*attempt 3 of 3/,
        steps: steps(503, 3),
      },
      {
        ...at,
        name: `${step}: a rate limit that would take longer than there is`,
        behaviour: except({ [step]: { status: 429, headers: { 'retry-after': '77' } } }),
        code: 4,
        status: 429,
        error: /\b77 s\b/,
        steps: steps(429),
      },
      {
        ...at,
        name: `${step}: a connection that is cut`,
        behaviour: except({ [step]: hangUp }),
        args: hasNoTime,
        code: 4,
        steps: steps(null),
      },
      {
        ...at,
        name: `${step}: silence`,
        behaviour: except({ [step]: silence }),
        args: ['--timeout', '0.5'],
        code: 4,
        error: /time/,
        steps: steps(null),
      },
      { ...at, name: `${step}: no HTTP`, behaviour: except({ [step]: garbage }), code: 1, steps: steps(null) },
      {
        ...at,
        name: `${step}: too large a body`,
        behaviour: except({ [step]: { status: 200, body: ' '.repeat(2 ** 20 + 1) } }),
        code: 1,
        steps: steps(null),
      },
      {
        ...at,
        name: `${step}: hostile texts and ids`,
        behaviour: except({ [step]: { status: 418, body: { error: { id: hostileText, reason: hostileText } } } }),
        code: 1,
        status: 418,
        ids: [],
        steps: steps(418),
      },
      {
        ...at,
        name: `${step}: JSON nested 100,000 deep`,
        behaviour: except({ [step]: { status: 200, body: '['.repeat(1e5) + ']'.repeat(1e5) } }),
        code: 1,
        status: 200,
        steps: steps(200),
      },
    ]
  }),
]

/** Lines without what differs from run to run: the port, and how long something took. */
const steady = (stderr: string) => stderr.replace(/\b[\d.]+ (m?s)\b/g, 'N $1')

for (const { name, behaviour = replay('success'), env = credentials, proxy, args = [], ...expected } of FAILURES) {
  test(`--json gives one value for ${name}`, async () => {
    await during(behaviour, async ({ url }) => {
      if (proxy) process.env.HTTP_PROXY = proxy
      try {
        const plain = await run(env(url), ...args)
        const outcome = await run(env(url), '--json', ...args)
        assert.equal(plain.stdout, '')
        assert.deepEqual([plain.code, outcome.code], [expected.code, expected.code], plain.stderr)
        assert.equal(steady(outcome.stderr), steady(plain.stderr))

        const told = readJson(outcome)
        const { ok, exit_code, step, status, ory_ids, error, hint, steps, ...rest } = told
        assert.deepEqual(
          { ok, exit_code, step, status, rest },
          {
            ok: false,
            exit_code: expected.code,
            step: expected.step,
            status: expected.status,
            rest: {},
          },
        )
        assert.equal('status' in told, expected.status !== undefined)
        assert.ok(Array.isArray(ory_ids) && Array.isArray(steps))
        if (expected.ids?.length !== 0) assert.deepEqual(ory_ids, expected.ids ?? [])
        if (expected.error) assert.match(error, expected.error)
        if (expected.hint) assert.match(hint, expected.hint)
        assertSteps(told, outcome.ms, ...expected.steps)

        const lines = outcome.stderr.trimEnd().split('\n')
        for (const line of lines) assert.match(line, /^ory-login: \P{C}+$/u)
        assert.equal(lines.at(-1), `ory-login: hint: ${hint}`)
        assert.ok(lines.at(-2)?.endsWith(`: ${error}`), `${lines.at(-2)} has ${error}`)
        assert.ok(lines.some((line) => line.startsWith(`ory-login: ${step}: `)))
      } finally {
        if (proxy) delete process.env.HTTP_PROXY
      }
    })
  })
}

test('--json gives one value where nothing listens', async () => {
  const { url, close } = await standIn(silence)
  await close()
  const outcome = await run(credentials(url), '--json', ...hasNoTime)
  assert.equal(outcome.code, 4)
  assert.match(outcome.stderr, /start login flow: .*\n.*ECONNREFUSED.*\nory-login: hint: /)
  const told = readJson(outcome)
  assert.deepEqual([told.ok, told.exit_code, told.step, 'status' in told], [false, 4, 'start login flow', false])
  assert.match(told.error, /ECONNREFUSED/)
  assertSteps(told, outcome.ms, ['start', null])
})

/** The logouts that fail: the login was verified all the same, and that is said. */
const LOGOUTS: {
  name: string
  logout: Answer | Behaviour
  args?: string[]
  code: number
  status: number | null
  says: RegExp
  attempts?: number
}[] = [
  {
    name: 'refused with 403, as recorded',
    logout: recorded('logout-unknown-token', 'logout'),
    code: 1,
    status: 403,
    says: /could not be found/,
  },
  { name: 'answered with 200', logout: { status: 200, body: {} }, code: 1, status: 200, says: /expected 204/ },
  {
    name: 'answered with 404',
    logout: { status: 404, body: 'no such page' },
    code: 1,
    status: 404,
    says: /no such page/,
  },
  {
    name: 'redirected',
    logout: { status: 303, headers: { location: 'http://x.example/' } },
    code: 1,
    status: 303,
    says: /x\.example/,
  },
  { name: 'answered with 500', logout: { status: 500, body: 'broken' }, code: 4, status: 500, says: /broken/ },
  {
    name: 'answered with 503 at each attempt',
    logout: { status: 503, headers: { 'retry-after': '0' } },
    code: 4,
    status: 503,
    says: /attempt 3 of 3/,
    attempts: 3,
  },
  { name: 'cut off', logout: hangUp, args: hasNoTime, code: 4, status: null, says: /connection/ },
  { name: 'slow', logout: silence, args: ['--timeout', '1'], code: 4, status: null, says: /time/ },
]

for (const { name, logout, args = [], code, status, says, attempts } of LOGOUTS) {
  test(`a logout that is ${name} leaves a verified login, a session behind, and an exit code that is not 0`, async () => {
    await during(except({ logout }), async ({ url }) => {
      const plain = await run(credentials(url), '--logout', ...args)
      assert.equal(plain.code, code, plain.stderr)
      assert.equal(plain.stdout, TWO_LINES)
      assert.match(plain.stderr, /^ory-login: log out: DELETE http\S+\/self-service\/logout\/api$/m)
      assert.match(plain.stderr, says)
      assert.match(plain.stderr, /session.*left behind/)
      assert.match(plain.stderr, /\nory-login: hint: .+\n$/)
      if (status) assert.match(plain.stderr, new RegExp(`\\b${status}\\b`))

      const outcome = await run(credentials(url), '--logout', '--json', ...args)
      assert.equal(outcome.code, code)
      assert.equal(steady(outcome.stderr), steady(plain.stderr))
      const told = readJson(outcome)
      const { token, identity_id, session_id, expires_at } = told
      assert.deepEqual({ token, identity_id, session_id, expires_at }, VERIFIED)
      assert.deepEqual(
        [told.ok, told.logged_out, told.exit_code, told.step, told.status ?? null],
        [false, false, code, 'log out', status],
      )
      assert.match(told.hint, /left behind/)
      assertSteps(told, outcome.ms, ...before('logout'), attempts ? ['logout', status, attempts] : ['logout', status])
    })
  })
}

test('a logout at a server that is gone by then fails, and says that a session is left behind', async () => {
  for (const args of [[], ['--json']]) {
    const server = await standIn(
      except({
        whoami: () => {
          server.server.close()
          return { status: 200, headers: { connection: 'close' }, body: SESSION }
        },
      }),
    )
    try {
      const outcome = await run(credentials(server.url), '--logout', '--timeout', '0.7', ...args)
      assert.equal(outcome.code, 4)
      assert.match(outcome.stderr, /^ory-login: log out: DELETE /m)
      assert.match(outcome.stderr, /ECONNREFUSED/)
      assert.match(outcome.stderr, /session.*left behind/)
      if (args.length === 0) assert.equal(outcome.stdout, TWO_LINES)
      else assert.deepEqual([readJson(outcome).token, readJson(outcome).logged_out], [VERIFIED.token, false])
    } finally {
      await server.close()
    }
  }
})

/** The line that --verbose gives for a step. */
const verboseLine = (url: string, step: Step, came: string, attempts = 1) => {
  const { name, method, path } = REQUESTS[step]
  const words = `ory-login: ${name}: ${method} ${url}${path}: ${came} in <ms> ms, attempts: ${attempts}`
  return new RegExp(`^${words.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace('<ms>', '\\d+')}$`)
}

function assertLines(stderr: string, ...patterns: RegExp[]) {
  const lines = stderr.trimEnd().split('\n')
  assert.equal(lines.length, patterns.length, stderr)
  for (const [index, pattern] of patterns.entries()) assert.match(lines[index] ?? '', pattern)
}

test('--verbose reports each request on stderr: step, method, URL without query, status, duration, attempts', async () => {
  await during(replay('success', 'logout'), async ({ url }) => {
    for (const logout of [false, true]) {
      const { code, stdout, stderr } = await run(credentials(url), '--verbose', ...(logout ? ['--logout'] : []))
      assert.deepEqual([code, stdout], [0, TWO_LINES])
      const login = LOGIN.map((step) => verboseLine(url, step, '200'))
      assertLines(stderr, ...login, ...(logout ? [verboseLine(url, 'logout', '204')] : []))
    }
  })
})

test('--verbose reports the request that fails, before the failure', async () => {
  await during(replay('wrong-password'), async ({ url }) => {
    const { code, stdout, stderr } = await run({ ...credentials(url), PASS: 'wrong-password' }, '--verbose')
    assert.deepEqual([code, stdout], [3, ''])
    const requests = [verboseLine(url, 'start', '200'), verboseLine(url, 'submit', '400')]
    assertLines(stderr, ...requests, /^ory-login: submit credentials: POST/, /4000006/, /^ory-login: hint: /)
  })
  await during(except({ start: hangUp }), async ({ url }) => {
    const { code, stdout, stderr } = await run(credentials(url), '--verbose', ...hasNoTime)
    assert.deepEqual([code, stdout], [4, ''])
    assert.match(stderr.split('\n')[0] ?? '', /^ory-login: start login flow: GET http\S+: \w+ in \d+ ms, attempts: 1$/)
  })
})

test('--verbose and --json count the attempts of a request', async () => {
  for (const [failures, attempts] of [
    [1, 2],
    [2, 3],
  ] as const) {
    let left = 0
    const passing: Behaviour = (seen, response) => {
      left -= 1
      if (left >= 0) return { status: 503, headers: { 'retry-after': '0' } }
      return replay('success')(seen, response)
    }
    for (const step of LOGIN) {
      await during(except({ [step]: passing }), async ({ url }) => {
        left = failures
        const outcome = await run(credentials(url), '--verbose', '--json')
        assert.equal(outcome.code, 0)
        const told = readJson(outcome)
        assert.equal(told.ok, true)
        assertSteps(
          told,
          outcome.ms,
          ...LOGIN.map((each): [Step, number, number] => [each, 200, each === step ? attempts : 1]),
        )
        const lines = outcome.stderr.trimEnd().split('\n')
        assert.ok(
          lines.some((line) => verboseLine(url, step, '200', attempts).test(line)),
          outcome.stderr,
        )
        assert.equal(lines.filter((line) => /^ory-login: note: got 503; attempt \d of 3/.test(line)).length, failures)
        assert.equal(lines.length, 3 + failures)
      })
    }
  }
})

test('all options combine', async () => {
  for (const args of [
    ['--verbose', '--timeout', '20', '--json', '--logout'],
    ['--logout', '--json', '--timeout=20', '--verbose'],
  ]) {
    await during(replay('success', 'logout'), async (server) => {
      const outcome = await run(credentials(server.url), ...args)
      assert.equal(outcome.code, 0)
      assert.deepEqual([readJson(outcome).ok, readJson(outcome).logged_out], [true, true])
      assertLines(
        outcome.stderr,
        ...LOGIN.map((step) => verboseLine(server.url, step, '200')),
        verboseLine(server.url, 'logout', '204'),
      )
      assert.equal(server.connections(), 1)
    })
  }
})

test('--json leaves the notes on stderr where they were', async () => {
  await during(replay('success'), async ({ url }) => {
    const plain = await run({ BASE_URL: url })
    assert.deepEqual([plain.code, plain.stdout], [0, TWO_LINES])
    assert.match(plain.stderr, /^ory-login: note: .*IDENT, PASS\n$/)
    const outcome = await run({ BASE_URL: url }, '--json')
    assert.deepEqual([outcome.code, outcome.stderr], [0, plain.stderr])
    assert.equal(readJson(outcome).ok, true)
  })
})

test('--verbose, --json and --logout leak neither headers nor bodies, whatever an answer repeats', async () => {
  const text = `${hostileText} the-body-of-an-answer`
  const headers = { 'x-of-an-answer': 'the-header-of-an-answer', 'set-cookie': 'a=the-cookie-of-an-answer' }
  for (const step of STEPS) {
    const answer = { status: 200, headers, body: { traits: text, active: 'no', message: 5 } }
    await during(except({ [step]: step === 'logout' ? { ...answer, status: 403 } : answer }), async ({ url }) => {
      const outcome = await run(credentials(url), '--verbose', '--json', '--logout')
      assert.equal(outcome.code, 1)
      assert.equal(readJson(outcome).step, REQUESTS[step].name)
      assert.doesNotMatch(outcome.stdout + outcome.stderr, /of-an-answer|[?&]flow=/)
    })
  }
})

test('a run with --json, --verbose and --logout ends its requests before it ends', async () => {
  await during(replay('success', 'logout'), async (server) => {
    const ended = once(server.server, 'connection').then(([socket]) => once(socket, 'close'))
    const outcome = await run(credentials(server.url), '--json', '--verbose', '--logout')
    assert.equal(outcome.code, 0)
    assert.equal(readJson(outcome).ok, true)
    assert.match(outcome.stderr, /log out/)
    await ended
  })
})
