/** Servers that mean harm, or are not Ory: a plain failure, in time. */
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { Headers } from 'undici'
import type { Steps } from './harness.ts'
import * as harness from './harness.ts'

const { answer, at, bodyOf, brief, credentials, IDENTITY, login, PASS, run } = harness
const { SESSION, startOry, startRaw, TOKEN } = harness
const { explain, fitToShow, readBody, readConfig } = harness.program
const MIB = 2 ** 20
const HEAD = 'HTTP/1.1 200 OK\r\n'
const SPACES = ' '.repeat(65_536)

// biome-ignore format: a table
const FLOODS: [head: string, unit: string][] = [
  [`${HEAD}\r\n`, SPACES], [HEAD, `x: ${SPACES.slice(0, 1000)}\r\n`],
  [`${HEAD}transfer-encoding: chunked\r\n\r\n`, `10000\r\n${SPACES}\r\n`],
]
for (const [head, unit] of FLOODS)
  test(`400 MB after ${JSON.stringify(head)} are cut off`, async (t) => {
    let sent = 0
    function* bytes() {
      for (yield head; sent < 400 * MIB; sent += unit.length) yield unit
    }
    const server = await startRaw(t, (socket) => {
      socket.once('data', () => Readable.from(bytes()).pipe(socket))
    })
    assert.equal((await run(credentials(server))).code, 1)
    assert.ok(sent < 40 * MIB, `${sent} bytes`)
  })

test('a body of 1 MiB is read whole, and a byte more is too much', async (t) => {
  const text = JSON.stringify(bodyOf('whoami')).padEnd(MIB)
  assert.equal((await login(t, { whoami: answer(200, text) })).code, 0)
  assert.equal((await login(t, { whoami: answer(200, `${text} `) })).code, 1)
})

test('a compression bomb is not unpacked', async (t) => {
  const bomb = gzipSync(Buffer.alloc(256 * MIB, ' '))
  const ory = await startOry(t, at({ whoami: answer(200, bomb, { 'content-encoding': 'gzip' }) }))
  const env = { ...credentials(ory), NODE_OPTIONS: '--max-old-space-size=128' }
  assert.match(harness.errorOf(await harness.runChild(env)), /too large/)
})

for (const bytes of ['SSH-2.0-OpenSSH_9.2\r\n', '\0'.repeat(9), `${HEAD}: x\r\n\r\n`])
  test(`${JSON.stringify(bytes)} is not an answer`, async (t) => {
    const server = await startRaw(t, (socket) => void socket.resume().write(bytes))
    const { code } = await run(credentials(server))
    assert.deepEqual([code, server.contacts()], [1, 1])
  })

const DEEP = `${'['.repeat(1e5)}1${']'.repeat(1e5)}`
const LIKE = JSON.stringify(bodyOf('submit', { session_token: 'X' }))
const messages = Array.from({ length: 25_000 }, (_, id) => ({ id, text: `Text ${id}.` }))
// biome-ignore format: a table
const NOT_LOGINS: [exit: number, status: number, body: unknown][] = [
  ...['"\\ud800"', '"a\\r\\nx-evil: 1"', '"жетон"', DEEP].map((token): [number, number, string] =>
    [1, 200, LIKE.replace('"X"', token)]),
  [1, 200, `{"__proto__":${LIKE}}`], [1, 400, `{"error":{"reason":${DEEP}}}`],
  [1, 400, `{"error":${'{"id":'.repeat(1e5)}1${'}'.repeat(1e5)}}`], [1, 418, '['.repeat(1e6)],
  [1, 418, `{"ui":{"messages":${DEEP}}}`], [3, 418, { ui: { messages } }],
]
for (const [exit, status, body] of NOT_LOGINS)
  test(`${status} with ${brief(body)} is not a login`, async (t) => {
    const { code, ory } = await login(t, { submit: answer(status, body) })
    assert.deepEqual([code, ory.count('whoami')], [exit, 0])
  })

// biome-ignore format: a table
const TEXTS = [
  'a\u001b[2J\u001b[Hb', '\u001b]8;;http://a\u0007b\u001b]8;;\u001b\\',
  '\u009b31mred\u009d0;title\u009c', '\u001bP1$r\u001b\\x', 'a\0\u0007\b\u007fb', 'a\ud800b\udc00c',
  'a\u202e\u2066b\u2069\u061c\u200b\ufeffc\u2028d\u2029e\u0085f\ue000g',
  'a\r\n\r\nory-login: note: all is well\nb\rc\f\vd', '\n::error::a\r::add-mask::b',
  '##vso[a b=c]d', 'a #\u200b#[error]a #\u001b[0m###[a]',
]
for (const text of TEXTS)
  test(`${JSON.stringify(text)} is shown as plain text of one line`, async (t) => {
    const session = { id: text, identity: { id: IDENTITY } }
    const submit = answer(200, bodyOf('submit', { session }))
    const whoami = answer(200, { active: true, ...session, expires_at: text })
    const error = { code: 418, id: text, reason: text, message: `${text} 2` }
    for (const steps of [
      { start: answer(418, { error }) },
      { start: answer(418, { ui: { messages: [{ id: text, text }] } }) },
      { start: answer(418, `${text} and no JSON`) },
      { whoami: answer(200, bodyOf('whoami', { active: text })) },
      { submit, whoami },
    ]) {
      const { stdout, stderr } = await login(t, steps, {}, '--json')
      assert.match(stdout, /^\P{C}+\n$/u)
      assert.doesNotMatch(stdout, /##|[^\\]\\[urn]|\[2J/)
      assert.match(stderr, /^((ory-login: error: | {2}\w+ )((?!##)\P{C})+\n)*$/u)
    }
  })

test('a long text is cut at 250 characters, and none of them in two', () => {
  for (const unit of ['y', '😀', 'x😀', 'é', '#']) {
    const shown = fitToShow(unit.repeat(10_000), [PASS])
    assert.equal([...shown].length, 250)
    assert.match(shown, /^\P{Cs}+…$/u)
  }
})

// A pattern that tries again from each place takes minutes for these.
// biome-ignore format: a table
const SLOW: [start: string, unit: string, password?: string][] = [
  ['\u001b', ';?'], ['', '\u001b]8;;'], ['', '#'], ['a', '\n'], ['', '<title>'],
  ['<title', ' '], ['', '<script'], ['a', ' ', `a${' +%20'.repeat(12)}b`],
  ['', 'a', 'a!'.repeat(200_000)],
  ['', "%25\\u0026amp;&#x25;\u001b[&lt;'\\''\\\\%5c\u009b\u00c3", `%&<"'${PASS}`],
]
for (const [start, unit, password = PASS] of SLOW)
  test(`1 MiB of ${brief(start + unit)} is looked at in time: ${password.length}`, () => {
    const page = `${start}${unit.repeat((MIB - 9) / unit.length)}\n`
    const json = JSON.stringify({ error: { code: 400, id: page, reason: page } })
    const safe = (part: string) => fitToShow(part, [password])
    const look = (text: string) => {
      const reply = { status: 400, code: '', headers: new Headers(), text, fact: '' }
      safe(text)
      explain({ config: readConfig({}, ''), safe }, 'submit', readBody(reply))
    }
    runInNewContext('look(page); look(json)', { look, page, json }, { timeout: 20_000 })
  })

const odd = fc.constantFrom('', [], null, true, 1, TOKEN, { toString: 1, valueOf: null })
const anyValue = fc.oneof(fc.jsonValue({ maxDepth: 3 }), odd)
const nearly = (good: unknown) =>
  fc.oneof(fc.constant(good), fc.constant(good), fc.constant(good), anyValue)
const [id, active] = [nearly(SESSION), nearly(true)]
const identity = fc.oneof(odd, fc.record({ id: nearly(IDENTITY) }))
const session = fc.oneof(anyValue, fc.record({ id, identity, active }))
const words = fc.record({ id: anyValue, text: anyValue, code: anyValue, reason: anyValue })
const ui = fc.record({ messages: fc.oneof(anyValue, fc.array(words)) })
const whole = fc.record({ id, session_token: nearly(TOKEN), session, active, identity })
const anyAnswer = fc.record({
  step: fc.constantFrom('start', 'submit', 'whoami'),
  status: fc.constantFrom(200, 200, 200, 200, 200, 201, 302, 400, 404, 422),
  body: fc.oneof(anyValue, fc.record({ error: words, ui }), whole, whole, whole),
})

/** Whether this body verifies a login, where the other answers are as recorded. */
function isSound(step: string, body: unknown): boolean {
  const { id, session_token, session, active, identity } = Object(body)
  if (step === 'start') return typeof id === 'string' && id !== ''
  if (step === 'whoami') return active === true && id === SESSION && identity?.id === IDENTITY
  const isToken = typeof session_token === 'string' && /^[!-~]+$/.test(session_token)
  const { id: sessionId, active: isActive, identity: owner } = Object(session)
  const isOwn = owner == null || owner.id === IDENTITY
  return isToken && sessionId === SESSION && isActive !== false && isOwn
}

test('of any answers, only sound ones verify a login, and none is a crash', async (t) => {
  let told: Steps = {}
  const ory = await startOry(t, (seen, response) => at(told)(seen, response))
  const property = fc.asyncProperty(anyAnswer, async ({ step, status, body }) => {
    told = { [step]: answer(status, body) }
    const { code, stderr } = await run(credentials(ory))
    assert.equal(code === 0, status === 200 && isSound(step, body), stderr)
    assert.doesNotMatch(stderr, /itself failed/)
  })
  await fc.assert(property, { numRuns: 300 })
})
