/** What holds for any answer whatever. fast-check prints the seed and the path of a failure. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import fc from 'fast-check'
import { credentials, IDENTITY, type Outcome, PASS, PROGRAM, run, TOKEN, TWO_LINES } from './harness.ts'
import { type Answer, recording, type StandIn, standIn } from './stand-in.ts'

fc.configureGlobal({ includeErrorInReport: true })

const STEPS = ['start', 'submit', 'whoami'] as const
type Step = (typeof STEPS)[number]
type Json = fc.JsonValue

const PATHS = { start: '/self-service/login/api', submit: '/self-service/login', whoami: '/sessions/whoami' }
const stepOf = (path: string): Step =>
  STEPS.find((step) => path.replace(/\?.*/, '') === PATHS[step]) ?? assert.fail(path)

const [START, SUBMIT, WHOAMI] = recording('success').map(({ response }) => response)
const SUCCESS = { start: START, submit: SUBMIT, whoami: WHOAMI }
const NAMES = ['success', 'wrong-password', 'empty-password', 'expired-flow', 'aal2-required', 'invalid-token']
const RECORDED = ['inactive-identity', 'unverified-address', 'unknown-flow', 'admin-port', 'wrong-path', ...NAMES]
  .flatMap(recording)
  .filter(({ request }) => STEPS.some((step) => request.path.startsWith(PATHS[step])))
const bodiesOf = (step: Step): Json[] =>
  RECORDED.filter(({ request }) => stepOf(request.path) === step).map(({ response }) => response.body as Json)

const again = { 'retry-after': '0' } // so that other attempts follow at once

/** Runs a property against one server, whose answers are swapped for each run. */
async function withServer(check: (answer: (answers: Partial<Record<Step, Answer>>) => StandIn) => Promise<void>) {
  let answers: Partial<Record<Step, Answer>> = {}
  const server = await standIn(({ path }) => answers[stepOf(path)] ?? SUCCESS[stepOf(path)])
  try {
    await check((given) => {
      answers = given
      return server
    })
  } finally {
    await server.close()
  }
}

// Values

/** Every way to a value within a value. */
const waysInto = (value: Json): (string | number)[][] => {
  if (typeof value !== 'object' || value === null) return [[]]
  const entries: [string | number, Json | undefined][] = Array.isArray(value)
    ? [...value.entries()]
    : Object.entries(value)
  return [[], ...entries.flatMap(([key, child]) => waysInto(child ?? null).map((way) => [key, ...way]))]
}

/** The value with what is at the end of the way changed, or taken out where the change gives undefined. */
function changed(value: Json, way: (string | number)[], change: (old: Json) => Json | undefined): Json | undefined {
  const [key, ...rest] = way
  if (key === undefined) return change(value)
  const copy = structuredClone(value) as Record<string | number, Json>
  const child = changed(copy[key] ?? null, rest, change)
  if (child === undefined) delete copy[key]
  else copy[key] = child
  return copy
}

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom('', '\u001b[31m', '\n::error::x', '##[error]x', '\u202e', '4000006', 'true', '\ud800', IDENTITY),
)
const anyValue: fc.Arbitrary<Json | undefined> = fc.oneof(
  anyText,
  fc.jsonValue({ maxDepth: 4 }),
  fc.constantFrom(undefined, null, true, false, 0, 500, [], {}, 'constructor', { toString: 1 }),
)

/** The bodies recorded for a step, with up to three values in them replaced or taken out. */
const mutation = (step: Step): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom(...bodiesOf(step)), fc.array(fc.tuple(fc.nat(), anyValue), { maxLength: 3 }))
    .map(([body, changes]) => {
      const result = changes.reduce<Json>((value, [place, replacement]) => {
        const ways = waysInto(value)
        return changed(value, ways[place % ways.length] ?? [], () => replacement) ?? null
      }, body)
      return JSON.stringify(result)
    })

const OTHER = 'somebody-else'

/** The values that a verdict rests on, each as it should be or not. */
const nearMiss = (step: Step): fc.Arbitrary<string> =>
  fc
    .record({
      id: fc.oneof(fc.constant('an-id'), anyValue),
      session_token: fc.oneof(fc.constant(TOKEN), anyValue),
      active: fc.oneof(fc.constant(true), anyValue),
      identity: fc.oneof(fc.record({ id: fc.oneof(fc.constantFrom(IDENTITY, OTHER), anyValue) }), anyValue),
      session: fc.oneof(fc.constantFrom({ identity: { id: IDENTITY } }, { identity: { id: OTHER } }), anyValue),
      expires_at: anyValue,
      error: anyValue,
    })
    .map((body) => JSON.stringify({ ...(step === 'start' ? { ui: null } : {}), ...body }))

const anyHeaders = fc.dictionary(
  fc.constantFrom('location', 'content-type', 'ory-error-id', 'set-cookie', 'x-ratelimit-reset', 'content-encoding'),
  fc.oneof(
    fc.constantFrom('application/json', 'text/html', 'gzip', 'br', 'identity', 'http://[', '//x.example/a', '0'),
    fc.string({
      unit: fc
        .integer({ min: 0x20, max: 0xff })
        .filter((c) => c < 0x7f || c > 0x9f)
        .map((c) => String.fromCharCode(c)),
    }),
  ),
)
const anyStatus = fc.oneof(
  { weight: 4, arbitrary: fc.constant(200) },
  { weight: 1, arbitrary: fc.constantFrom(201, 204, 205, 206, 304, 307, 400, 401, 403, 404, 410, 422, 429, 500, 503) },
  { weight: 1, arbitrary: fc.integer({ min: 200, max: 599 }) },
)
const anyBody = (step: Step): fc.Arbitrary<string | Buffer> =>
  fc.oneof(
    { weight: 4, arbitrary: mutation(step) },
    { weight: 4, arbitrary: nearMiss(step) },
    { weight: 1, arbitrary: fc.json() },
    { weight: 1, arbitrary: anyText },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)) },
  )
const anyAnswer = fc
  .constantFrom(...STEPS)
  .chain((step) => fc.record({ step: fc.constant(step), status: anyStatus, headers: anyHeaders, body: anyBody(step) }))

// An answer may hold the words of the program, so a password that is one of them says nothing about a leak.
const WORDS = readFileSync(PROGRAM, 'utf8')
const isFit = (password: string) =>
  password.trim() !== '' && !/\0|\*\*/.test(password) && !/\p{Cs}/u.test(password) && !WORDS.includes(password)
const anyPassword = fc
  .oneof(
    fc.string({ minLength: 8, maxLength: 30 }),
    fc.string({ minLength: 8, maxLength: 30, unit: 'grapheme' }),
    fc.string({ minLength: 8, maxLength: 30, unit: fc.constantFrom(...'"\\&%+$<>\'# /?=;:äÄß😀a1\t') }),
  )
  .filter(isFit)

const tidied = (text: string) =>
  stripVTControlCharacters(text)
    .replace(/[\p{C}\p{Z}]+/gu, ' ')
    .trim()

/** What no output may hold of a secret. What tidying makes too short would be found by chance. */
const spellingsOf = (secret: string): string[] => {
  const form = new URLSearchParams({ a: secret }).toString().slice(2)
  const all = [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret), form]
  return [...all, ...all.map(tidied)].filter((spelling) => spelling.length >= 8)
}

/** What holds for every run. */
function assertDecent({ code, stdout, stderr }: Outcome, password: string, token = TOKEN) {
  assert.doesNotMatch(stderr, /^\s+at |bug in ory-login/m)
  for (const secret of [password, token].flatMap(spellingsOf)) {
    assert.ok(!stderr.includes(secret), `${JSON.stringify(secret)} in ${JSON.stringify(stderr)}`)
    assert.ok(!stdout.includes(secret), `${JSON.stringify(secret)} in ${JSON.stringify(stdout)}`)
  }
  for (const line of stderr.split('\n').slice(0, -1)) {
    assert.match(line, /^ory-login: \P{C}+$/u)
    assert.ok(line.length <= 750, line)
    assert.doesNotMatch(line, /##/)
  }
  assert.ok(stderr === '' || stderr.endsWith('\n'))
  if (code === 0) {
    assert.match(stdout, /^token: [\x21-\x7e]{0,24}…\nidentity_id: \P{C}+\n$/u)
  } else {
    assert.ok(code === 1 || code === 3 || code === 4, `exit code ${code}`)
    assert.equal(stdout, '')
    assert.match(stderr, /^ory-login: (start login flow|submit credentials|verify session): (GET|POST) http/m)
    assert.match(stderr, /\nory-login: hint: .+\n$/)
  }
}

const parse = (body: unknown): Record<string, Record<string, unknown> | undefined> | undefined => {
  try {
    return JSON.parse(String(body))
  } catch {
    return undefined
  }
}

/** Whether an answer, with the other two as recorded, may lead to exit code 0. */
function mayBeVerified(step: Step, { status, body: bytes }: Answer): boolean {
  const body: Record<string, unknown> & { identity?: { id?: unknown } } = parse(bytes) ?? {}
  const session = body.session as { identity?: { id?: unknown } | null } | null | undefined
  const isSame = (id: unknown) => id === IDENTITY
  if (status !== 200) return false
  if (step === 'start') return typeof body.id === 'string' && body.id !== ''
  if (step === 'whoami') return body.active === true && isSame(body.identity?.id)
  const identity = session?.identity ?? null
  return (
    typeof body.session_token === 'string' && body.session_token !== '' && (identity === null || isSame(identity.id))
  )
}

test('no answer of any shape at any step gives exit code 0 without a verified session, a crash or a leak', async () => {
  const verified = { start: 0, submit: 0, whoami: 0 }
  let failed = 0
  await withServer(async (answer) => {
    const property = fc.asyncProperty(anyAnswer, async ({ step, ...given }) => {
      const server = answer({ [step]: { ...given, headers: { ...given.headers, ...again } } })
      const outcome = await run(credentials(server.url), '--timeout', '5')
      const token = step === 'submit' ? parse(given.body)?.session_token : TOKEN
      assertDecent(outcome, PASS, typeof token === 'string' && token.length > 15 ? token : TOKEN)
      if (outcome.code === 0) assert.ok(mayBeVerified(step, given))
      if (outcome.code === 0) verified[step] += 1
      else failed += 1
    })
    await fc.assert(property, { numRuns: 300 })
  })
  // Else the property would say nothing about one of the two cases.
  assert.ok(failed > 30 && Object.values(verified).every((times) => times > 0), JSON.stringify({ failed, verified }))
})

const escapeAll = (text: string) =>
  JSON.stringify(text)
    .slice(1, -1)
    .replace(/[<>&'\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
const SPELLINGS: ((secret: string) => string)[] = [
  (secret) => secret,
  (secret) => JSON.stringify(secret),
  (secret) => JSON.stringify(JSON.stringify(secret).slice(1, -1)).slice(1, -1),
  (secret) => encodeURIComponent(secret),
  (secret) => new URLSearchParams({ a: secret }).toString().slice(2),
  (secret) => [...secret].join('\u001b[0m'),
  escapeAll,
  (secret) => encodeURIComponent(secret).replace(/%../g, (escaped) => escaped.toLowerCase()),
]

/** A secret, in some spelling, somewhere in a text. */
const planted = (secret: string): fc.Arbitrary<string> =>
  fc
    .tuple(anyText, fc.constantFrom(...SPELLINGS), anyText)
    .map(([before, spell, after]) => `${before}${spell(secret)}${after}`)

/** Bodies with the secret in up to three places, whole texts, and half a JSON text. */
const plantedBody = (step: Step, secret: string): fc.Arbitrary<string> => {
  const text = planted(secret)
  const shaped = fc.record({
    error: fc.oneof(fc.record({ id: text, reason: text, message: text }, { requiredKeys: [] }), text),
    message: text,
    ui: fc.record({
      messages: fc.array(fc.record({ id: fc.oneof(text, fc.constant(4000006)), text }), { maxLength: 3 }),
    }),
  })
  const mutated = fc
    .tuple(fc.constantFrom(...bodiesOf(step)), fc.array(fc.tuple(fc.nat(), text), { minLength: 1, maxLength: 3 }))
    .map(([body, plants]) =>
      plants.reduce<Json>((value, [place, plant]) => {
        const ways = waysInto(value)
        return changed(value, ways[place % ways.length] ?? [], () => plant) ?? null
      }, body),
    )
  const json = fc.oneof(shaped, mutated).map((body) => JSON.stringify(body))
  return fc.oneof(
    { weight: 4, arbitrary: json },
    text,
    json.map((whole) => whole.slice(0, -1)),
  )
}

const plantedHeaders = (secret: string): fc.Arbitrary<Record<string, string>> =>
  fc.dictionary(
    fc.constantFrom('ory-error-id', 'location', 'content-type', 'set-cookie'),
    planted(secret).map((value) => value.replace(/[^\x20-\x7e\xa0-\xff]/g, '')),
  )

const anyPlant = fc
  .record({ step: fc.constantFrom(...STEPS), password: anyPassword, which: fc.constantFrom('password', 'token') })
  .chain(({ step, password, which }) => {
    const secret = which === 'password' ? password : TOKEN
    return fc.record({
      step: fc.constant(step),
      password: fc.constant(password),
      status: anyStatus,
      headers: plantedHeaders(secret),
      body: plantedBody(step, secret),
    })
  })

test('a password or token that an answer repeats, anywhere and in any spelling, is not shown', async () => {
  await withServer(async (answer) => {
    const property = fc.asyncProperty(anyPlant, async ({ step, password, ...given }) => {
      const server = answer({ [step]: { ...given, headers: { ...given.headers, ...again } } })
      for (const args of [[], ['--json', '--verbose']]) {
        const { stdout, ...outcome } = await run(
          { ...credentials(server.url), PASS: password },
          '--timeout',
          '5',
          ...args,
        )
        if (args.length === 0) assertDecent({ ...outcome, stdout }, password)
        else assert.equal(JSON.parse(stdout).ok, outcome.code === 0)
        for (const spelling of [password, TOKEN].flatMap((secret) => SPELLINGS.map((spell) => spell(secret)))) {
          const shown = tidied(spelling)
          const output = tidied(stdout + outcome.stderr)
          assert.ok(
            shown.length < 8 || !output.includes(shown),
            `${JSON.stringify(shown)} in ${JSON.stringify(output)}`,
          )
        }
      }
    })
    await fc.assert(property, { numRuns: 150 })
  })
})

test('any password is sent as it is, and a correct login is verified with it', async () => {
  await withServer(async (answer) => {
    const anyLength = fc.oneof(
      anyPassword,
      fc.string({ minLength: 1, maxLength: 7, unit: 'grapheme' }).filter(isFitOrShort),
    )
    const property = fc.asyncProperty(anyLength, async (password) => {
      const server = answer({})
      const { code, stdout, stderr } = await run({ ...credentials(server.url), PASS: password })
      assert.deepEqual([code, stdout, stderr], [0, TWO_LINES, ''])
      assert.equal(JSON.parse(server.seen.at(-2)?.body ?? '').password, password)
    })
    await fc.assert(property, { numRuns: 60 })
  })
})

const isFitOrShort = (password: string) =>
  password.trim() !== '' && !password.includes('\0') && !/\p{Cs}/u.test(password)

test('a password of one to three characters makes no login fail and no message a crash', async () => {
  const short = fc.oneof(
    fc.string({ minLength: 1, maxLength: 3 }).filter(isFitOrShort),
    fc.constantFrom(
      'a',
      'e',
      '1',
      '4',
      ':',
      '/',
      '-',
      '*',
      '…',
      '$',
      '$&',
      '\\',
      '"',
      '##',
      'ory',
      '0',
      '.',
      ' a',
      'a\n',
    ),
  )
  const refused = recording('wrong-password').at(-1)?.response
  await withServer(async (answer) => {
    const property = fc.asyncProperty(short, async (password) => {
      const env = { ...credentials(answer({}).url), PASS: password }
      const verified = await run(env)
      assert.deepEqual([verified.code, verified.stdout, verified.stderr], [0, TWO_LINES, ''])
      const told = await run(env, '--json')
      assert.deepEqual([told.code, told.stderr, JSON.parse(told.stdout).identity_id], [0, '', IDENTITY])
      answer(refused ? { submit: refused } : {})
      const { code, stdout, stderr } = await run(env)
      assert.deepEqual([code, stdout], [3, ''])
      assert.match(stderr, /^(ory-login: \P{C}+\n)+$/u)
      assert.match(stderr, /^ory-login: submit credentials: /)
      assert.match(stderr, /\nory-login: hint: .*IDENT and PASS.*\n$/)
    })
    await fc.assert(property, { numRuns: 60 })
  })
})
