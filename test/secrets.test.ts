/** Never a leak: what repeats a secret, in whatever escaping, is withheld; all else is shown. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import fc from 'fast-check' // of a property that fails, it prints the seed
import { repeatsSecret, show } from '../src/ory-login.ts'
import type { Answer, Outcome, Step } from './harness.ts'
import {
  assertFailed,
  assertNoSecrets,
  at,
  bodyOf,
  IDENTITY,
  login,
  PASS,
  recorded,
  reportOf,
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
const XML = { '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot', "'": 'apos' }
const HTML = { ...XML, ä: 'auml', ö: 'ouml', ß: 'szlig', '€': 'euro', '½': 'frac12' }
const byName = (names: Readonly<Record<string, string>>) => (secret: string) =>
  [...secret].map((c) => (names[c] ? `&${names[c]};` : c)).join('')
/** By the numbers of all that is no letter, no digit and no underscore. */
const byNumber = (spelled: (hex: string) => string) => (secret: string) =>
  secret.replace(/\W/gu, (c) => spelled(c.codePointAt(0)?.toString(16) ?? ''))
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
  'as in JSON of Go': inGo,
  'as in JSON of PHP': (s) => inGo(s).replaceAll('/', '\\/'),
  'as in JSON, each character': inUnicode,
  'as in Perl': byNumber((hex) => `\\x{${hex}}`),
  'as in Rust': byNumber((hex) => `\\u{${hex}}`),
  'as in C': byNumber((hex) => `\\U${hex.padStart(8, '0')}`),
  'as by escape() of JavaScript': (s) => s.replace(/[^\w@*+./-]/g, (c) =>
    c > 'ÿ' ? `%u${code(c, 16, 4)}` : `%${code(c, 16, 2)}`),
  'as in a URL': encodeURIComponent,
  'as in a URL, in lower case': (s) => inBytes(s, '%', 16, 2),
  'as a whole URL': encodeURI,
  'as in a form': (s) => new URLSearchParams({ a: s }).toString().slice(2),
  'as in XML': byName(XML),
  'as in HTML, by name': byName(HTML),
  'as in HTML, decimal': byNumber((hex) => `&#${Number.parseInt(hex, 16)};`),
  'as in HTML, hex': byNumber((hex) => `&#x${hex};`),
  'as in a shell': (s) => `'${s.replaceAll("'", "'\\''")}'`,
  'as in a shell, with two quotes': (s) => `'${s.replaceAll("'", `'"'"'`)}'`,
  'as in a shell, hex': (s) => `$'${inBytes(s, '\\x', 16, 2)}'`,
  'as in a shell, octal': (s) => `$'${inBytes(s, '\\', 8, 3)}'`,
}
/** What a shell, a console, a log or a mistaken encoding makes of it. */
// biome-ignore format: a table
const DISGUISED: Readonly<Record<string, Spell>> = {
  'as by printf %q': (s) => s.replace(/[^\w\x80-\uffff]/g, '\\$&'),
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
}
const SPELLINGS = { ...ESCAPED, ...DISGUISED }
const spell = (name: string, secret: string) => SPELLINGS[name]?.(secret) ?? assert.fail(name)

// biome-ignore format: a table
const PASSWORDS = [
  'Tr0ub4dor&3<zebra', `p"w\\x &ä%+$<'/hunterZq8Kv/'>$+%ä& \\"q`, `<'>&"'$%!~;#`, '!@#$%^&*()_+',
  'парольПароль', 'İstanbul99', `ab${'ы'.repeat(70)}cdef`,
  'Größenwahn-überall', '😀🔑😀🔑😀🔑', '\\'.repeat(12), 'pw\\u0041<xyz', 'hunter',
  'ab\tcd"ef\'gh', 'zebra&3%', 'zebra<3&', 'zebra"3\\', "it's'quoted'", `x&${'long '.repeat(1000)}`,
]
const BESIDE = ['', ' to us', '</b>', 'ffa60abd', 'u0041', 'lt;', '%', '\\', '"', '&', '😀']

for (const name of Object.keys(SPELLINGS))
  test(`a secret ${name} is withheld, whatever follows it`, () => {
    for (const password of PASSWORDS)
      for (const after of BESIDE) assertWithheld(`It is ${spell(name, password)}${after}`, password)
  })

// biome-ignore format: a table
const PAIRS: readonly [text: string, secret: string][] = [
  // Beside what would be an escape together with it.
  ['%41&amp;hunter2abcdef', '41&hunter2abcdef'],
  ['\\u0041&lt;hunter2abcdef', 'u0041<hunter2abcdef'],
  ['&lt;%3Chunter2abcdef', 'lt;<hunter2abcdef'], ['zebra&3%41', 'zebra&3%'],
  // Where tidying takes something away.
  ['a##b##c#1', 'a##b##c#1'], ['\u001b[hunter2abc', 'hunter2abc'], ['\u009bhunter2ab', 'hunter2ab'],
  [`Error:${' '.repeat(1900)}hunter2abcdef`, 'hunter2abcdef'], ['zebra\n1zebra', 'zebra\n1zebra'],
  [`Error: ${'\u200b'.repeat(1980)}hunter2abcdef`, 'hunter2abcdef'],
  // Cut, by the limit of what is shown, or by whoever sent it.
  [`${'x'.repeat(245)}hunter2abc`, 'hunter2abc'], ['long 1 '.repeat(750), 'long 1 '.repeat(750)],
  [`It was ${'Zebra-1;'.repeat(30)}…`, 'Zebra-1;'.repeat(625)],
  [`${'x'.repeat(240)}hunter\u001b[0m2abcdef`, 'hunter2abcdef'],
  ['horse%25staple%25ba', 'horse%staple%battery'],
  ['You sent Tr0ub4dor&lt;zeb', 'Tr0ub4dor<zebra-1'],
  ['…ub4dor\\u003czebra-12', 'Tr0ub4dor<zebra-12'],
  // In two spellings at once, or in the same one again.
  ['Passw&ouml;rt&#45;Test', 'Passwört-Test'], ['HUNTER%20%26AMP%3B%202', 'hunter & 2'],
  ['STRA%C3%9FE-7', 'Straße-7'], ['a\u200b\u0308#,#(#', 'ä#,#(#'],
  ['Cafe%CC%81-zebra1', 'Cafe\u0301-zebra1'],
  ['Tr0ub4dor&amp;amp;amp;amp;lt;zebra', 'Tr0ub4dor<zebra'],
  ['&amp;#104;u&amp;#x6e;ter2abc', 'hunter2abc'], ['h\u0301u\u0301n\u0301ter2abc', 'hunter2abc'],
  ['It is 2024 корректная лошадь', '2024 корректная лошадь батарея 2024'],
  ['Tr0ub4dor%252525253Czebra', 'Tr0ub4dor<zebra'],
  // In Ory's own text, where a star in the place of the password would tell it.
  ['check for spelling mistakes in your password or username', 'password'],
]
test('a secret is seen through what stands beside it, cuts it, or mixes its spellings', () => {
  for (const [text, secret] of PAIRS) assertWithheld(text, secret)
})

test('12 letters and digits in a row tell a secret, or all of one that has fewer', () => {
  for (const start of [0, 1, 2, 3]) {
    const part = 'hunter2abcdefgh'.slice(start, start + 12)
    assertWithheld(`It is ${part}!`, 'hunter2-abcdefgh')
    assertShown(`It is ${part.slice(1)}!`, 'hunter2-abcdefgh')
  }
  assertWithheld('It is hunter2ab!', 'hunter-2/ab')
  assertShown('It is hunter2a!', 'hunter-2/ab')
})

test("a key or token of Ory's is withheld, whosever it is", () => {
  for (const kind of ['pat', 'apikey', 'wak', 'st', 'lo', 'at', 'rt', 'ac'])
    assertWithheld(`use ory_${kind}_4zWKh7TUgn`, PASS)
  assertShown('the cookie ory_kratos_session, or ory_session_x', PASS)
})

test('each of several secrets counts, and none is no secret', () => {
  const isShown = (...all: string[]) => show('your token is abcdefgh', all).startsWith('your')
  assert.deepEqual(
    [isShown('hunter2', 'ABCDEFGH'), isShown('hunter2'), isShown()],
    [false, true, true],
  )
})

// ---- What is no secret is shown

const stringsIn = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : Object.values(Object(value)).flatMap(stringsIn)
/** All that is recorded, by step. */
const ORY_ANSWERS = readdirSync(new URL('recordings', import.meta.url))
  .flatMap((name) => Object.entries(recorded(name.replace('.json', ''))))
  .map(([step, answer]) => [step as Step, answer] as const)
const ORYS = ORY_ANSWERS.flatMap(([, { body }]) => stringsIn(body)).filter(
  (text) => /^\S.{0,247}\S$/.test(text) && !text.startsWith('ory_st_'),
)
// biome-ignore format: a table
const TEXTS = new Set([
  ...ORYS, 'got 400 4000006: no', '50% off & more <b>', "C:\\new\\table 'x'", 'a=%41&amp;b=\\u0041',
  '#1 of 5', 'Пароль неверен', '密码错误', 'Ungültig – ähnlich…', '0x41: &#65; \\101', '"Zitat" 😀',
])

test("Ory's texts, and others, are shown as they are beside an ordinary password", () => {
  assert.ok(TEXTS.size > 150)
  for (const password of [PASS, 'Tr0ub4dor&3<zebra', 'Привет-Hunter2', '%41%42%43%44%45%46'])
    for (const text of TEXTS) assertShown(text, password)
})

test('what is shorter than 6 characters is a secret as it is, and than 4 none', () => {
  for (const secret of ['', 'a', '400', '\\\\\\', '&', 'äöü', '…', 'abc1x', '4007', 'ab c'])
    for (const text of ['got 400 4000006: abc12345', '\\\\\\\\ & … äöüä']) assertShown(text, secret)
  for (const secret of ['abc123', 'abc12', 'zeb1', 'ä&ö#', '12 4'])
    assertWithheld(`It is ${secret}, isn't it`, secret)
})

test('beside a secret with fewer than 6 letters and digits, plain texts alone are shown', () => {
  for (const secret of ['!@#$%^&*()_+', 'Привет-123', '😀😀😀😀😀😀', '-- 1 --', '......']) {
    assertShown("400 4000006: it isn't (yet) there; see /a/b-c_d, or e.f", secret)
    for (const text of ['50%', 'a & b', '"Zitat"', 'a < b', 'ähnlich', 'a\\b', `It is ${secret}`])
      assertWithheld(text, secret)
  }
})

// ---- Properties

const LETTERS = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789']
const SIGNS = [...`!"#$%&'()*+,-./:;<=>?@[\\]^_{|}~\`äö½Ж😀`]
const WORDS = ['Amp', 'café', 'für', 'hunter', 'lt', 'new', 'naïve', 'лошадь', 'tab', 'u0041']
const aSign = fc.constantFrom(...SIGNS)
const aCharacter = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...LETTERS) }, aSign)
const someWords = fc.array(fc.constantFrom(...WORDS), { minLength: 4, maxLength: 7 })
/** As generators make them, of signs alone, and phrases. */
const anyPassword = fc
  .oneof(
    fc.string({ minLength: 16, maxLength: 32, unit: aCharacter }),
    fc.string({ minLength: 16, maxLength: 32, unit: aSign }),
    fc.tuple(someWords, aSign).map(([words, sign]) => words.join(sign)),
  )
  // What looks like an escape itself can be read in too many ways.
  .filter((password) => !/\\[\da-fnrtuvx]|%[\da-fu]|&[#a-z]/i.test(password))
const anyBefore = fc.constantFrom('', 'You sent ', '<b>', '{"a":"', "curl -d 'p=", '\u001b[1m', 'ä')
const anyAfter = fc.constantFrom(...BESIDE)
const anyEscape = fc.constantFrom(...Object.values(ESCAPED))
const anyDisguise = fc.constantFrom(...Object.values(DISGUISED))

test('any password, in an escape within another, whole or cut short, is withheld', () => {
  const anything = [anyPassword, anyEscape, anyEscape, fc.nat(100), anyBefore, anyAfter] as const
  const property = fc.property(...anything, (password, inner, outer, percent, before, after) => {
    // So much of it is left: nothing is promised for less than 12 letters and digits.
    const [start] = /^([^\dA-Za-z]*[\dA-Za-z]){12}/.exec(password) ?? [password]
    const [{ length }, whole] = [outer(inner(start)), outer(inner(password))]
    const cut = whole.slice(0, length + Math.ceil(((whole.length - length) * percent) / 100))
    assertWithheld(before + cut + after, password)
  })
  fc.assert(property, { numRuns: 1000 })
})

test('any password, as a console or a mistaken encoding shows it, is withheld', () => {
  const anything = [anyPassword, anyDisguise, anyBefore, anyAfter] as const
  const property = fc.property(...anything, (password, disguise, before, after) =>
    assertWithheld(before + disguise(password) + after, password),
  )
  fc.assert(property, { numRuns: 1000 })
})

test("beside 1,000 passwords, none of Ory's texts is held back", () => {
  const texts = [...new Set(ORYS)].filter((text) => text.includes(' '))
  const aLong = anyPassword.filter((password) => /([^\dA-Za-z]*[\dA-Za-z]){9}/.test(password))
  const property = fc.property(aLong, (password) => {
    for (const text of texts) assert.ok(!repeatsSecret(text, password), text)
  })
  fc.assert(property, { numRuns: 1000 })
})

// ---- Whole runs: what a server knows, it can send back

/** In its middle is what must not come out, in upper or in lower case. */
const PASSWORD = `p"w\\x &ä%+$<'/hunterZq8Kv?'<$+%ä&# \\"q`
const assertNoCore = ({ stdout, stderr }: Outcome, about = '') =>
  assert.doesNotMatch(stdout + stderr, /hunterZq8Kv|oCa657qku8dquN5THasM2R/i, about)

type Place = readonly [name: string, step: Step, answer: (secret: string) => Answer]
/** A value with each of its strings in turn replaced, and how to get there. */
function* replacing(value: unknown, name = ''): Generator<[string, (text: string) => unknown]> {
  if (typeof value === 'string') yield [name, (text) => text]
  for (const [key, part] of typeof value === 'object' ? Object.entries(value ?? {}) : [])
    for (const [inner, replace] of replacing(part, `${name}.${key.replace(/^\d+$/, '0')}`))
      yield [
        inner,
        (text) => Object.assign(structuredClone(Object(value)), { [key]: replace(text) }),
      ]
}
const inAscii = (text: string) => text.replace(/[^\x20-\x7e]/g, encodeURIComponent)
/** Every string of every recorded answer, once a step and status. */
const RECORDED: Place[] = ORY_ANSWERS.flatMap(([step, { status, headers = {}, body }]) => [
  ...[...replacing(body, 'body')].map(
    ([name, replace]): Place => [name, step, (text) => ({ status, headers, body: replace(text) })],
  ),
  ...Object.keys(headers).map(
    (name): Place => [name, step, (text) => ({ status, headers: { [name]: inAscii(text) }, body })],
  ),
])
const said = (body: unknown, status = 418): Answer => ({ status, body })
const inHeader = (name: string, status: number, text: string) => ({
  status,
  headers: { [name]: inAscii(text) },
})
// biome-ignore format: a table
const OTHERS: Place[] = [
  ['a text', 'start', (text) => said(`You sent ${text}`)],
  ['half a JSON text', 'submit', (text) => said(`{"error": {"reason": "${text}"`)],
  ['a title', 'submit', (text) => said(`<html><title>No ${text}</title>`, 403)],
  ['any JSON', 'submit', (text) => said({ message: text, errors: [{ title: text }] })],
  ['an error', 'whoami', (text) => said({ error: text })],
  ['active', 'whoami', (text) => said({ active: text }, 200)],
  ['another place', 'submit', (text) => inHeader('location', 302, `/x/${text}/y?${text}#${text}`)],
  ['a new place', 'start', (text) =>
    inHeader('location', 307, `https://x.example/${text}${STEPS.start.path}`)],
  ['the id of Cloudflare', 'start', (text) => inHeader('cf-ray', 403, text)],
  ['two texts', 'start', (text) =>
    said({ error: { code: 418, reason: text.slice(0, 21), message: text.slice(21) } })],
]
const PLACES = new Map([...RECORDED, ...OTHERS].map((place) => [`${place[1]} ${place[0]}`, place]))

describe('a secret is not shown that comes back at', { concurrency: 12 }, () => {
  for (const [place, [, step, answer]] of PLACES)
    test(place, async (t) => {
      for (const secret of [PASSWORD, encodeURIComponent(TOKEN)]) {
        const args = ['--json', '--verbose', '--logout']
        assertNoCore(await login(t, { [step]: answer(secret) }, { PASS: PASSWORD }, ...args))
      }
    })
})

// biome-ignore format: a table
const SPLIT: Readonly<Record<string, Answer>> = {
  'an id and a text': said({ error: { code: 418, id: 'hunter2abcd', reason: 'efghijkl' } }),
  'two ids': said({ ui: { messages: [{ id: 'hunter2abcd' }, { id: 'efghijkl' }] } }, 400),
  'a host': inHeader('location', 307, `https://HUNTER2abcdefghijkl.x${STEPS.start.path}`),
}
for (const [places, start] of Object.entries(SPLIT))
  test(`a password that comes back in ${places} is not shown, and where to look is`, async (t) => {
    const outcome = await login(t, { start }, { PASS: 'hunter2abcdefghijkl' }, '--json')
    assertFailed(outcome, outcome.code ?? 0, 'start', /hint .*Ory's logs/)
    assert.match(reportOf(outcome).got ?? '', /^\d+: \(withheld[^()]*\)$/)
    assert.deepEqual(JSON.parse(outcome.stdout).ory_ids, [])
  })

test('our own words are shown, also where they are the password', async (t) => {
  const { submit = assert.fail() } = recorded('wrong-password')
  for (const PASS of ['password', 'IDENT and PASS', 'identifier'])
    assertFailed(
      await login(t, { submit }, { PASS }),
      3,
      'submit',
      /error: wrong p/,
      /hint .*IDENT/,
    )
})

test('an identifier is no secret: it is shown, and what is like it', async (t) => {
  const body = 'auth@acme.example is unknown at https://auth.acme.example/x'
  const outcome = await login(t, { start: said(body) }, { IDENT: 'auth@acme.example' })
  assert.equal(reportOf(outcome).got, `418: ${body}`)
})

test('a login is verified where its ids repeat a secret, and they are withheld', async (t) => {
  for (const secret of [PASSWORD, TOKEN])
    for (const name of ['as it is', 'as in JSON of Go', 'as in a URL', 'as in XML', 'in lines']) {
      const id = `id ${spell(name, secret).replace(/\s+/g, ' ')}`
      const submit = said({ session_token: TOKEN, session: { id, identity: { id } } }, 200)
      const whoami = said({ active: true, id, identity: { id }, expires_at: id }, 200)
      for (const args of [[], ['--json', '--verbose']]) {
        const outcome = await login(t, { submit, whoami }, { PASS: PASSWORD }, ...args)
        assert.equal(outcome.code, 0, outcome.stderr)
        assert.match(outcome.stdout, /identity_id"?: ?"?\(withheld/)
        assertNoCore(outcome, name)
      }
    }
})

test('the start of a token is plain text, withheld if it repeats the password', async (t) => {
  const session_token = '##vso[task.complete]###-of-another-make'
  const odd = await login(t, { submit: said(bodyOf('submit', { session_token }), 200) })
  assert.match(odd.stdout, /^token: # #vso\[task\.complete\]# # #-…$/m)
  const { stdout } = await login(t, {}, { PASS: 'ory_st_4zWKh7TU' })
  assert.match(stdout, new RegExp(`^token: \\(withheld.*\\)\nidentity_id: ${IDENTITY}\n$`))
})

test('a token is not shown without its constant prefix either, nor its hidden part', async (t) => {
  for (const part of [TOKEN.slice(7), TOKEN.slice(24), TOKEN.slice(-14)]) {
    assertNoSecrets(await login(t, { whoami: said(`bad token ${part}`) }, {}, '--json'), part)
    const whoami = said(bodyOf('whoami', { identity: { id: `x${part}` } }), 200)
    assertNoSecrets(await login(t, { whoami }), part)
  }
})

test('a token that a refused submit gives is not shown', async (t) => {
  const session_token = 'hunterZq8Kv-of-another-make-0123456789'
  const error = { id: session_token, reason: `it is ${inUnicode(session_token)}` }
  for (const status of [200, 400, 418]) {
    const submit = said({ session_token, session: { identity: 5 }, error }, status)
    const outcome = await login(t, { submit }, {}, '--json')
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
      const env = { BASE_URL: new URL(path, ory.url).href, IDENT: 'a', PASS: password }
      const outcome = await run(env, '--json', '--verbose')
      assert.equal(outcome.code, status === 200 ? 0 : 1, outcome.stderr)
      assertNoCore(outcome, path)
      assert.match(JSON.parse(outcome.stdout).base_url, /^\(withheld/)
    }
})
