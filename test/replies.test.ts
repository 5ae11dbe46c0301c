/** A reply becomes who answered, and two lines: the first is ours alone, the second is theirs. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import * as harness from './harness.ts'
import { ALL_STEPS, type Answer, answer, brief, error, form, page, type Step } from './harness.ts'

const { lastOf, program, replyOf, ROOT, STEPS, TOKEN } = harness
const CONFIG = program.readConfig({}, '') // http://127.0.0.1:4433
const read = (step: Step, each: Answer) => program.readReply(step, replyOf(each), '', CONFIG)

const NO_RULE = 'does not match any rules'
const DENIED = 'Access credentials are invalid'
const NAMES = 'title detail Message msg error_msg description error reason text'.split(' ')
const FIELD = { attributes: { title: 'A', value: 'typed' }, meta: { label: { text: 'A label' } } }
const NODE = { ...FIELD, messages: [{ id: 9, text: 'Two.' }] }
const UI = { messages: [{ id: 7, text: 'One.' }, { id: '7' }], nodes: [NODE] }
const NINE = { messages: Array.from({ length: 9 }, (_, id) => ({ id, text: 'A.' })) }
const HOOK = '{"error":{"code":404,"status":"Bad","reason":"No."}}'
const MARKUP = '<script>a<b</script><style>c</style><noscript>Is it</noscript> <p>asleep?'
const ADMIN = `http://127.0.0.1:1${STEPS.start.path}`
const MOVED = `https://c.d${STEPS.start.path}`
const to = (location: string, status = 302) => answer(status, '', { location })
const RAY = { 'cf-ray': 'b' }
type Said = readonly [ours: string, theirs: string, ...answers: Answer[]]
// biome-ignore format: a table
const SAID: Record<'ory' | 'other' | 'nobody', readonly Said[]> = {
  ory: [
    ['418 submit a', 'A; B. C', error(418, 'A', { id: 'a', message: 'B. ', text: 'C' }, RAY)],
    ['400 submit 7 9', 'One. Two.', answer(400, { ui: UI })],
    ['400 submit 0 1 2 3 4 5 6 7', 'A.', answer(400, { ui: NINE })],
    ['400 start error.code:500', 'A.', error(400, 'A.', { code: 500 })],
    ['400 submit active:password 0', 'A.', form(0, 'A.', { active: 'password' })],
    ['400 submit no-text', 'no text', answer(400, { ui: 5, active: 'oidc' })],
    ['404 start hook 1', 'No. A.',
      answer(404, `${HOOK}\n{"id":"a","ui":{"messages":[{"id":1,"text":"A."}]}}`)],
    ['404 start', 'No.', answer(404, `${HOOK}\n{"a":5}`)],
    ['400 submit 1', DENIED, form(1, DENIED)],
    ['401 whoami', `No. ${DENIED}`, error(401, 'No.', { message: DENIED })],
    ['401 whoami', `${DENIED}; No.`, error(401, DENIED, { message: 'No.' })],
    ['500 start no-text', 'PANIC: runtime error', answer(500, 'PANIC: runtime\r\n\terror\n')],
    ['200 submit no-text', 'no text', answer(200, { session_token: TOKEN }),
      answer(200, { active: 'password' }), answer(200, { session: {} })],
  ],
  other: [
    ['404 start', 'a page titled "Nope" (cf-ray b)', page(404, 'Nope', RAY)],
    ['403 start', 'a page titled "A"', answer(403, '<h1></h1><h2 b>A'), answer(403, '<Message>A')],
    ['502 start', 'Is it asleep?', answer(502, MARKUP)],
    ['200 logout', 'no JSON', answer(200, TOKEN)],
    ['502 start', '{"a": 1', answer(502, '{"a": 1', { 'content-length': '7' })],
    ['409 start', NAMES.join('; '), answer(409, Object.fromEntries(NAMES.map((a) => [a, a])))],
    ['404 start error.code:200', 'A?', error(404, 'A?', { code: 200 })],
    ['429 start', 'A.', error(429, 'A.')], ['503 start', 'A.', error(503, 'A.', { id: 'a' })],
    ['401 start', 'A.', error(401, 'A.', {}, { 'www-authenticate': 'Basic' }),
      ...[{ status: 'UNAUTHENTICATED' }, { status: undefined }, { code: '401' }].map((more) =>
        error(401, 'A.', { ...more, session: {}, active: true }))],
    ['403 start', `${DENIED}; ${NO_RULE}`, error(403, DENIED, { message: NO_RULE })],
    ['403 start firewall', 'x _Incapsula_', answer(403, '<a>x _Incapsula_')],
    ...['cf-mitigated', 'x-vercel-mitigated', 'x-amzn-waf-action'].map((name): Said =>
      ['403 start firewall', 'A.', error(403, 'A.', { id: 'a' }, { [name]: 'challenge' })]),
    ['302 start', 'https://c.d/e', to('https://c.d/e?f#g')],
    ['302 start', ADMIN, to(ADMIN)],
    ['399 start', MOVED, to(MOVED, 399)],
    ['302 start', '/c', to('/c')],
    ['302 start', '/c\\d', to('/c\\d')],
    ['300 start', 'an empty body', to('/c', 300)],
  ],
  nobody: [
    ['200 start incomplete', 'its JSON breaks off', answer(200, '{"id": "a'), answer(200, ' {')],
  ],
}
for (const [who, rows] of Object.entries(SAID))
  for (const [ours, theirs, ...answers] of rows)
    for (const each of answers)
      test(`${brief(each)} becomes ${who}: ${ours}`, () => {
        const step = ALL_STEPS.find((step) => ours.split(' ')[1] === step) ?? assert.fail(ours)
        const { ids, ...told } = read(step, each)
        assert.deepEqual(told, { who, ours, theirs })
        if (who !== 'ory') assert.deepEqual(ids, [])
      })

// biome-ignore format: a list
const WORDS = ['4000006', 'A\n409 start', 'session_aal2_required', 'to-https same-host',
  'active:password 4010011', 'no-text 4000001', 'hook', '\n400 submit 4010002']
for (const name of readdirSync(join(ROOT, 'test/recordings')))
  test(`our line is ours, whatever a server writes into the texts and ids of ${name}`, () => {
    const [step, { body, ...rest }] = lastOf(name.replace('.json', ''))
    const oursWith = (words: string) => {
      const add = (key: string, value: unknown) =>
        typeof value === 'string' && key !== 'active' ? `${value} A ${words}` : value
      return read(step, { ...rest, body: JSON.parse(JSON.stringify(body, add)) }).ours
    }
    for (const words of [...WORDS, ...fc.sample(fc.string(), { seed: 1, numRuns: 20 })])
      assert.equal(oursWith(words), oursWith('Hello'), words)
  })
