/** Servers that mean harm, or are no Ory: a plain failure at its step, in time, and harmless. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { describe, test } from 'node:test'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check' // of a property that fails, it prints the seed
import { Headers } from 'undici'
import { meaningOf, readConfig, readReply, show } from '../src/ory-login.ts'
import * as harness from './harness.ts'
import { assertFailed, bodyOf, IDENTITY, LOGIN_STEPS, login, PASS, SESSION } from './harness.ts'

const MIB = 2 ** 20
const JSON_TYPE = { 'content-type': 'application/json' }
const answerOf = (body: string | Buffer, status = 200) => ({ status, headers: JSON_TYPE, body })
const packed = (encoding: string, body: string | Buffer) => {
  return { status: 200, headers: { ...JSON_TYPE, 'content-encoding': encoding }, body }
}

// ---- Too much

const BOMB = packed('gzip', gzipSync(Buffer.alloc(160 * MIB, 0x20)))

/** Sends 400 MB, as fast as they are taken, and counts them. */
function flood(headers: Record<string, string> = {}) {
  const taken = { bytes: 0 }
  function* chunks() {
    for (; taken.bytes < 400 * MIB; taken.bytes += 65_536) yield Buffer.alloc(65_536, ' ')
  }
  const send = (_: unknown, response: ServerResponse) =>
    void Readable.from(chunks()).pipe(response.writeHead(200, { ...JSON_TYPE, ...headers }))
  return { taken, send }
}

describe('too much', { concurrency: true }, () => {
  for (const headers of [{}, { 'content-length': String(400 * MIB) }])
    test(`a body of 400 MB, ${Object.keys(headers)[0] ?? 'in chunks'}, is cut off`, async (t) => {
      const { taken, send } = flood(headers)
      assertFailed(await login(t, { whoami: send }), 1, 'whoami', /1048576|1 MiB/)
      assert.ok(taken.bytes > MIB && taken.bytes < 40 * MIB, `${taken.bytes} bytes`)
    })

  test('a compression bomb, small on the wire, is not unpacked', async (t) => {
    assert.ok(BOMB.body.length < MIB / 2)
    assertFailed(await login(t, { whoami: BOMB }), 1, 'whoami', /1048576|1 MiB/)
  })

  test('a body of 1 MiB is read whole, and a byte more is too much', async (t) => {
    const text = JSON.stringify(bodyOf('whoami')).padEnd(MIB)
    harness.assertVerified(await login(t, { whoami: answerOf(text) }))
    const longer = await login(t, { whoami: answerOf(`${text} `) })
    assertFailed(longer, 1, 'whoami', /1048576|1 MiB/)
  })

  test('headers that never end are cut off', async (t) => {
    let sent = 0
    function* lines() {
      yield 'HTTP/1.1 200 OK\r\n'
      for (; sent < 400 * MIB; sent += 1000) yield `x-${sent}: ${'y'.repeat(1000)}\r\n`
    }
    const server = await harness.startRaw(
      t,
      (socket) => void socket.once('data', () => Readable.from(lines()).pipe(socket)),
    )
    assertFailed(await harness.run(harness.credentials(server)), 1, 'start')
    assert.ok(sent > 0 && sent < 40 * MIB, `${sent} bytes`)
  })

  test('neither 400 MB nor a bomb take 60 MiB more memory than a normal run', async (t) => {
    const report = `import { writeFileSync } from 'node:fs'
      process.on('exit', () => writeFileSync('rss', String(process.resourceUsage().maxRSS)))`
    const url = `data:text/javascript,${encodeURIComponent(report)}`
    const command = [process.execPath, '--import', harness.TSX, '--import', url, harness.PROGRAM]
    const measure = async (whoami: harness.Answer | harness.Behaviour) => {
      const cwd = harness.folder()
      const ory = await harness.startOry(t, harness.at({ whoami }))
      const outcome = await harness.program(harness.credentials(ory), [], { cwd, command })
      return { ...outcome, mib: Number(readFileSync(join(cwd, 'rss'), 'utf8')) / 1024 }
    }
    const measured = [harness.SUCCESS.whoami, BOMB, flood().send].map(measure)
    const [normal, ...others] = await Promise.all(measured)
    assert.ok(normal && normal.code === 0 && normal.mib > 20)
    for (const outcome of others) {
      assertFailed(outcome, 1, 'whoami')
      assert.ok(outcome.mib <= normal.mib + 60, `${outcome.mib} MiB, not ${normal.mib} MiB`)
    }
  })
})

// ---- No HTTP, no JSON, no Ory

const HEAD = 'HTTP/1.1 200 OK\r\n'
// biome-ignore format: a table
const NO_HTTP: Readonly<Record<string, string | Buffer>> = {
  'a banner of SSH': 'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n',
  'a greeting of SMTP': '220 mail.example.com ESMTP\r\n',
  'a reply of Redis': "-ERR wrong number of arguments for 'get' command\r\n",
  'an alert of TLS': Buffer.from('15030100020246', 'hex'),
  zeros: Buffer.alloc(100),
  'a status that is no number': 'HTTP/1.1 abc OK\r\n\r\n',
  'a version that is none': 'HTTP/9.9 200 OK\r\ncontent-length: 2\r\n\r\n{}',
  'a header with no name': `${HEAD}: x\r\n\r\n`,
  'a length that is no number': `${HEAD}content-length: many\r\n\r\n{}`,
  'a chunk of no size': `${HEAD}transfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n`,
}
for (const [name, bytes] of Object.entries(NO_HTTP))
  test(`${name} is no answer`, async (t) => {
    const server = await harness.startRaw(t, (socket) => void socket.resume().write(bytes))
    assertFailed(await harness.run(harness.credentials(server)), 1, 'start', /HTTP/)
    assert.equal(server.contacts.length, 1)
  })

const deep = (open: string, close: string) => `${open.repeat(1e5)}1${close.repeat(1e5)}`
// biome-ignore format: a table
const NO_ANSWERS: Readonly<Record<string, readonly [exit: number, answer: harness.Answer]>> = {
  ...Object.fromEntries(['gzip', 'deflate', 'br', 'gzip, gzip'].map((encoding) =>
    [`what is said to be ${encoding}`, [4, packed(encoding, '{"session_token":"not packed"}')]])),
  'invalid UTF-8': [1, answerOf(Buffer.from('{"session_token":"b","a":"\xff\xc3("}', 'latin1'))],
  'a text in UTF-16': [1, answerOf(Buffer.from('{"session_token":"b"}', 'utf16le'))],
  'half of a surrogate pair': [1, answerOf('{"session_token":"\\ud800"}')],
  'JSON nested 100,000 deep': [1, answerOf(deep('[', ']'))],
  'a million brackets': [1, answerOf('['.repeat(1e6), 400)],
  'a token nested 100,000 deep': [1, answerOf(`{"session_token":${deep('[', ']')}}`)],
  'an error nested 100,000 deep': [1, answerOf(`{"error":${deep('{"id":', '}')}}`, 400)],
  'a reason nested 100,000 deep': [1, answerOf(`{"error":{"reason":${deep('[', ']')}}}`, 400)],
  'a form nested 100,000 deep': [3, answerOf(`{"ui":{"messages":${deep('[', ']')}}}`, 418)],
  'a __proto__': [1, answerOf('{"__proto__":{"session_token":"b"},"session":{"identity":null}}')],
  'a constructor': [1,
    answerOf('{"constructor":{"prototype":{"session_token":"b","active":true}}}')],
  'a token that no header can carry': [1,
    { status: 200, body: { session_token: 'a\r\nx-evil: 1' } }],
  'a token of letters that no header can carry': [1,
    { status: 200, body: { session_token: 'жетон' } }],
  '100,000 messages': [3, { status: 418, body: { ui: { messages: Array(1e5).fill({ id: 5 }) } } }],
  '25,000 messages of their own': [3, { status: 418, body: { ui: { messages:
    Array.from({ length: 25_000 }, (_, id) => ({ id, text: `Text ${id}.` })) } } }],
}
for (const [name, [exit, submit]] of Object.entries(NO_ANSWERS))
  test(`${name} is no login`, async (t) => {
    const outcome = await login(t, { submit })
    assertFailed(outcome, exit, 'submit')
    assert.equal(outcome.ory.count('whoami'), 0)
    assert.ok(!('session_token' in {}) && !('active' in {}))
  })

test('what is active beyond all depth is no active session', async (t) => {
  const { identity } = { identity: null, ...bodyOf('whoami') }
  const text = JSON.stringify({ identity, active: 0 }).replace(/0\}$/, `${deep('[', ']')}}`)
  assertFailed(await login(t, { whoami: answerOf(text) }), 1, 'whoami', /active: an object/)
})

// ---- Shapes

const config = { ...readConfig({ IDENT: 'a', PASS: 'b' }, ''), timeoutMs: 1 }
/** All that is read of an answer, and told of it. */
function read(step: harness.Step, json: unknown, text = JSON.stringify(json) ?? '') {
  const reply = { status: 400, headers: new Headers(), text, json, code: '' }
  const run = { config, isStale: false, isConnected: () => true }
  const evidence = readReply(run, step, reply)
  const [, , error, hints] = meaningOf(evidence)
  const told = [typeof hints === 'function' ? hints(evidence) : hints].flat()
  return [error, evidence.said, evidence.words, ...evidence.ids, ...told]
}

const ODD = { toString: 1, valueOf: null, constructor: null, length: -1 }
// biome-ignore format: a table
const SHAPES = [
  undefined, null, true, 0, -1.5e300, '', 'text', [], {}, [[]], [null], { id: {} }, [[[1]]],
  [{ id: {}, text: [] }], ODD, [ODD], Object.create(null),
]
test('ids, texts and lists of any shape are read without harm', () => {
  for (const step of LOGIN_STEPS)
    for (const shape of SHAPES)
      for (const body of [
        shape,
        { ui: shape, error: shape, message: shape, active: shape, session: shape, identity: shape },
        { ui: { messages: shape, nodes: [shape, { messages: shape }, { messages: [shape] }] } },
        { ui: { messages: [{ id: shape, text: shape, type: shape }], nodes: shape } },
        { error: { id: shape, code: shape, reason: shape, message: shape } },
        { error: { id: shape, code: 400, reason: shape, message: shape } },
      ])
        for (const text of read(step, body)) assert.equal(typeof text, 'string')
})

test('a session id and an expiry of any shape do not crash a verified login', async (t) => {
  const { session_token, session } = { session_token: '', session: {}, ...bodyOf('submit') }
  const submit = { status: 200, body: { session_token, session: { ...session, id: null } } }
  const text = JSON.stringify(bodyOf('whoami', { id: 0, expires_at: 0 }))
  const odds = [deep('[', ']'), '"\\u001b[31m\\n##[error]"']
  for (const odd of [...odds, ...SHAPES.slice(1).map((shape) => JSON.stringify(shape))]) {
    const whoami = answerOf(text.replace(/"(id|expires_at)":0/g, `"$1":${odd}`))
    harness.assertVerified(await login(t, { submit, whoami }))
    const told = await login(t, { submit, whoami }, {}, '--json')
    assert.deepEqual([told.code, told.stderr, JSON.parse(told.stdout).ok], [0, '', true])
    assert.match(told.stdout, /^\P{C}+\n$/u)
    assert.doesNotMatch(told.stdout, /##|\\u00/)
  }
})

// ---- Texts

// biome-ignore format: a table
const TEXTS: Readonly<Record<string, string>> = {
  colours: '\u001b[31mred\u001b[0m',
  'a cleared screen': 'a\u001b[2J\u001b[Hb',
  'a link': '\u001b]8;;http://evil.example\u0007click\u001b]8;;\u001b\\',
  'a window title': '\u001b]0;title\u0007x',
  'C1 controls': '\u009b31mred\u009d0;title\u009c',
  'an escape that never ends': 'x\u001b]8;;http://evil.example',
  'a device string': '\u001bP1$r\u001b\\x',
  'NUL, BEL, BS and DEL': 'a\u0000\u0007\b\u007fb',
  'bidirectional characters': 'a\u202e\u2066b\u2069\u200f\u061cc',
  'characters of no width': 'a\u200b\u200d\ufeff\u2060b',
  'separators of lines': 'a\u2028b\u2029c\u0085d',
  'lone surrogates': 'a\ud800b\udc00c',
  'private and unassigned characters': 'a\ue000\u{e0001}\u{10ffff}b',
  'a line of our own': 'a\r\n\r\nory-login: hint: all is well\nb\rc\f\vd',
  'commands of GitHub': '\n::error::all is lost\r::add-mask::a\n::set-output name=a::b',
  'a command of GitHub, old style': '##[error]all is lost',
  'a command of Azure': '##vso[task.setvariable variable=PATH]evil',
  'a command in pieces': '#\u200b#vso[task.complete] #\u001b[0m#[command]x ####[a] #\ud800#[b]',
  'a message of TeamCity': "\n##teamcity[testFailed name='x']",
}
for (const [name, text] of Object.entries(TEXTS))
  test(`${name} in texts and ids are shown as plain text of one line`, async (t) => {
    for (const body of [
      { error: { code: 418, id: text, reason: text, message: `${text} 2` } },
      { ui: { messages: [{ id: text, text }] } },
      `${text} and no JSON`,
      `<title>${text}</title>`,
    ]) {
      const told = await login(t, { start: { status: 418, body } }, {}, '--json')
      assertFailed(told, 1, 'start', /\b418\b/)
      assert.equal(told.stderr.trimEnd().split('\n').length, 6)
      assert.match(told.stdout, /^\P{C}+\n$/u)
      assert.doesNotMatch(told.stdout, /##|\\u00|\\[rn]|\[31m|\[2J/)
    }
  })

test('a place to go to is shown as it is, whatever it holds', async (t) => {
  const headers = { location: "https://x.example/$&$'$1/self-service/login/api" }
  const outcome = await login(t, { start: { status: 307, headers } })
  assertFailed(outcome, 1, 'start', /set BASE_URL to https:\/\/x\.example\/\$&\$'\$1[; ]/)
})

test('a long text is cut, and no character is cut in two', () => {
  for (const padding of ['', 'x', 'xx', '\u001b[1m', 'Text: '])
    for (const unit of ['y', 'é', '😀', '👩‍👩‍👧', 'x\u0301', 'a b ', '#', '&amp;']) {
      const shown = show(padding + unit.repeat(10_000), [PASS])
      assert.ok([...shown].length <= 250 && shown.length > 100, shown)
      assert.match(shown, /^[^\p{Cs}\p{Cc}]+…$/u)
    }
})

// Patterns that try again from each place, or in each combination, take minutes or years for these.
// biome-ignore format: a table
const SLOW_TEXTS: readonly [name: string, password: string, start: string, unit: string][] = [
  ['an escape sequence that never ends', PASS, '\u001b', ';?'],
  ['brackets after an escape', PASS, '\u001b', '['],
  ['links that are opened', PASS, '', '\u001b]8;;'],
  ['number signs', PASS, '', '#'],
  ['line breaks', PASS, 'a', '\n'],
  ['titles', PASS, '', '<title>'],
  ['half a title', PASS, '<title', ' '],
  ['what looks like tokens', PASS, '', 'ory_st-'],
  ['backslashes', `${'\\'.repeat(12)}"%5c`, '', '\\'],
  ['escaped backslashes', `${'\\'.repeat(12)}"%5c`, '', '\\u005c'],
  ['all escapes', `%&<"'${PASS}`, '', "%25\\u0026amp;&#x25;\u001b[&lt;'\\''\\\\%5c\u009b\u00c3"],
  ['spaces', `a${' +%20'.repeat(12)}b`, 'a', ' '],
  ['what a database could say', PASS, '', 'column '],
  ['the beginning of the password', `${'aA'.repeat(40)}b`, '', 'a'],
]
for (const [name, password, start, unit] of SLOW_TEXTS)
  test(`1 MiB of ${name} is looked at in time`, () => {
    const text = `${start}${unit.repeat((MIB - 9) / unit.length)}\n`
    const bodies = [undefined, { error: { code: 400, id: text, reason: text, message: text } }]
    const look = () =>
      bodies.flatMap((body) => read('submit', body, text)).map((each) => show(each, [password]))
    for (const shown of runInNewContext('look()', { look }, { timeout: 5000 }))
      assert.ok(shown.length <= 500)
  })

test('a token that its own text nearly repeats is looked at in time', async (t) => {
  const session_token = `${'a'.repeat(400_000)}b`
  const body = { session_token, error: { reason: 'a'.repeat(400_000) } }
  const ory = await harness.startOry(t, harness.at({ submit: { status: 200, body } }))
  const outcome = await harness.program(harness.credentials(ory), ['--timeout', '5'])
  assertFailed(outcome, 1, 'submit', /\b200\b/)
})

// ---- Any answer whatever

const anyValue = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom('', 'true', [], {}, null, true, 1, IDENTITY, harness.TOKEN),
)
/** What a verdict rests on, as it should be or not. */
const nearly = (good: unknown) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(good) }, { weight: 1, arbitrary: anyValue })
const { session_token, session } = { session_token: '', session: {}, ...bodyOf('submit') }
const anyBody = fc.record({
  id: nearly(SESSION),
  session_token: nearly(session_token),
  session: fc.oneof(nearly(session), fc.record({ id: anyValue, identity: anyValue })),
  active: nearly(true),
  identity: fc.oneof(nearly({ id: IDENTITY }), fc.record({ id: anyValue })),
  error: anyValue,
  ui: anyValue,
})
const anyStatus = fc.oneof(fc.constant(200), fc.constantFrom(201, 302, 400, 403, 404, 422, 500))
const anyAnswer = fc.record({ status: anyStatus, body: fc.oneof(anyValue, anyBody, anyBody) })

/** Whether a login is verified with this answer at a step, where the others are as recorded. */
function isSound(step: harness.Step, { status, body }: harness.Answer): boolean {
  if (status !== 200) return false
  const of = (value: unknown, key: string): unknown => Object(value)[key] ?? undefined
  const [id, token, login] = [of(body, 'id'), of(body, 'session_token'), of(body, 'session')]
  const whose = of(body, 'identity')
  if (step === 'start') return typeof id === 'string' && id !== ''
  if (step === 'whoami')
    return of(body, 'active') === true && id === SESSION && of(whose, 'id') === IDENTITY
  const [newId, owner] = [of(login, 'id'), of(login, 'identity')]
  const isToken = typeof token === 'string' && /^[!-~]+$/.test(token)
  const isOwn = owner === undefined || of(owner, 'id') === IDENTITY
  return isToken && isOwn && (newId === undefined || newId === null || newId === SESSION)
}

test('of any answers, only sound ones verify a login, and none is a crash', async (t) => {
  let told: Partial<Record<harness.Step, harness.Answer>> = {}
  const ory = await harness.startOry(t, (seen, response) => harness.at(told)(seen, response))
  const anyStep = fc.constantFrom(...LOGIN_STEPS)
  const property = fc.asyncProperty(anyStep, anyAnswer, async (step, answer) => {
    told = { [step]: answer }
    const outcome = await harness.run(harness.credentials(ory))
    assert.equal(outcome.code === 0, isSound(step, answer), outcome.stderr)
    assert.notEqual(outcome.code, 2)
    const failed = outcome.stderr.includes('verify session') ? 'whoami' : step
    if (outcome.code) assertFailed(outcome, outcome.code, failed)
  })
  await fc.assert(property, { numRuns: 300 })
})
