/** What repeats a secret, however escaped, is withheld; all else is shown. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Answer, Step } from './harness.ts'
import * as harness from './harness.ts'

const { answer, at, bodyOf, error, login, page, PASS, recorded, run, startOry, TOKEN } = harness
const { fitToShow, repeatsSecret } = harness.program
const WITHHELD = '(withheld: it repeats a secret)'

type Spell = (secret: string) => string
const hex = (c: string) => c.codePointAt(0)?.toString(16) ?? ''
const inJson: Spell = (s) => JSON.stringify(s).slice(1, -1)
const inGo: Spell = (s) =>
  inJson(s).replace(/[<>&\x7f-\uffff]/g, (c) => `\\u${hex(c).padStart(4, '0')}`)
const NAMES = Object.entries({ '&': 'amp', '<': 'lt', '"': 'quot', "'": 'apos', ä: 'auml' })
const between = (separator: string) => (s: string) => [...s].join(separator)

// biome-ignore format: a table
const ESCAPED: Record<string, Spell> = {
  'as it is': (s) => s,
  'as in JSON': inJson,
  'as in JSON of Go': inGo,
  'as in JSON of PHP': (s) => inGo(s).replaceAll('/', '\\/'),
  'as in a URL': encodeURIComponent,
  'as in a form': (s) => new URLSearchParams({ a: s }).toString().slice(2),
  'as in HTML': (s) => NAMES.reduce((all, [c, name]) => all.replaceAll(c, `&${name};`), s),
  'as in HTML, decimal': (s) => s.replace(/\W/gu, (c) => `&#${c.codePointAt(0)};`),
  'as in HTML, hex': (s) => s.replace(/\W/gu, (c) => `&#x${hex(c)};`),
  'as in a shell': (s) => `'${s.replaceAll("'", "'\\''")}'`,
}
// biome-ignore format: a table
const DISGUISED: Record<string, Spell> = {
  'as by printf %q': (s) => s.replace(/[^\w\x80-\uffff]/g, '\\$&'),
  'in upper case': (s) => s.toUpperCase(),
  'in lower case': (s) => s.toLowerCase(),
  'with spaces between': between(' '),
  'in lines': (s) => s.replace(/.{5}/gsu, '$&\r\n  '),
  'with no width between': between('\u200b'),
  'with controls between': between('\0\x7f'),
  'with colours between': between('\u001b[0;1m'),
  'read as Latin-1': (s) => Buffer.from(s).toString('latin1'),
  'read as Windows-1252': (s) => new TextDecoder('latin1').decode(Buffer.from(s)),
}
// biome-ignore format: a table
const PASSWORDS = [
  'Tr0ub4dor&3<zebra', `p"w\\x &ä%+$<'/hunterZq8Kv/'>$+%ä& \\"q`, '!@#$%^&*()_+', 'парольПароль',
  'İstanbul99', `ab${'ы'.repeat(70)}cdef`, '😀🔑😀🔑😀🔑', '\\'.repeat(12), 'hunter',
  'pw\\u0041<xyz',
  'zebra&3%', 'long '.repeat(1000),
]
const BESIDE = ['', ' to us', '</b>', 'ffa60abd', 'u0041', 'lt;', '%', '\\', '&', '😀']

for (const [name, spell] of Object.entries({ ...ESCAPED, ...DISGUISED }))
  test(`a secret ${name} is withheld, whatever follows it`, () => {
    for (const password of PASSWORDS)
      for (const after of BESIDE)
        assert.equal(fitToShow(`It is ${spell(password)}${after}`, [password]), WITHHELD)
  })

// biome-ignore format: a table
const REPEATS: [text: string, ...secrets: string[]][] = [
  ['a##b##c#1', 'a##b##c#1'],
  ['\u001b[hunter2abc', 'hunter2abc'], ['…ub4dor\\u003czebra-12', 'Tr0ub4dor<zebra-12'],
  [`${'x'.repeat(245)}hunter2abc`, 'hunter2abc'], ['ḣúńter2ab', 'hunter2ab'],
  ['Passw&ouml;rt&#45;Test', 'Passwört-Test'], ['Cafe%CC%81-zebra1', 'Cafe\u0301-zebra1'],
  ['hunter%25F0%259F%2598%2580zebra', 'hunter😀zebra'],
  ['It is 2024 корректная лошадь', '2024 корректная лошадь батарея 2024'],
  [`hunter${'0a'.repeat(12)}zebra`, 'hunter<zebra'],
  ['It is nter2abcdefg!', 'hunter2-abcdefgh'], ['It is hunter2ab!', 'hunter-2/ab'],
  ['your token is abcdefgh', 'hunter2', 'ABCDEFGH'], ['It is zeb1!', 'zeb1'],
  ['ähnlich', '!@#$%^&'],
  ['check for spelling mistakes in your password or username', 'password'],
  ...['pat', 'apikey', 'wak', 'st', 'lo', 'at', 'rt', 'ac'].map((a): [string] => [`ory_${a}_4`]),
]
test('a secret is seen if it is cut, or mixes its spellings', () => {
  for (const [text, ...secrets] of REPEATS) assert.equal(fitToShow(text, secrets), WITHHELD, text)
})

const stringsIn = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : Object.values(Object(value)).flatMap(stringsIn)
const ANSWERS = readdirSync(`${harness.ROOT}/test/recordings`).flatMap(
  (name) => Object.entries(recorded(name.slice(0, -5))) as [Step, Answer][],
)
const ORYS = [...new Set(ANSWERS.flatMap(([, { body }]) => stringsIn(body)))].filter(
  (text) => /^\S.{0,247}\S$/.test(text) && !text.startsWith('ory_st_'),
)
// biome-ignore format: a table
const SHOWN: [text: string, ...secrets: string[]][] = [
  ...[...ORYS, '50% off & <b>', "C:\\new 'x'", 'a=%41&amp;b=\\u0041', 'Ungültig – ähnlich…']
    .map((text): [string, ...string[]] => [text, PASS, 'Tr0ub4dor&3<zebra', 'Привет-Hunter2']),
  ['It is nter2abcdef!', 'hunter2-abcdefgh'], ['It is hunter2a!', 'hunter-2/ab'],
  ['got 400: a\\\\\\ & äöü', '', 'a', '400', '\\\\\\', 'äöü', 'ab c'], ['ory_kratos_session'],
  ["400: it isn't (yet) there; see /a/b-c_d, or e.f", '!@#$%^&', 'Привет-123', '-- 1 --', '......'],
]
test('what repeats no secret is shown as it is', () => {
  assert.ok(ORYS.length > 150)
  for (const [text, ...secrets] of SHOWN) assert.equal(fitToShow(text, secrets), text)
})

const aSign = fc.constantFrom(...`!"#$%&'()*+,-./:;<=>?@[\\]^_{|}~\`äö½Ж😀`)
const aWord = fc.constantFrom('Amp', 'café', 'für', 'hunter', 'lt', 'naïve', 'лошадь', 'u0041')
const anyPassword = fc.oneof(
  fc.string({ minLength: 16, maxLength: 32, unit: 'grapheme-ascii' }),
  fc.string({ minLength: 16, maxLength: 32, unit: aSign }),
  fc.tuple(fc.array(aWord, { minLength: 4 }), aSign).map(([words, sign]) => words.join(sign)),
)
const anEscape = fc.constantFrom(...Object.values(ESCAPED))
const aDisguise = fc.constantFrom(...Object.values(DISGUISED))
const beside = fc.constantFrom(...BESIDE)
const RUNS = { numRuns: 500 }

test('any password, in an escape within another, and cut, is withheld', () => {
  const anything = [anyPassword, anEscape, anEscape, fc.nat(100), beside] as const
  const property = fc.property(...anything, (password, inner, outer, percent, after) => {
    const [start] = /^([^\da-z]*[\da-z]){12}/i.exec(password) ?? [password]
    const [{ length }, whole] = [outer(inner(start)), outer(inner(password))]
    const cut = whole.slice(0, length + Math.ceil(((whole.length - length) * percent) / 100))
    assert.equal(fitToShow(`You sent ${cut}${after}`, [password]), WITHHELD)
  })
  fc.assert(property, RUNS)
})

test('any password, as a console or a mistaken encoding shows it, is withheld', () => {
  const property = fc.property(anyPassword, aDisguise, beside, (password, disguise, after) =>
    assert.equal(fitToShow(disguise(password) + after, [password]), WITHHELD),
  )
  fc.assert(property, RUNS)
})

test("beside any password of 9 letters or more, none of Ory's texts is held back", () => {
  const property = fc.property(anyPassword, (password) => {
    fc.pre(/([^\da-z]*[\da-z]){9}/i.test(password))
    assert.ok(!ORYS.some((text) => / /.test(text) && repeatsSecret(text, password)))
  })
  fc.assert(property, RUNS)
})

const PASSWORD = `p"w\\x &ä%+$<'/hunterZq8Kv?'<$+%ä&# \\"q`
const URI = encodeURIComponent(PASSWORD)
const ODD = 'ku8dquN5THas-of-another-make'
const CORE = /hunterZq8Kv|ku8dquN5THas/i // in these, and in TOKEN

const RECORDED = ANSWERS.flatMap(([step, told]) =>
  stringsIn(told).map((text): [place: string, [Step, Answer]] => {
    const put = (_: string, value: unknown) => (value === text ? PASSWORD : value)
    return [`${step} ${told.status} ${text}`, [step, JSON.parse(JSON.stringify(told), put)]]
  }),
)
// biome-ignore format: a table
const OTHERS: [Step, Answer][] = [
  ['submit', page(403, PASSWORD)], ['submit', answer(418, `{"error": {"reason": "${PASSWORD}"`)],
  ['start', answer(307, '', { location: `https://x.example/${URI}/self-service/login/api` })],
  ['start', answer(403, '', { 'cf-ray': PASSWORD })],
  ['whoami', answer(418, TOKEN.slice(24))],
  ...[200, 400].map((status): [Step, Answer] => // a login that is refused, with a token
    ['submit', answer(status, { session_token: ODD, session: 5, error: { id: ODD, title: ODD } })]),
]
test('a secret is withheld in any string of an answer', async (t) => {
  const args = ['--json', '--verbose', '--timeout', '900']
  const all = [...new Map(RECORDED).values(), ...OTHERS].map(async ([step, told]) => {
    const { stdout, stderr } = await login(t, { [step]: told }, { PASS: PASSWORD }, ...args)
    assert.doesNotMatch(stdout + stderr, CORE, JSON.stringify(told))
  })
  await Promise.all(all)
})

test('a secret split over an id and a text is withheld', async (t) => {
  const start = error(418, 'efghijkl', { id: 'hunter2abcd' })
  const { stdout } = await login(t, { start }, { PASS: 'hunter2abcdefghijkl' }, '--json')
  const { got, ory_ids } = JSON.parse(stdout)
  assert.deepEqual([got, ory_ids], [`418: ${WITHHELD}`, []])
})

test('the values of HEADERS are secrets, but no short ones: --verbose shows names', async (t) => {
  const HEADERS = 'X-Gate: Bearer hunterZq8Kv&7\nX-Other: zebra'
  const start = answer(418, 'What is Bearer hunterZq8Kv&amp;7?')
  const { stdout, stderr } = await login(t, { start }, { HEADERS }, '--json', '--verbose')
  assert.match(stderr, /HEADERS: x-gate, x-other\n/)
  assert.doesNotMatch(stdout + stderr, /hunterZq8Kv|zebra/i)
  const short = await login(t, { start: answer(418, 'A zebra.') }, { HEADERS })
  assert.match(short.stderr, /418: A zebra\./)
})

test('ids and a BASE_URL that repeat a secret are withheld', async (t) => {
  for (const id of [URI, TOKEN]) {
    const session = { active: true, id, identity: { id }, expires_at: id }
    const submit = answer(200, { session_token: TOKEN, session })
    const ory = await startOry(t, at({ submit, whoami: answer(200, session) }))
    const env = { BASE_URL: `${ory.url}/${URI}`, IDENT: 'a', PASS: PASSWORD }
    const { stdout, stderr } = await run(env, '--json', '--verbose')
    const { ok, identity_id, base_url } = JSON.parse(stdout)
    assert.deepEqual([ok, identity_id, base_url], [true, WITHHELD, WITHHELD])
    assert.doesNotMatch(stdout + stderr + (await run(env)).stdout, CORE)
  }
})

// biome-ignore format: a table
const TOKENS: [token: string, password: string, shown: string, HEADERS?: string][] = [
  [TOKEN, PASS, WITHHELD, `A: ${TOKEN.slice(0, 12)}`],
  [TOKEN, PASS, `${TOKEN.slice(0, 24)}…`],
  [TOKEN, 'ory_st_4zWKh7TU', WITHHELD], [ODD, ODD, WITHHELD],
]
for (const [session_token, PASS, shown, HEADERS = ''] of TOKENS)
  test(`of the token ${session_token}, ${shown} is shown beside ${PASS}`, async (t) => {
    const submit = answer(200, bodyOf('submit', { session_token }))
    const { stdout } = await login(t, { submit }, { PASS, HEADERS })
    assert.equal(stdout.split('\n')[0], `token: ${shown}`)
  })
