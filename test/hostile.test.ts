/** Servers that mean harm, or are not Ory: a plain failure at its step, in time, and harmless. */
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check' // of a property that fails, it prints the seed
import { meaningOf, readConfig, readLine, show } from '../src/ory-login.ts'
import * as harness from './harness.ts'
import { ALL_STEPS, answer, assertFailed, bodyOf, login, PASS, type Step } from './harness.ts'

const { credentials, IDENTITY, LOGIN_STEPS, run, SESSION, startOry, startRaw, TOKEN } = harness
const MIB = 2 ** 20
const HEAD = 'HTTP/1.1 200 OK\r\n'

// ---- Too much

const spaces = ' '.repeat(65_536)
// biome-ignore format: a table
const FLOODS: readonly [head: string, unit: string, says: RegExp][] = [
  [`${HEAD}\r\n`, spaces, /1048576/],
  [`${HEAD}content-length: ${400 * MIB}\r\n\r\n`, spaces, /1048576/],
  [`${HEAD}transfer-encoding: chunked\r\n\r\n`, `10000\r\n${spaces}\r\n`, /1048576/],
  [HEAD, `x: ${spaces.slice(0, 1000)}\r\n`, /not valid HTTP/],
]
for (const [head, unit, says] of FLOODS)
  test(`400 MB after ${JSON.stringify(head)} are cut off`, async (t) => {
    let sent = 0
    function* bytes() {
      yield head
      for (; sent < 400 * MIB; sent += unit.length) yield unit
    }
    const server = await startRaw(t, (socket) => {
      socket.once('data', () => Readable.from(bytes()).pipe(socket))
    })
    assertFailed(await run(credentials(server)), 1, 'start', says)
    assert.ok(sent > 0 && sent < 40 * MIB, `${sent} bytes`)
  })

test('a body of 1 MiB is read whole, and a byte more is too much', async (t) => {
  const text = JSON.stringify(bodyOf('whoami')).padEnd(MIB)
  harness.assertVerified(await login(t, { whoami: answer(200, text) }))
  assertFailed(await login(t, { whoami: answer(200, `${text} `) }), 1, 'whoami', /1048576/)
})

test('a compression bomb is not unpacked: 256 MiB do not fit into 128', async (t) => {
  const bomb = gzipSync(Buffer.alloc(256 * MIB, ' '))
  const whoami = answer(200, bomb, { 'content-encoding': 'gzip' })
  const ory = await startOry(t, harness.at({ whoami }))
  const env = { ...credentials(ory), NODE_OPTIONS: '--max-old-space-size=128' }
  assertFailed(await harness.program(env), 1, 'whoami', /1048576/)
})

// ---- Not HTTP, not JSON, not Ory

// biome-ignore format: a table
const NOT_HTTP = [
  'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n', '220 mail.example.com ESMTP\r\n',
  "-ERR wrong number of arguments for 'get' command\r\n", // Redis
  '\x15\x03\x01\x00\x02\x02F', '\0'.repeat(100), // an alert of TLS
  'HTTP/1.1 abc OK\r\n\r\n', 'HTTP/9.9 200 OK\r\n\r\n{}', `${HEAD}: x\r\n\r\n`,
  `${HEAD}content-length: a\r\n\r\n{}`, `${HEAD}transfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n`,
]
for (const bytes of NOT_HTTP)
  test(`${JSON.stringify(bytes)} is not an answer`, async (t) => {
    const server = await startRaw(t, (socket) => void socket.resume().write(bytes, 'latin1'))
    assertFailed(await run(credentials(server)), 1, 'start', /not valid HTTP/)
    assert.equal(server.contacts.length, 1)
  })

const DEEP = `${'['.repeat(1e5)}1${']'.repeat(1e5)}`
const messages = Array.from({ length: 25_000 }, (_, id) => ({ id, text: `Text ${id}.` }))
// biome-ignore format: a table
const NOT_LOGINS: readonly [exit: number, ...Parameters<typeof answer>][] = [
  ...['gzip', 'deflate', 'br', 'gzip, gzip'].map((coding): [number, number, string, object] =>
    [4, 200, `not ${coding}`, { 'content-encoding': coding }]),
  [1, 200, Buffer.from('{"session_token":"b","a":"\xff\xc3("}', 'latin1')],
  [1, 200, Buffer.from('{"session_token":"b"}', 'utf16le'), { 'content-length': 42 }],
  [1, 200, '{"session_token":"\\ud800"}'],
  [1, 200, DEEP], [1, 200, `{"session_token":${DEEP}}`], [1, 400, '['.repeat(1e6)],
  [1, 400, `{"error":{"reason":${DEEP}}}`],
  [1, 400, `{"error":${'{"id":'.repeat(1e5)}1${'}'.repeat(1e5)}}`],
  [1, 418, `{"ui":{"messages":${DEEP}}}`], [3, 418, { ui: { messages } }],
  [3, 418, { ui: { messages: Array(1e5).fill({ id: 5 }) } }],
  [1, 200, '{"__proto__":{"session_token":"b"},"session":{"identity":null}}'],
  [1, 200, '{"constructor":{"prototype":{"session_token":"b","active":true}}}'],
  [1, 200, { session_token: 'a\r\nx-evil: 1' }], [1, 200, { session_token: 'жетон' }],
]
for (const [exit, ...parts] of NOT_LOGINS)
  test(`${harness.brief(parts)} is not a login`, async (t) => {
    const outcome = await login(t, { submit: answer(...parts) })
    assertFailed(outcome, exit, 'submit')
    assert.equal(outcome.ory.count('whoami'), 0)
    assert.ok(!('session_token' in {}) && !('active' in {}))
  })

test('what is active 100,000 levels deep is not an active session', async (t) => {
  const text = JSON.stringify(bodyOf('whoami', { active: 0 }))
  const whoami = answer(200, text.replace('"active":0', `"active":${DEEP}`))
  assertFailed(await login(t, { whoami }), 1, 'whoami', /active: an object/)
})

test('nobody goes where a redirect points', async (t) => {
  const elsewhere = await startOry(t)
  const headers = { location: `${elsewhere.url}/else/where?some#part` }
  for (const step of ALL_STEPS)
    for (const status of [302, 307]) {
      const outcome = await login(t, { [step]: answer(status, '', headers) }, {}, '--logout')
      assertFailed(outcome, 1, step, /\/else\/where\n/)
    }
  assert.equal(elsewhere.contacts.length, 0)
})

// ---- Shapes and texts

const CONFIG = readConfig({}, '')
/** All that is told of an answer. */
function read(step: Step, json: unknown, text = JSON.stringify(json) ?? '') {
  const line = readLine(step, { ...harness.replyOf(answer(400)), text, json }, '', CONFIG)
  const [, , ...texts] = meaningOf(line, CONFIG)
  return [harness.writeLine(line), ...texts]
}

// biome-ignore format: a table
const SHAPES: unknown[] = [
  undefined, null, true, 0, -1.5e300, '', 'text', [], {}, [[]], [null], { id: {} }, [[[1]]],
  [{ id: {}, text: [] }], { toString: 1, valueOf: null, constructor: null, length: -1 },
]
// biome-ignore format: a table
const bodiesOf = (id: unknown) => [id, { ui: id, error: id, active: id, session: id, identity: id },
  { ui: { messages: id, nodes: [id, { messages: id }, { messages: [id] }] } },
  { ui: { messages: [{ id, text: id }], nodes: id } }, { error: { id, code: id, reason: id } },
  { error: { id, code: 400, reason: id, message: id } }]
for (const shape of SHAPES)
  test(`ids, texts and lists such as ${JSON.stringify(shape)} are read without harm`, () => {
    for (const step of LOGIN_STEPS)
      for (const body of bodiesOf(shape))
        for (const text of read(step, body)) assert.equal(typeof text, 'string')
  })

for (const odd of [DEEP, '"\\u001b[31m\\n##[error]"', '0', 'null', '{}', '[[]]', 'true'])
  test(`a session that expires at ${odd.slice(0, 30)} is verified all the same`, async (t) => {
    const text = JSON.stringify(bodyOf('whoami', { expires_at: 0 }))
    const whoami = answer(200, text.replace('"expires_at":0', `"expires_at":${odd}`))
    const told = await login(t, { whoami }, {}, '--json')
    assert.deepEqual([told.code, told.stderr, JSON.parse(told.stdout).ok], [0, '', true])
    assert.match(told.stdout, /^\P{C}+\n$/u)
    assert.doesNotMatch(told.stdout, /##|\\u00/)
  })

// biome-ignore format: a table
const TEXTS = [
  '\u001b[31mred\u001b[0m', 'a\u001b[2J\u001b[Hb', '\u001b]8;;http://a\u0007b\u001b]8;;\u001b\\',
  '\u001b]0;title\u0007x', '\u009b31mred\u009d0;title\u009c', 'x\u001b]8;;http://evil.example',
  '\u001bP1$r\u001b\\x', 'a\u0000\u0007\b\u007fb', 'a\u202e\u2066b\u2069\u200f\u061cc',
  'a\u200b\u200d\ufeff\u2060b', 'a\u2028b\u2029c\u0085d', 'a\ud800b\udc00c', 'a\ue000\u{10ffff}b',
  'a\r\n\r\nory-login: hint: all is well\nb\rc\f\vd', '##[error]all is lost',
  '\n::error::all is lost\r::add-mask::a\n::set-output name=a::b', '##vso[task.setvariable a=b]c',
  '#\u200b#vso[task.complete] #\u001b[0m#[command]x ####[a] #\ud800#[b]', "\n##teamcity[a b='x']",
]
for (const text of TEXTS)
  test(`${JSON.stringify(text)} is shown as plain text of one line`, async (t) => {
    const error = { code: 418, id: text, reason: text, message: `${text} 2` }
    const ui = { messages: [{ id: text, text }] }
    for (const body of [{ error }, { ui }, `${text} and no JSON`, `<title>${text}</title>`]) {
      const told = await login(t, { start: answer(418, body) }, {}, '--json')
      assertFailed(told, 1, 'start', /got +418\b/)
      assert.match(told.stdout, /^\P{C}+\n$/u)
      assert.doesNotMatch(told.stdout, /##|\\u00|\\[rn]|\[31m|\[2J/)
    }
  })

for (const unit of ['y', 'é', '😀', '👩‍👩‍👧', 'x\u0301', 'a b ', '#', '&amp;'])
  test(`10,000 ${unit} are cut, and no character in two`, () => {
    for (const padding of ['', 'x', 'xx', '\u001b[1m', 'Text: ']) {
      const shown = show(padding + unit.repeat(10_000), [PASS])
      assert.ok([...shown].length <= 250 && shown.length > 100, shown)
      assert.match(shown, /^[^\p{Cs}\p{Cc}]+…$/u)
    }
  })

// Patterns that try again from each place, or in each combination, take minutes or years for these.
// biome-ignore format: a table
const SLOW: readonly [start: string, unit: string, password?: string][] = [
  ['\u001b', ';?'], ['\u001b', '['], ['', '\u001b]8;;'], ['', '#'], ['a', '\n'], ['', 'ory_st-'],
  ['', '<title>'], ['<title', ' '], ['', 'column '], ['', '\\', `${'\\'.repeat(12)}"%5c`],
  ['', '\\u005c', `${'\\'.repeat(12)}"%5c`], ['a', ' ', `a${' +%20'.repeat(12)}b`],
  ['', "%25\\u0026amp;&#x25;\u001b[&lt;'\\''\\\\%5c\u009b\u00c3", `%&<"'${PASS}`],
  ['', 'a', `${'aA'.repeat(40)}b`], ['', 'a', `${'a'.repeat(400_000)}b`],
]
for (const [start, unit, password = PASS] of SLOW)
  test(`1 MiB of ${JSON.stringify(start + unit)} is looked at in time: ${password.length}`, () => {
    const text = `${start}${unit.repeat((MIB - 9) / unit.length)}\n`
    const body = { error: { code: 400, id: text, reason: text, message: text } }
    const lines = () => [undefined, body].flatMap((json) => read('submit', json, text))
    const look = () => lines().map((line) => show(line, [password]))
    for (const shown of runInNewContext('look()', { look }, { timeout: 20_000 }))
      assert.ok(shown.length <= 500)
  })

// ---- Any answer whatever

const oddOnes = fc.constantFrom('', 'true', [], {}, null, true, 1, IDENTITY, TOKEN)
const anyValue = fc.oneof(fc.jsonValue({ maxDepth: 3 }), oddOnes)
/** What a verdict rests on, as it should be or not. */
const nearly = (good: unknown) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(good) }, { weight: 1, arbitrary: anyValue })
const identity = nearly({ id: IDENTITY })
const session = fc.oneof(anyValue, fc.record({ id: nearly(SESSION), identity }))
const parts = { id: nearly(SESSION), session_token: nearly(TOKEN), session, active: nearly(true) }
const anyBody = fc.record({ ...parts, identity, error: anyValue, ui: anyValue })
const anyStatus = fc.constantFrom(200, 200, 200, 201, 302, 400, 403, 404, 422)
const anyStep = fc.constantFrom(...LOGIN_STEPS)
const anyReply = fc.oneof(anyValue, anyBody, anyBody)
const anyAnswer = fc.record({ step: anyStep, status: anyStatus, body: anyReply })

/** Whether a login is verified with this answer at a step, where the others are as recorded. */
function isSound({ step, status, body }: { step: Step; status: number; body: unknown }): boolean {
  const { id, session_token: token, session, active, identity } = Object(body)
  const isOwn = (whose: unknown) => Object(whose).id === IDENTITY
  if (status !== 200) return false
  if (step === 'start') return typeof id === 'string' && id !== ''
  if (step === 'whoami') return active === true && id === SESSION && isOwn(identity)
  const isToken = typeof token === 'string' && /^[!-~]+$/.test(token)
  const { id: session_id, identity: owner } = Object(session)
  return isToken && session_id === SESSION && isOwn(owner ?? { id: IDENTITY })
}

test('of any answers, only sound ones verify a login, and none is a crash', async (t) => {
  let told = {}
  const ory = await startOry(t, (seen, response) => harness.at(told)(seen, response))
  const property = fc.asyncProperty(anyAnswer, async (each) => {
    told = { [each.step]: each }
    const { code, ...outcome } = await run(credentials(ory))
    assert.equal(code === 0, isSound(each), outcome.stderr)
    const failed = outcome.stderr.includes('verify session') ? 'whoami' : each.step
    if (code) assertFailed({ code, ...outcome }, code, failed)
  })
  await fc.assert(property, { numRuns: 300 })
})
