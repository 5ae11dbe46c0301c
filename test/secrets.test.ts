/** Never a leak: what repeats a secret, in whatever spelling, is withheld; all else is shown. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check' // of a property that fails, it prints the seed
import { repeatsSecret, show } from '../src/ory-login.ts'
import type { Answer, Behaviour, Outcome, Step } from './harness.ts'
import {
  assertFailed,
  assertNoSecrets,
  at,
  bodyOf,
  IDENTITY,
  LOGIN_STEPS,
  login,
  PASS,
  recorded,
  run,
  STEPS,
  SUCCESS,
  startOry,
  TOKEN,
} from './harness.ts'

const assertWithheld = (text: string, secret: string) =>
  assert.match(show(text, [secret]), /^\(withheld\b[^()]*\)$/, JSON.stringify([secret, text]))
const assertShown = (text: string, secret: string) => assert.equal(show(text, [secret]), text)

// ---- How a secret can be spelled

type Spell = (secret: string) => string
const code = (character: string, radix: number, length: number) =>
  character.charCodeAt(0).toString(radix).padStart(length, '0')
const inUnicode: Spell = (secret) => secret.replace(/./gs, (c) => `\\u${code(c, 16, 4)}`)
const inJson: Spell = (secret) => JSON.stringify(secret).slice(1, -1)
const inGo: Spell = (secret) => inJson(secret).replace(/[<>&\x7f-\uffff]/g, inUnicode)
const names = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": 'apos' }
const inXml: Spell = (secret) =>
  Object.entries(names).reduce((text, [c, name]) => text.replaceAll(c, `&${name};`), secret)
const asLatin1: Spell = (secret) => Buffer.from(secret).toString('latin1')
/** Each byte of UTF-8 that is no letter and no digit. */
const inBytes = (secret: string, start: string, radix: number, length: number) =>
  asLatin1(secret).replace(/[^\dA-Za-z]/g, (c) => start + code(c, radix, length))
const between = (separator: string) => (secret: string) => [...secret].join(separator)
const WINDOWS = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ'

/** What another program makes of it: all of a secret can be read out of it. */
// biome-ignore format: a table
const ESCAPED: Readonly<Record<string, Spell>> = {
  'as it is': (s) => s,
  'as in JSON': inJson,
  'as in JSON within JSON': (s) => inJson(inJson(s)),
  'as in JSON of Go': inGo,
  'as in JSON of PHP': (s) => inGo(s).replaceAll('/', '\\/'),
  'as in JSON, each character': inUnicode,
  'as in a URL': encodeURIComponent,
  'as in a URL twice': (s) => encodeURIComponent(encodeURIComponent(s)),
  'as in a URL, in lower case': (s) => inBytes(s, '%', 16, 2),
  'as a whole URL': encodeURI,
  'as in a form': (s) => new URLSearchParams({ a: s }).toString().slice(2),
  'as in HTML': (s) => s.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`),
  'as in HTML, decimal': (s) => s.replace(/\W/gu, (c) => `&#${c.codePointAt(0)};`),
  'as in HTML, hex': (s) => s.replace(/\W/gu, (c) => `&#x${c.codePointAt(0)?.toString(16)};`),
  'as in XML': inXml,
  'as in XML twice': (s) => inXml(inXml(s)),
  'as in a shell': (s) => `'${s.replaceAll("'", "'\\''")}'`,
  'as in a shell, with two quotes': (s) => `'${s.replaceAll("'", `'"'"'`)}'`,
  'as by printf %q': (s) => s.replace(/[^\w\x80-\uffff]/g, '\\$&'),
  'as in a shell, hex': (s) => `$'${inBytes(s, '\\x', 16, 2)}'`,
  'as in a shell, octal': (s) => `$'${inBytes(s, '\\', 8, 3)}'`,
}
/** What a console, a log or a mistaken encoding makes of it. */
// biome-ignore format: a table
const DISGUISED: Readonly<Record<string, Spell>> = {
  'in upper case': (s) => s.toUpperCase(),
  'in lower case': (s) => s.toLowerCase(),
  'with spaces between': between(' '),
  'in lines': (s) => s.replace(/.{5}/gsu, '$&\r\n  '),
  'with characters of no width between': between('\u200b'),
  'with control characters between': between('\0\x7f'),
  'with escape sequences between': between('\u001b[0;1m'),
  'with links between': between('\u001b]8;;x\u0007'),
  'in UTF-8 read as Latin-1': asLatin1,
  'in UTF-8 read as Windows-1252': (s) =>
    asLatin1(s).replace(/[\x80-\x9f]/g, (c) => WINDOWS[c.charCodeAt(0) - 0x80] ?? c),
  'in Latin-1 read as UTF-8': (s) => /[^\0-\xff]/.test(s) ? s : Buffer.from(s, 'latin1').toString(),
  'in NFD': (s) => s.normalize('NFD'),
}
const SPELLINGS = { ...ESCAPED, ...DISGUISED }
const spell = (name: string, secret: string) => SPELLINGS[name]?.(secret) ?? assert.fail(name)

// biome-ignore format: a table
const PASSWORDS = [
  'Tr0ub4dor&3<zebra', `p"w\\x &ä%+$<'/hunterZq8Kv/'>$+%ä& \\"q`, `<'>&"'$%!~;#`, '!@#$%^&*()_+',
  'парольПароль', 'Größenwahn-überall', '😀🔑😀🔑😀🔑', '\\'.repeat(12), 'pw\\u0041<xyz', 'hunter',
  'ab\tcd"ef\'gh', 'zebra&3%', 'zebra<3&', 'zebra"3\\', "it's'quoted'", `x&${'long '.repeat(1000)}`,
]
const BESIDE = ['', ' to us', '</b>', 'ffa60abd', '41', 'u0041', 'lt;', '%', '\\', '"', '&', '😀']

for (const name of Object.keys(SPELLINGS))
  test(`a secret ${name} is withheld, whatever follows it`, () => {
    for (const password of PASSWORDS)
      for (const after of BESIDE) assertWithheld(`It is ${spell(name, password)}${after}`, password)
  })

// biome-ignore format: a table
const PAIRS: readonly [text: string, secret: string][] = [
  // Beside what would be an escape together with it.
  ['%41&amp;xxxxx', '41&xxxxx'], ['\\u0041&lt;zebra', 'u0041<zebra'], ['&lt;%3Czebra', 'lt;<zebra'],
  [':%:>+/\\\\\\"#;ä$1ß1;$111;\';\\\\\\"%ffa60abd-2019', ':%:>+/"#;ä$1ß1;$111;\';"%'],
  // Where tidying takes something away.
  ['a##b##c#1', 'a##b##c#1'], ['\u001b[hunter2abc', 'hunter2abc'], ['\u009bhunter2ab', 'hunter2ab'],
  [`Error:${' '.repeat(3985)}hunter2abcdef`, 'hunter2abcdef'], ['zebra\n1zebra', 'zebra\n1zebra'],
  // Cut, by the limit of what is shown, or by whoever sent it.
  [`${'x'.repeat(245)}hunter2abc`, 'hunter2abc'], ['long 1 '.repeat(750), 'long 1 '.repeat(750)],
  [`It was ${'Zebra-1;'.repeat(30)}…`, 'Zebra-1;'.repeat(625)],
  // In two spellings at once.
  ['Passw&ouml;rt&#45;Test', 'Passwört-Test'], ['hunter\\u001b[0m2abc', 'hunter2abc'],
  ['HUNTER%20%26AMP%3B%202', 'hunter & 2'], ['STRA%C3%9FE-7', 'Straße-7'], ['straßī7', 'STRAẞĪ7'],
  ['a\u200b\u0308#,#(#', 'ä#,#(#'],
  // In Ory's own text, where a star in the place of the password would tell it.
  ['check for spelling mistakes in your password or username', 'password'],
]
test('a secret is seen through what stands beside it, cuts it, or mixes its spellings', () => {
  for (const [text, secret] of PAIRS) assertWithheld(text, secret)
})

test("a key or token of Ory's is withheld, whosever it is", () => {
  for (const kind of ['pat', 'apikey', 'wak', 'st', 'lo', 'at', 'rt', 'ac'])
    assertWithheld(`use ory_${kind}_4zWKh7TUgn`, PASS)
  assertShown('the cookie ory_kratos_session, or ory_session_x', PASS)
})

test('each of several secrets counts, and none is no secret', () => {
  assert.equal(repeatsSecret('your token is abcdefgh', ['hunter2', 'ABCDEFGH']), true)
  assert.equal(repeatsSecret('hunter2 and hunter3', ['hunter4', 'zebra-1']), false)
  assert.equal(repeatsSecret('hunter2', []), false)
})

// ---- What is no secret is shown

const stringsIn = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : Object.values(Object(value)).flatMap(stringsIn)
const ORYS = ['wrong-password', 'inactive-identity', 'unverified-address', 'hook-failed']
  .flatMap((name) => stringsIn(recorded(name)))
  .filter((text) => text.length > 1 && text.length < 250 && text.trim() === text)
// biome-ignore format: a table
const TEXTS = [
  ...ORYS, 'got 400 4000006: no', '50% off & more <b>', "C:\\new\\table 'x'", 'a=%41&amp;b=\\u0041',
  '#1 of 5', 'Пароль неверен', '密码错误', 'Ungültig – ähnlich…', '0x41: &#65; \\101', '"Zitat" 😀',
]

test("Ory's texts, and others, are shown as they are beside any ordinary password", () => {
  assert.ok(ORYS.length > 100)
  const unit = fc.constantFrom(...'abcdefxyzABC0123$&%-_ ')
  const bare = (text: string) => text.replace(/[\W_]/g, '').toUpperCase()
  const property = fc.property(fc.string({ minLength: 8, maxLength: 30, unit }), (password) => {
    for (const text of TEXTS)
      if (!bare(text).includes(bare(password).slice(0, 6))) assertShown(text, password)
  })
  const examples = [PASS, 'Tr0ub4dor&3<zebra', 'Привет-123', '😀😀😀😀😀😀', '$'.repeat(9)]
  fc.assert(property, { numRuns: 50, examples: examples.map((example) => [example]) })
})

test('what is shorter than 6 characters is no secret', () => {
  for (const secret of ['', 'a', '400', 'abc12', '4000', '\\\\\\', '&', '  \t ', 'äöü', '…'])
    for (const text of ['got 400 4000006: abc12345', '\\\\\\\\ & … äöüä']) assertShown(text, secret)
  assertWithheld('abc123', 'abc123')
})

// ---- Properties

const nasty = fc.constantFrom(...`"\\&%+$<>'# /?=;:!äÄß€йЖ😀aZ14\t`)
const anyPassword = fc
  .constantFrom('grapheme-ascii' as const, 'grapheme' as const, nasty)
  .chain((unit) => fc.string({ minLength: 8, maxLength: 30, unit }))
  // What escapes and wrapping add tells nothing: without it, enough must be left.
  .filter((password) => [...password.replace(/[\p{C}\p{Z}\\+'"]/gu, '')].length >= 6)
const anyPlant = fc.record({
  password: anyPassword,
  inner: fc.constantFrom(...Object.keys(SPELLINGS)),
  outer: fc.constantFrom(...Object.keys(ESCAPED)),
  before: fc.constantFrom('', 'You sent ', '<b>', '{"a":"', "curl -d 'p=", '\u001b[1m', 'ä'),
  after: fc.constantFrom(...BESIDE),
})

test('any password, in any spelling within another, is withheld', () => {
  const property = fc.property(anyPlant, ({ password, inner, outer, before, after }) =>
    assertWithheld(before + spell(outer, spell(inner, password)) + after, password),
  )
  fc.assert(property, { numRuns: 1000 })
})

// ---- Whole runs: what a server knows, it can send back

/** In the middle of each is what must not come out, in upper or in lower case. */
const [PASSWORD, IDENT] = [
  `p"w\\x &ä%+$<'/hunterZq8Kv?'<$+%ä&# \\"q`,
  "o'neil+identZq9Kv&co@x.example",
]
const SENT = { PASS: PASSWORD, IDENT }
const assertNoCore = ({ stdout, stderr }: Outcome, about = '') =>
  assert.doesNotMatch(stdout + stderr, /hunterZq8Kv|identZq9Kv|oCa657qku8dquN5THasM2R/i, about)

const inHeader = (name: string, status: number, text: string) => {
  return { status, headers: { [name]: text.replace(/[^\x20-\x7e]/g, encodeURIComponent) } }
}
const START = STEPS.start.path
// biome-ignore format: a table
const PLACES: Readonly<Record<string, (text: string) => Answer>> = {
  'error.id': (id) => ({ status: 418, body: { error: { id } } }),
  'error.reason': (reason) => ({ status: 418, body: { error: { reason } } }),
  'error.message': (message) => ({ status: 500, body: { error: { code: 400, message } } }),
  error: (error) => ({ status: 418, body: { error } }),
  message: (message) => ({ status: 418, body: { message } }),
  'a message': (text) => ({ status: 400, body: { ui: { messages: [{ id: text, text }] } } }),
  'a field': (text) =>
    ({ status: 418, body: { ui: { nodes: [{ value: text, messages: [{ id: 1, text }] }] } } }),
  active: (active) => ({ status: 200, body: { active } }),
  'a text': (text) => ({ status: 418, body: `You sent ${text}` }),
  'half a JSON text': (text) => ({ status: 418, body: `{"error": {"reason": "${text}"` }),
  'a title': (text) => ({ status: 403, body: `<html><title>No ${text}</title>` }),
  'another place': (text) => inHeader('location', 302, `/x/${text}/y?a=${text}#${text}`),
  'a new place': (text) => inHeader('location', 307, `https://x.example/${text}${START}`),
  'a header of Ory': (text) => inHeader('ory-error-id', 418, text),
  'a header of Cloudflare': (text) => inHeader('cf-ray', 403, text),
}
const SOME = ['as it is', 'as in JSON of Go', 'as in a URL', 'as in XML', 'in NFD', 'in lines']

for (const [place, answer] of Object.entries(PLACES))
  test(`a secret that comes back in ${place} is not shown`, async (t) => {
    const check = async (step: Step, name: string, secret: string) => {
      const steps = { [step]: answer(spell(name, secret)) }
      const outcome = await login(t, steps, SENT, '--json', '--verbose')
      assertFailed(outcome, outcome.code || 1, step)
      assertNoCore(outcome, `${step}, ${name}: ${outcome.stderr}`)
    }
    await Promise.all(SOME.map((name) => check('whoami', name, PASSWORD)))
    for (const secret of [PASSWORD, IDENT, TOKEN])
      await Promise.all(LOGIN_STEPS.map((step) => check(step, 'as in a URL', secret)))
  })

test('a status line, or a host, that repeats the password is not shown', async (t) => {
  const status: Behaviour = (_, { socket }) =>
    void socket?.end('HTTP/1.1 418 hunterZq8Kv\r\ncontent-length: 0\r\n\r\n')
  for (const start of [status, inHeader('location', 307, `https://HunterZQ8kv.example${START}`)]) {
    const outcome = await login(t, { start }, { PASS: 'hunterZq8Kv' }, '--json', '--verbose')
    assertFailed(outcome, 1, 'start')
    assertNoCore(outcome)
  }
})

test('a login is verified where its ids repeat a secret, and they are withheld', async (t) => {
  for (const secret of [PASSWORD, TOKEN])
    for (const name of SOME.slice(0, 5)) {
      const id = `id ${spell(name, secret)}`
      const body = { session_token: TOKEN, session: { id, identity: { id } } }
      const session = { active: true, id, identity: { id }, expires_at: id }
      const steps = { submit: { status: 200, body }, whoami: { status: 200, body: session } }
      for (const args of [[], ['--json', '--verbose']]) {
        const outcome = await login(t, steps, SENT, ...args)
        assert.equal(outcome.code, 0, outcome.stderr)
        assert.match(outcome.stdout, /identity_id"?: ?"?\(withheld/)
        assertNoCore(outcome, name)
      }
    }
})

test('the start of a token that repeats the password is withheld', async (t) => {
  const { code, stdout } = await login(t, {}, { PASS: 'ory_st_4zWKh7TU' })
  assert.equal(code, 0)
  assert.match(stdout, new RegExp(`^token: \\(withheld.*\\)\nidentity_id: ${IDENTITY}\n$`))
})

test('a token is not shown without its constant prefix either, nor its hidden part', async (t) => {
  for (const part of [TOKEN.slice(7), TOKEN.slice(24)]) {
    const whoami = { status: 418, body: `bad token ${part}` }
    assertNoSecrets(await login(t, { whoami }, {}, '--json'), part)
    const ofUser = { identity: { id: `x${part}` } }
    const submit = { status: 200, body: { session_token: TOKEN } }
    const told = await login(t, { submit, whoami: { status: 200, body: bodyOf('whoami', ofUser) } })
    assert.equal(told.code, 0)
    assertNoSecrets(told, part)
  }
})

test('a token that a refused submit gives is not shown', async (t) => {
  const session_token = 'hunterZq8Kv-of-another-make-0123456789'
  const error = { id: session_token, reason: `it is ${inUnicode(session_token)}` }
  const body = { session_token, session: { identity: 5 }, error }
  for (const status of [200, 400, 418]) {
    const outcome = await login(t, { submit: { status, body } }, {}, '--json')
    assertFailed(outcome, 1, 'submit')
    assertNoCore(outcome)
  }
})

// biome-ignore format: a table
const PATHS: readonly [password: string, path: string][] = [
  ['hunterZq8Kv', '/hunterZq8Kv'], ['hunterZq8Kv', '/HUNTERzq8kv/'],
  [PASSWORD, encodeURIComponent(PASSWORD)],
]
test('a BASE_URL that repeats the password is withheld, and asked all the same', async (t) => {
  for (const [password, path] of PATHS)
    for (const status of [200, 418]) {
      const ory = await startOry(t, at({ start: { ...SUCCESS.start, status } }))
      const env = { BASE_URL: new URL(path, ory.url).href, IDENT, PASS: password }
      const outcome = await run(env, '--json', '--verbose')
      assert.equal(outcome.code, status === 200 ? 0 : 1, outcome.stderr)
      assertNoCore(outcome, path)
      assert.match(JSON.parse(outcome.stdout).base_url, /^\(withheld/)
    }
})
