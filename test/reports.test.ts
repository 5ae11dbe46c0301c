/** Every report, whole, as a person sees it: `UPDATE=1 npm test` writes them to reports.txt. */
import assert from 'node:assert/strict'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Reply } from '../src/ory-login.ts'
import * as harness from './harness.ts'
import { type Answer, answer, error, form, page, type Step } from './harness.ts'

const { IDENT, lastOf, PASS, program, replyOf, ROOT, SUCCESS } = harness
type Env = NodeJS.ProcessEnv
const HTTPS: Env = { BASE_URL: 'https://ory.test' }
const HTTP: Env = { BASE_URL: 'http://ory.test' }
const NETWORK: Env = { BASE_URL: 'https://slug.oryapis.com' }
const PROXY: Env = { HTTPS_PROXY: 'http://proxy.test:3128' }
const DEMO: Env = { BASE_URL: undefined, IDENT: undefined, PASS: undefined }
const configOf = (env: Env = {}, dotenv = '') =>
  program.readConfig({ ...HTTPS, IDENT, PASS, ...env }, dotenv)

const reports: string[] = []
const report = (what: string, stderr: string) => reports.push(`=== ${what}\n${stderr}\n`)
type Failure = Parameters<typeof program.describe>[0]
const lineOf = (failure: Failure) => `ory-login: error: ${program.describe(failure, 'REQUEST-ID')}`

const failed = (code: string, text = 'No.', fact = ''): Reply => {
  return { ...replyOf(answer(0)), code, text, fact }
}
const FILES = readdirSync(join(ROOT, 'test/recordings'))
type Came = string | Answer | Reply // a recording's name, an error's code, or what came
function explain(came: Came, at: Step, config = configOf(), fault = '') {
  const [step, given] = FILES.includes(`${came}.json`) ? lastOf(`${came}`) : ([at, came] as const)
  const error = typeof given === 'string' ? failed(given) : given
  const run = { config, safe: (text: string) => program.fitToShow(text, [PASS]) }
  const reply = 'code' in error ? error : replyOf(error)
  return { step, ...program.explain(run, step, reply, fault) }
}

type Who = ReturnType<typeof program.readReply>['who']
/** Words of a row's error, and what chooses the row. */
type Case = readonly [row: string, Came, at?: Step | Env, fault?: string]
const to = (location: string) => answer(302, '', { location })
// biome-ignore format: a table
const CASES: Record<Who, readonly Case[]> = {
  ory: [
    ['conflict', form(4000001, ''), 'submit'],
    ['a webhook refused', 'before-hook-refused'],
    ['no Ory project', error(404, 'No project.'), NETWORK],
    ['a setting', 'no-verifiable-address'],
    ['not verified', 'unverified-address'],
    ['is disabled', 'inactive-identity'],
    ['its schema', form(4000001, 'I[#/traits] missing "name"'), 'submit'],
    ['a webhook refused', 'hook-refused'],
    ['wrong password', 'wrong-password'],
    ['wrong password', 'unknown-identifier'],
    ['wrong password', form(4000006, `It is not ${PASS}.`), 'submit'],
    ['more than a password', form(1010014, 'A code was sent to you.'), 'submit'],
    ['changed this', 'empty-password'],
    ['changed this', error(400, 'No.', { id: 'session_already_available' })],
    ['changed this', error(500, 'Unable to parse the original request URL')],
    ['not known here', form(7, 'Held by the fraud check.'), 'submit'],
    ['a setting', 'password-method-disabled'],
    ['is unknown', 'unknown-flow'],
    ['is unknown', 'expired-flow'],
    ['or a template', 'hook-failed'],
    ['or a template', 'hook-unreachable'],
    ['or a template', 'migration-hook-failed'],
    ['whoami does not', SUCCESS.whoami, 'whoami', 'active: false'],
    ['verify the session', error(500, 'database is locked'), 'whoami'],
    ['Ory rejected', 'invalid-token'],
    ['more than a password', 'aal2-required'],
    ['no longer knows', 'logout-unknown-token'],
    ['newer', error(500, 'no such table: sessions')],
    ['failed at', error(500, 'database is locked'), NETWORK],
    ['not as documented', SUCCESS.submit, 'submit', 'no session.identity.id'],
  ],
  other: [
    ['credentials', error(401, 'Access credentials are invalid')],
    ['host name', answer(409, 'error code: 1001')],
    ['rate limit', answer(429)],
    ['a firewall', page(403, 'Just a moment...', { 'cf-ray': '8f0a-FRA', 'cf-mitigated': 'c' })],
    ['another address', 'admin-port', { BASE_URL: 'http://127.0.0.1:4434' }],
    ['another address', to('https://sso.test/?a=b')],
    ["not Ory's API", 'wrong-path'],
    ['/sessions/whoami', page(404), 'whoami'],
    ['refused this', answer(403, 'RBAC: access denied')],
    ['refused this', answer(403, 'RBAC: access denied'), 'submit'],
    ['Ory did not', answer(408), NETWORK],
    ['in front of Ory failed', answer(500), 'submit'],
    ['something other than Ory answered', answer(400, 'an HTTP request to an HTTPS server'), HTTP],
  ],
  proxy: [
    ['wants', '407', PROXY],
    ['allow', '403', PROXY],
    ['speak TLS', 'ERR_SSL_WRONG_VERSION_NUMBER', PROXY],
    ['to Ory through', '502', PROXY],
    ['no connection', 'ECONNREFUSED', { ...NETWORK, ...PROXY }],
  ],
  nobody: [
    ['was cut off', answer(400, '{"id": '), 'submit'],
    ['was cut off', answer(200, '{"id": ')],
    ['no connection', failed('TIMEOUT', 'No.', 'no-connection')],
    ['accepted', 'TIMEOUT'],
    ['this step in time', 'TIMEOUT', 'submit'],
    ['this step in time', 'TIMEOUT', 'whoami'],
    ['refused the conn', 'ECONNREFUSED', DEMO],
    ['not found', 'ENOTFOUND'],
    ['cut before', failed('ECONNRESET', 'before secure TLS')],
    ['cut before', 'UND_ERR_SOCKET'],
    ['cut before', 'EPIPE', HTTP],
    ['lost after', 'ECONNREFUSED', 'whoami'],
    ['expired', 'CERT_HAS_EXPIRED'],
    ['different name', 'ERR_TLS_CERT_ALTNAME_INVALID'],
    ['intermediate', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['not trusted', 'DEPTH_ZERO_SELF_SIGNED_CERT', PROXY],
    ['this port', 'ERR_SSL_WRONG_VERSION_NUMBER'],
    ['handshake failed', 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME'],
    ['handshake failed', 'EPROTO'],
    ['valid HTTP', failed('HTTPParserError', 'Expected HTTP/')],
    ['refuses to use', failed('Error', 'bad port')],
    ['request failed', 'UNCAUGHT'],
    ['request failed', 'EMFILE'],
  ],
}
/** What else chooses a row. */
// biome-ignore format: a table
const ALSO: typeof CASES = {
  ory: [
    ['a setting', error(500, 'No verification strategy.'), 'submit'],
    ['is disabled', form(4010011, 'A.'), 'submit'],
    ['more than a password', form(4000038, 'A.'), 'submit'],
    ['more than a password', error(422, 'A.'), 'submit'],
    ['or a template', error(400, 'incorrect Content-Type', { code: 500 }), 'submit'],
    ['newer', error(500, 'could not locate the table')],
    ['newer', error(500, 'relation "a" does not exist')],
    ['failed at', error(500, 'role "kratos" does not exist')],
    ['failed at', error(400, 'A.', { code: 500 })],
  ],
  other: [
    ['host name', page(403, 'Error 1014')], ['a firewall', page(200, 'Request Rejected')],
    ['a firewall', answer(429, '', { 'x-vercel-mitigated': 'challenge' })],
    ['refused this', page(451)], ['Ory did not', page(530)],
  ],
  proxy: [],
  nobody: [
    ['not found', 'EAI_FAIL'], ['cut before', 'ECONNABORTED'], ['handshake', 'EPROTO', PROXY],
    ['this port', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'], ['not trusted', 'INVALID_PURPOSE'],
  ],
}
const LISTS = Object.entries(CASES) as [Who, readonly Case[]][]
const reached = new Set<string>()
for (const [who, cases] of LISTS)
  for (const each of [...cases, ...ALSO[who]]) {
    const [row, came, at = 'start', fault] = each
    const [to, env] = typeof at === 'string' ? [at, {}] : ['start' as const, at]
    const { step, failure, isRetryable } = explain(came, to, configOf(env), fault)
    const { exit_code, answered_by, error, hints } = failure
    const tries = isRetryable ? 'sent up to 3 times' : 'sent once'
    const what = `${who}, ${step}: exit ${exit_code}, ${tries}`
    if (cases.includes(each)) report(what, lineOf(failure))
    const rows = program.meaningsFor(step, configOf(env))[who]
    const index = rows.findIndex(([, , words]) => words.includes(row))
    reached.add(`${who} ${index}`)
    test(`${who}, ${step}: ${rows[index]?.[2]}`, () => {
      const chosen = step === 'logout' ? hints[0] : error
      assert.deepEqual([answered_by, chosen, rows.at(-1)?.[0]], [who, rows[index]?.[2], /^/])
      for (const [, , words, ...hints] of rows) {
        assert.match(words, /^.{1,61}[^.]$/)
        for (const hint of hints) assert.match(hint, /^(.{1,67}[^.])?$/)
      }
    })
  }

test('each row and each recorded failure has its case', () => {
  const lists = program.meaningsFor('start', configOf())
  for (const [who] of LISTS)
    for (const [index, [, , words]] of lists[who].entries())
      assert.ok(reached.has(`${who} ${index}`), `no case for ${who}: ${words}`)
  const told = LISTS.flatMap(([, cases]) => cases.map(([, came]) => `${came}.json`))
  const others = FILES.filter((name) => !told.includes(name))
  assert.deepEqual(others.sort(), ['logout.json', 'success.json'])
})

/** What is refused at once; or noted, and told once Ory has refused it. */
// biome-ignore format: a table
const SETTINGS: readonly (readonly [env: Env, dotenv?: string])[] = [
  [{ BASE_URL: '', IDENT: ' ', PASS: '\n' }], [{ PASS: 'p\ufffdss' }], [{ PASS: undefined }],
  [{ ...DEMO, ...HTTPS }],
  ...['"https://a.b"', 'https://$SLUG.a.b', 'https://a b', 'https://a.b?c',
    'https://a:b@c.d', 'https://a.b;', 'https://a.b/sessions/whoami', 'a.b', 'https://a.b:99999',
  ].map((BASE_URL) => [{ BASE_URL }] as const),
  [{ HTTPS_PROXY: 'a.b:3128' }], [{ HEADERS: 'Cookie: a=b' }], [{ HEADERS: 'Bearer abc' }],
  [DEMO],
  [{ BASE_URL: undefined }, 'BASE_URL=https://a.b'],
  [{ ...HTTP, HTTP_PROXY: 'http://a.b' }],
  [{ PASS: undefined }, 'PASS=before#after'], [{ IDENT: PASS, PASS: IDENT }],
  ...[`${PASS}\u200b`, 'one\ntwo', 'one\\"two', `${PASS}\n`, `"${PASS}"`, '$(PASS)', 'op://a/b',
    'ory_pat_a'].map((PASS) => [{ PASS }] as const),
  [{ IDENT: harness.IDENTITY }],
]
for (const [env, dotenv] of SETTINGS) {
  const lines: string[] = []
  try {
    const config = configOf(env, dotenv)
    lines.push(...config.notes.map((note) => `ory-login: note: ${note}`))
    lines.push(lineOf(explain('wrong-password', 'submit', config).failure))
  } catch (failure) {
    lines.push(lineOf(failure as Failure))
  }
  report(JSON.stringify({ ...env, dotenv }), lines.join('\n'))
}

async function runTo(print: () => Promise<unknown>) {
  const told: string[] = []
  const say = async (text: string) => told.push(text)
  return { code: await program.main(['--help'], {}, { print, say }), stderr: told.join('\n') }
}
const bug = Object.defineProperty({}, 'BASE_URL', { get: () => assert.fail(PASS) })
const start = harness.inTurn(answer(503), answer(503, '', { 'retry-after': '60' }))
test('reports.txt has each report, and what is ours fits into 80 columns', async (t) => {
  process.chdir(harness.folder('P\0A\0')) // a .env in UTF-16
  for (const { code, stderr } of [
    await harness.run({}, '--nonsense'),
    await harness.run({}, '--timeout', '0'),
    await harness.run({}).finally(() => process.chdir(ROOT)),
    await runTo(() => Promise.reject(Error('ENOSPC: no space left on device'))),
    await harness.run(bug),
    await harness.login(t, { start }, { npm_config_json: 'true' }, '--verbose'),
  ]) {
    const told = stderr
      .replace(/(?<=127\.0\.0\.1:)\d+/g, 'PORT')
      .replace(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/g, 'REQUEST-ID')
      .replace(/\bin \d[\d.]* (m?s)\b/g, 'in N $1')
    report(`a whole run: exit ${code}`, told.trimEnd())
  }
  const text = reports.join('\n')
  if (process.env.UPDATE === '1') writeFileSync(join(ROOT, 'test/reports.txt'), text)
  const how = 'run `UPDATE=1 npm test`, and read the diff of test/reports.txt'
  assert.equal(text, harness.read('test/reports.txt'), how)
  for (const line of text.split('\n'))
    if (!/^ {2}(got|step|log id) |^===/.test(line)) assert.match(line, /^(.{0,79}[^.])?$/)
})
