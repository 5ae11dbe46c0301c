/** What answers mean: every row of the table of meanings, and whole runs that are green or not. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import { Agent, Headers } from 'undici'
import { meaningOf, type Received, readAnswer, readConfig } from '../src/ory-login.ts'
import {
  ALL_STEPS,
  type Answer,
  assertFailed,
  assertVerified,
  at,
  bodyOf,
  credentials,
  IDENT,
  IDENTITY,
  LOGIN_STEPS,
  login,
  PASS,
  recorded,
  recording,
  replay,
  run,
  SESSION,
  STEPS,
  type Step,
  SUCCESS,
  startOry,
  stepOf,
  TOKEN,
  TWO_LINES,
} from './harness.ts'

const sideBySide = { concurrency: 12 } // with all at once, a loaded machine takes too long for each

// ---- Answers, by the pieces in which they differ

/** An error of Ory's. */
const error = (status: number, reason: string, more = {}, headers = {}): Answer => ({
  status,
  headers,
  body: { error: { code: status, reason, ...more } },
})
const named = (id: string) => ({ 'ory-error-id': id })
const formWith = (ui: object, more = {}, status = 400): Answer => ({
  status,
  body: bodyOf('start', { ui, ...more }),
})
/** A form of Ory's with a message on it. */
const form = (id: unknown, text = 'No, said Ory.', more = {}, type = 'error') =>
  formWith({ messages: [{ id, text, type }], nodes: [] }, more)
/** The same message, on a field. */
const field = (id: unknown, text = 'No, said Ory.', more = {}) =>
  formWith({ nodes: [{ messages: [{ id, text, type: 'error' }] }] }, more)
const page = (status: number, text = 'Stop', headers = {}): Answer => ({
  status,
  headers,
  body: `<!doctype html>\n<html><head><title>\n${text}</title></head><h1>${text}</h1></html>`,
})
/** An error of Ory's, and then the flow, as where a web hook before login fails. */
const two = (status: number, code = status, message = 'It went wrong.'): Answer => ({
  status,
  body: `${JSON.stringify({ error: { code, message } })}\n${JSON.stringify(bodyOf('start'))}\n`,
})
const to = (location: string, status = 302): Answer => ({ status, headers: { location } })
const ok = (body: unknown): Answer => ({ status: 200, body: JSON.stringify(body) })
const whoami = (changes: object): Answer => ({ status: 200, body: bodyOf('whoami', changes) })

/** What the program reads of an answer; or of `code: text`, where there was none. */
function read(answer: Answer | string): Received {
  if (typeof answer === 'string') {
    const [came = '', text = ''] = answer.split(': ')
    return { came, text }
  }
  const { status, headers = {}, body } = answer
  const all = Object.entries(headers).map(([name, value]): [string, string] => [name, `${value}`])
  const came = { came: `${status}`, status, headers: new Headers(all) }
  if (typeof body === 'string') return { ...came, text: body }
  return { ...came, text: JSON.stringify(body) ?? '', body }
}

const dispatcher = new Agent()
/** Judges it without a socket, after a login as recorded. */
function judge(step: Step, came: Answer | string, env = {}) {
  const variables = { BASE_URL: 'http://127.0.0.1:1', IDENT, PASS, ...env }
  const config = { ...readConfig(variables, ''), timeoutMs: 1 }
  const connection = { dispatcher, proxy: 'HTTPS_PROXY' in env ? 'proxy.example:3128' : '' }
  const session = { id: SESSION, identity: { id: IDENTITY } }
  const after = { config, connection, login: { session_token: TOKEN, session } }
  const answer = readAnswer(after, step, read(came))
  const row = meaningOf(step, answer.facts)
  const [, exit, means, hint, tries = 1] = row
  const says = `${means}\n${hint.replace('{target}', answer.target)}`
  return { ...answer, row, exit, tries, says }
}

// ---- The table: what comes, the exit code, how often it is tried, and what it is said to mean

type Judgement = readonly [exit: number, tries: number, means: RegExp, env?: object]
type Case = readonly [Step, Answer | string, ...Judgement]
/** At one step or several; one answer or several; or codes, where there was none. */
type Cases = readonly [Step | readonly Step[], Answer | readonly Answer[] | string, ...Judgement]

/** As recorded: the last exchange of each recording. */
const RECORDED: Readonly<Record<string, Judgement>> = {
  'aal2-required': [3, 1, /password is right.*second factor/],
  'admin-port': [1, 1, /BASE_URL to http:\/\/127\.0\.0\.1:4433(?!\/).*admin port/],
  'before-hook-refused': [3, 1, /hook before login refused/],
  'empty-password': [3, 1, /a field .*empty/],
  'expired-flow': [1, 1, /flow expired/],
  'hook-failed': [4, 1, /password is right.*hook after login failed/],
  'hook-refused': [3, 1, /password is right.*hook.*refused/],
  'hook-unreachable': [4, 1, /hook after login.*failed/],
  'inactive-identity': [3, 1, /identity is disabled/],
  'invalid-token': [1, 2, /token.*refused/],
  'logout-unknown-token': [1, 1, /not what Ory's API promises/],
  'migration-hook-failed': [4, 1, /password migration hook failed/],
  'no-verifiable-address': [3, 1, /setting of th.*project/],
  'password-method-disabled': [3, 1, /password method is off/],
  'unknown-flow': [1, 1, /not know the flow/],
  'unknown-identifier': [3, 1, /wrong password or unknown identifier/],
  'unverified-address': [3, 1, /address is not verified/],
  'wrong-password': [3, 1, /has a password.*Ory's logs/],
  'wrong-path': [1, 1, /no Ory project at BASE_URL/],
}

const PATH = STEPS.start.path
const HTTPS = { BASE_URL: 'https://o.example' }
const PREFIX = { BASE_URL: 'http://127.0.0.1:1/a/b' }
const PROXIED = { ...HTTPS, HTTPS_PROXY: 'http://proxy.example:3128' }
const TRUSTING = { NODE_EXTRA_CA_CERTS: 'authority.pem' }
const BASIC = { 'www-authenticate': 'Basic' }
const RIGHT = { active: 'password' }
const PLAIN = 'Client sent an HTTP request to an HTTPS server.'
const HOOK = 'webhook failed with status code 403'
const LOST = 'Unable to locate the resource'
const LABEL = { attributes: { value: 4000006 }, meta: { label: { id: 4000006, type: 'info' } } }

// biome-ignore format: a table
const TABLE: readonly Cases[] = [
  // what stands before Ory
  [ALL_STEPS, page(403, 'Reference #18.4000006.1695'), 4, 1, /firewall.*not judge it/],
  ['submit', error(403, 'No.', {}, { 'cf-mitigated': 'challenge' }), 4, 1, /firewall/],
  [LOGIN_STEPS, [error(401, 'A.', {}, BASIC), page(401, 'A', BASIC)], 1, 1, /gateway.*credentials/],
  ['whoami', error(401, 'Access credentials are invalid'), 1, 1, /gateway.*credentials/],
  ['submit', error(403, 'Access credentials are not sufficient'), 1, 1, /gateway.*credentials/],
  ['start', [error(404, 'does not match any rules'), error(500, 'multiple rules')], 1, 1, /rule/],
  ['start', { status: 400, body: `${PLAIN}\n` }, 1, 1, /BASE_URL.*https:/],
  // start
  ['start', [to(`https://127.0.0.1${PATH}`, 301), to('https://127.0.0.1/', 308)], 1, 1,
    /BASE_URL to https:\/\/127\.0\.0\.1(?![/:])/],
  ['start', to(`https://o.example${PATH}?q#x`), 1, 1, /BASE_URL to https:\/\/o\.example(?![/:])/],
  ['start', to(`http://o.example/a/b${PATH}`), 1, 1, /to http:.*example\/a\/b(?!\/)/, PREFIX],
  ['start', to(`https://127.0.0.1/a/b${PATH}`), 1, 1, /to https:.*\.1\/a\/b(?!\/)/, PREFIX],
  ['start', [to(`http://o.example${PATH}`), to('http://o.example')], 1, 1, /^(?!.*http:)/s, HTTPS],
  ['start', to(`/admin${PATH}`, 307), 1, 1, /admin API/],
  ['start', to(`/.ory${PATH}`, 307), 1, 1, /set BASE_URL to http:\S+\/\.ory;/],
  ['start', [to('/login'), to('https://sso.example/x', 303), to(PATH)], 1, 1, /access gateway/],
  ['start', [{ status: 302 }, to('http://'), to('mailto:a@b.example')], 1, 1, /redirect, which is/],
  ['start', [two(502), two(504), two(400, 500)], 4, 1, /hook before login failed/],
  ['start', [page(404, 'Nope'), error(404, LOST)], 1, 1, /no Ory project.*slug.*prefix/s],
  ['start', error(400, 'No.', { id: 'session_already_available' }), 1, 1, /cookie or a token/],
  ['start', page(200, 'Welcome'), 1, 1, /website answers/],
  ['start', page(503), 4, 3, /no Ory behind it.*slug/s],
  ['start', [page(500), error(500, 'No.')], 4, 1, /nothing about the credentials.*slug/s],
  // submit
  ['submit', form(4000010), 3, 1, /address is not verified/],
  ['submit', form(4000010, 'As Kratos v1.3.1.', RIGHT), 3, 1, /address is not verified/],
  ['submit', form(4010011), 3, 1, /identity is disabled/],
  ['submit', [field(0, 'A.', RIGHT), form(4000006, 'A.', RIGHT)], 3, 1, /is right.*hook.*refused/],
  ['submit', form(4000002, 'Property password_identifier is missing.'), 1, 1, /older than v0\.9/],
  ['submit', form(4000037), 3, 1, /no account has this identifier/],
  ['submit', form(4000038), 3, 1, /captcha/],
  ['submit', form(4010002), 3, 1, /password method is off/],
  ['submit', [4000003, 5000002, 5000003].map((id) => form(id)), 3, 1, /with a password alone/],
  ['submit', form(1010014, 'A code.', {}, 'info'), 3, 1, /no login with a password alone/],
  ['submit', error(422, 'No.', { id: 'browser_location_change_required' }), 1, 1, /a browser/],
  ['submit', error(403, 'No.', { id: 'security_csrf_violation' }), 1, 1, /another path/],
  ['submit', error(400, 'The flow query parameter is missing or malformed.'), 1, 1, /its query/],
  ['submit', form(4000001, 'The "Cookie" key was included.'), 1, 1, /native login.*cookie/s],
  ['submit', error(500, 'A misconfiguration prevents login.'), 3, 1, /setting of th.*project/],
  ['submit', error(502, 'calling the password migration hook failed'), 4, 1, /migration hook/],
  ['submit', error(504, 'No.', { message: HOOK }), 4, 1, /password is right.*hook/],
  ['submit', [error(504, 'No.'), error(502, 'No.')], 4, 1, /hook of this login failed.*too long/],
  ['submit', [error(500, 'No.'), error(503, 'No.')], 4, 1, /Ory failed.*about the credentials/],
  ['submit', error(400, 'No.', { code: 502 }), 4, 1, /hook after login.*failed/],
  ['submit', [form(123), field('0')], 3, 1, /refused this login, in its own words/],
  // whoami
  ['whoami', [whoami({ active: false }), page(200)], 1, 1, /not active, or there is none/],
  ['whoami', [whoami({ identity: {} }), whoami({ identity: { id: 'b' } })], 1, 1, /no identity/],
  ['whoami', whoami({ id: 'older' }), 1, 1, /another session/],
  ['whoami', error(401, 'No.'), 1, 2, /token.*refused.*another login.*database/s],
  ['whoami', error(403, 'No.', {}, named('session_aal2_required')), 3, 1, /second factor/],
  // any step
  ['submit', { status: 429 }, 4, 3, /rate limit.*CI runners share addresses/s],
  [['start', 'whoami'], [{ status: 304 }, to('/else', 304)], 1, 1, /a cache answers/],
  [['submit', 'logout'], to(`https://o.example${STEPS.submit.path}`, 307), 1, 1, /redirect/],
  [['submit', 'whoami', 'logout'], page(502), 4, 3, /no Ory behind it/],
  ['logout', [{ status: 503 }, error(504, 'No.')], 4, 3, /no Ory behind it/],
  [['submit', 'whoami'], page(500), 4, 1, /nothing about the credentials/],
  ['submit', [page(404, LOST), page(400, '500'), formWith({ nodes: [LABEL] })], 1, 1, /not what/],
  [['whoami', 'logout'], error(403, 'session_aal2_required'), 1, 1, /not what Ory's API promises/],
  // no answer
  ['start', 'PROXY 403|PROXY 407|PROXY UND_ERR_INVALID_ARG: odd', 4, 1, /proxy refuses/],
  ['whoami', 'PROXY 502|PROXY 503|PROXY 504', 4, 3, /proxy answers, but it connected nowhere/],
  ['submit', 'PROXY ECONNREFUSED: no|PROXY TIMEOUT: late', 4, 3, /proxy cannot be reached/],
  ['start', 'PROXY SELF_SIGNED_CERT_IN_CHAIN: no', 4, 1, /certificate of the proxy is not trusted/],
  ['start', 'ECONNREFUSED: refused', 4, 3, /nothing listens/],
  [ALL_STEPS, 'ECONNRESET|EPIPE|UND_ERR_SOCKET: other side closed', 4, 3, /was cut.*https:\/\//s],
  ['logout', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH|HTTPParserError: Invalid EOF state', 4, 3, /cut/],
  ['start', 'ECONNRESET: cut', 4, 3, /was cut.*client certificate/s, HTTPS],
  ['start', 'EAI_AGAIN: getaddrinfo', 4, 3, /cannot be looked up/],
  ['start', 'ENOTFOUND: getaddrinfo', 4, 1, /no host of this name/],
  [['start', 'whoami'], 'TIMEOUT: nothing complete', 4, 1, /no answer came in time/],
  [['start', 'whoami'], 'TIMEOUT: nothing complete', 4, 1, /in time through the proxy/, PROXIED],
  ['submit', 'TIMEOUT: nothing complete', 4, 1, /takes longer.*hooks.*hashes.*database/s],
  ['submit', 'ETIMEDOUT|EHOSTUNREACH|ENETUNREACH', 4, 3, /cannot be reached/],
  ['start', 'CERT_HAS_EXPIRED|CERT_NOT_YET_VALID', 4, 1, /certificate.*clock/s],
  ['start', 'ERR_TLS_CERT_ALTNAME_INVALID', 4, 1, /certificate.*for another name/],
  ['start', 'ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG', 4, 1,
    /not speak TLS.*http:\/\//s, HTTPS],
  ['start', 'ERR_SSL_WRONG_VERSION_NUMBER', 4, 1, /proxy.*no TLS/, PROXIED],
  ['start', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION|ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL|' +
    'ERR_SSL_UNSUPPORTED_PROTOCOL', 4, 1, /share no version(?!.*http:)/s, HTTPS],
  ['start', 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE|ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE|' +
    'EPROTO|ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 4, 1, /a client cert(?!.*http:)/s, HTTPS],
  ['start', 'DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    4, 1, /not trusted.*PEM file/s, HTTPS],
  ['start', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 4, 1, /nothing in NODE_EXTRA_CA_CERTS/, TRUSTING],
  ['start', 'HTTPParserError: Expected|UND_ERR_HEADERS_OVERFLOW|BODY_TOO_LARGE|Z_DATA_ERROR|' +
    'ERR__ERROR_1|Error: too many content-encodings', 1, 1,
    /no sound HTTP answer/],
  ['start', 'Error: bad port', 2, 1, /refuses to use the port/],
  ['start', 'ERR_ASSERTION: odd', 4, 1, /could not read the answer/],
  ['submit', 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', 1, 1, /421: not for this host/],
  ['start', { status: 421 }, 1, 1, /421: not for this host/, HTTPS], // pure: undici asks again
  ['start', 'NO_CAUSE: odd', 4, 1, /fetch hides the cause/],
  ['start', 'ENEVERSEEN: odd', 4, 1, /the request failed/],
]
const CASES: readonly Case[] = [
  ...Object.entries(RECORDED).map(([name, judgement]): Case => {
    const { request, response } = recording(name).at(-1) ?? assert.fail()
    return [stepOf(request) ?? assert.fail(), response, ...judgement]
  }),
  ...TABLE.flatMap(([steps, came, ...judgement]) =>
    [steps].flat().flatMap((step) => {
      const each = typeof came === 'string' ? came.split('|') : [came].flat()
      return each.map((one): Case => [step, one, ...judgement])
    }),
  ),
]

test('what comes at a step has its meaning, exit code and number of tries', () => {
  for (const [step, came, exit, tries, means, env] of CASES) {
    const judged = judge(step, came, env)
    const told = `${step}: ${JSON.stringify(came).slice(0, 200)}: ${judged.says}`
    assert.deepEqual([judged.exit, judged.tries], [exit, tries], told)
    assert.match(judged.says, means, told)
    const isBlamed = exit !== 4 || step === 'start' || typeof came === 'string'
    assert.ok(isBlamed || !judged.says.includes('slug'), told) // the start found the project
  }
})

test('every recording is in the table, but those of what goes well', () => {
  const names = readdirSync(new URL('recordings', import.meta.url)).map((file) => file.slice(0, -5))
  assert.deepEqual(names.sort(), [...Object.keys(RECORDED), 'success', 'logout'].sort())
})

test('every row of the table is chosen by a case, and tells what no other does', () => {
  const rows = new Set<ReturnType<typeof meaningOf>>()
  // The first n facts that are asked for are not there, all others are: this meets each row.
  for (const step of ALL_STEPS)
    for (let n = 0, last = 'more'; last !== ''; n++) {
      let asked = 0
      const row = meaningOf(step, Object.assign([], { includes: () => asked++ >= n }))
      rows.add(row)
      last = row[0]
    }
  assert.ok(rows.size > 60)
  for (const [step, came, , , , env] of CASES) rows.delete(judge(step, came, env).row)
  assert.deepEqual([...rows], [])
})

const ALL_WORDS = `Reference #18.4000006.1695 4000002 4000010 4010011 error.code 500, active: true
  This account was disabled. This endpoint was disabled by system administrator. ${LOST} ${HOOK}
  The flow query parameter is missing. Property password_identifier is missing. ${PLAIN} 404 429
  A misconfiguration prevents login. password migration hook failed. session_aal2_required "error"
  Access credentials are invalid. does not match any rules, multiple rules. invalid_configuration`
/** Where anybody can write: none of it is Ory's word. */
// biome-ignore format: a table
const PLACES: Readonly<Record<string, (status: number, text: string) => Answer>> = {
  'a page': page,
  'a text': (status, body) => ({ status, body }),
  'a message of a hook': (status, text) => ({ ...form(123, text), status }),
  'a message of a hook after login': (status, text) => ({ ...form(0, text, RIGHT), status }),
  'a message on a field': (status, text) => ({ ...field(123, text, RIGHT), status }),
  'a field and its label': (status, text) =>
    formWith({ nodes: [{ attributes: { value: text }, meta: { label: { text } } }] }, {}, status),
  'JSON of somebody else': (status, text) => ({ status, body: { message: text, error: text } }),
  'details of an error': (status, text) => error(status, 'No.', { details: text, status: text }),
  'a second document': (status, text) => ({ status, body: `{"error":{}}\n"${text}"` }),
}
const same = (step: Step, one: Answer, other: Answer) =>
  assert.equal(judge(step, one).row, judge(step, other).row, `${step}: ${JSON.stringify(one)}`)
for (const [place, answer] of Object.entries(PLACES))
  test(`the words of a row choose nothing in ${place}`, () => {
    for (const step of ALL_STEPS)
      for (const status of [200, 302, 400, 401, 403, 404, 410, 418, 422, 429, 500, 502, 504])
        same(step, answer(status, ALL_WORDS), answer(status, 'Hello.'))
  })

test('an id chooses a row only as a whole, and the number of a hook chooses none', () => {
  const ids = [0, 3, 200, 400, 401, 403, 404, 410, 422, 429, 500, 502, 40000061, 14000006]
  for (const by of [form, field])
    for (const id of [...ids, ...ids.map(String)])
      for (const more of [{}, RIGHT]) same('submit', by(id, 'A.', more), by(1, 'A.', more))
  for (const id of 'a_session_aal2_required invalid_configuration_2 #4000006 error'.split(' '))
    for (const step of ALL_STEPS)
      for (const status of [400, 403, 404, 500])
        same(step, error(status, 'A.', { id }, named(id)), error(status, 'A.'))
})

const MESSAGES = {
  messages: [{ id: 7, text: 'One.' }],
  nodes: [{ attributes: { value: 'typed' }, messages: [{ id: 8, text: 'Two.' }] }, { messages: 9 }],
}
// biome-ignore format: a table
const TEXTS: readonly [what: string, Step, Answer, ids: string[], shown: RegExp][] = [
  ['the ids of body and header, reason and message', 'submit',
    error(418, 'A.', { id: 'a', message: 'B.' }, named('b')), ['a', 'b'], /^A\.: B\.$/],
  ['nothing twice', 'start', error(418, 'A', { id: 'a', message: 'A' }, named('a')), ['a'], /^A$/],
  ['a message alone', 'whoami', { status: 418, body: { error: { message: 'A.' } } }, [], /^A\.$/],
  ['an error that is a text', 'whoami', { status: 418, body: { error: 'A.' } }, [], /^A\.$/],
  ['an error.code that differs', 'start', error(400, 'A.', { code: 500 }), [], /error.code 500: A/],
  ['no empty id', 'start', error(418, 'A.', { id: '' }, named('')), [], /^A\.$/],
  ['all messages, and no value', 'submit', formWith(MESSAGES), ['7', '8'], /^One\.: Two\.$/],
  ['of a form, not what is active', 'submit', form(0, 'A.', RIGHT), ['0'], /^A\.$/],
  ['of a session, what is active', 'whoami', whoami({ active: 'yes' }), [], /^active: "yes"$/],
  ['of a page the title', 'start', page(404, 'Nope & no'), [], /^a page titled "Nope & no"$/],
  ['no markup', 'start', { status: 404, body: ' <p>Secret</p>' }, [], /^an untitled page$/],
  ['the id of Cloudflare', 'start', page(403, 'No', { 'cf-ray': '8f-FRA' }), [], /"No".*8f-FRA$/],
  ['of two documents the first', 'start', two(502), [], /^It went wrong\.$/],
  ['a text', 'logout', { status: 418, body: '\nI am a teapot.\r\n' }, [], /^I am a teapot\.$/],
  ['nothing', 'start', { status: 418 }, [], /^nothing$/],
  ['no text of a 200, a token maybe', 'submit', { status: 200, body: TOKEN }, [], /^no JSON$/],
  ['no other JSON', 'submit', { status: 200, body: { token: TOKEN } }, [], /^JSON/],
  ['where it points', 'start', to('http://a:b@o.example/c?d#e'), [], / http:..o.example.c$/],
  ['that it points nowhere', 'start', { status: 302 }, [], /^it names no place/],
  ['of a cache nothing of that', 'start', { status: 304 }, [], /^(?!.*(place|points))/],
]
for (const [what, step, answer, ids, shown] of TEXTS)
  test(`of an answer is told: ${what}`, () => {
    const told = judge(step, answer)
    assert.deepEqual(told.ids, ids)
    assert.match(told.text, shown)
  })

// ---- Whole runs

describe('an answer of the table ends a run, and is asked for as often', sideBySide, () => {
  for (const [step, came, exit, tries, means, env] of CASES) {
    if (typeof came === 'string' || env) continue
    test(`${step}: ${came.status}: ${means.source}`, async (t) => {
      const { ory, ...outcome } = await login(t, { [step]: came }, {}, '--logout')
      assertFailed(outcome, exit, step, means)
      assert.deepEqual([ory.count(step), stepOf(ory.seen.at(-1) ?? assert.fail())], [tries, step])
      const line = `${STEPS[step].path} (x-request-id ${ory.seen[0]?.headers['x-request-id']})\n`
      assert.ok(outcome.stderr.includes(line), outcome.stderr)
    })
  }
})

test('the recorded login is verified with three requests', async (t) => {
  const ory = await startOry(t, replay('success'))
  assertVerified(await run(credentials(ory)))
  assert.deepEqual(ory.seen.map(stepOf), LOGIN_STEPS)
})

test('one id goes with all requests, each secret where it belongs, and no cookie', async (t) => {
  const headers = { 'set-cookie': 'csrf_token_1=abc; Path=/' }
  const steps = ALL_STEPS.map((step) => [step, { ...SUCCESS[step], headers }])
  const { ory, ...outcome } = await login(t, Object.fromEntries(steps), {}, '--logout')
  assertVerified(outcome)
  const id = String(ory.seen[0]?.headers['x-request-id'])
  assert.match(id, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
  const form = JSON.stringify({ method: 'password', identifier: IDENT, password: PASS })
  const sent = ['', form, '', JSON.stringify({ session_token: TOKEN })]
  for (const [index, { headers, body }] of ory.seen.entries()) {
    const { cookie, origin, authorization, referer } = headers
    assert.deepEqual([cookie, origin, authorization, referer], Array(4).fill(undefined))
    assert.match(headers['user-agent'] ?? '', /^ory-login\/\d+\.\d+\.\d+$/)
    assert.deepEqual([headers['x-request-id'], headers.accept], [id, 'application/json'])
    assert.deepEqual([headers['accept-encoding'], body], ['identity', sent[index]])
    assert.equal(headers['content-type'], body ? 'application/json' : undefined)
    assert.equal(headers['x-session-token'], index === 2 ? TOKEN : undefined)
  }
  const { ory: other } = await login(t)
  assert.notEqual(other.seen[0]?.headers['x-request-id'], id)
})

test('the id of a flow goes into the query, whatever it is', async (t) => {
  const ids = ['a&b=c/../?#ä', ' ', '\0\n', '%41+ %', '../../admin?x=', 'a\r\nx-evil: 1', '😀']
  const check = async (id: string) => {
    const { ory, ...outcome } = await login(t, { start: ok({ id }) })
    assertVerified(outcome)
    const { pathname, searchParams } = new URL(ory.seen[1]?.path ?? '', ory.url)
    assert.deepEqual([pathname, ...searchParams], [STEPS.submit.path, ['flow', id]])
    assert.equal(ory.seen[1]?.headers['x-evil'], undefined)
  }
  await Promise.all(ids.map(check))
})

test("a flow's action is never used, and its fields are not needed", async (t) => {
  const other = await startOry(t)
  const ui = { action: `${other.url}/self-service/login?flow=x`, method: 'PUT', nodes: [] }
  const { ory, ...outcome } = await login(t, { start: ok(bodyOf('start', { ui })) })
  assertVerified(outcome)
  assert.deepEqual([ory.seen.map(stepOf), other.contacts.length], [LOGIN_STEPS, 0])
})

test('a path prefix of BASE_URL is kept at every step, and shown', async (t) => {
  const ory = await startOry(t)
  assertVerified(await run({ ...credentials(ory), BASE_URL: ` ${ory.url}/a/b// ` }, '--logout'))
  const paths = ALL_STEPS.map((step) => `/a/b${STEPS[step].path}`)
  const asked = ory.seen.map(({ path }) => path.replace(/\?.*/, ''))
  assert.deepEqual(asked, paths)
  const wrong = await startOry(t, at(recorded('wrong-path')))
  const outcome = await run({ ...credentials(wrong), BASE_URL: `${wrong.url}/wrong` })
  assertFailed(outcome, 1, 'start', /: GET \S+\d\/wrong\/self-service\/login\/api /)
})

// ---- What is green, and what is never

const submit = (changes: object): Answer => ok(bodyOf('submit', changes))

describe('verified is', sideBySide, () => {
  const sessions = [
    undefined,
    null,
    {},
    { id: null },
    { id: SESSION, active: true, identity: null },
  ]
  for (const session of sessions)
    test(`a login whose session is ${JSON.stringify(session)}`, async (t) => {
      assertVerified(await login(t, { submit: submit({ session }) }))
    })
  for (const id of ['1', 'auth0|5f7c8e', 'Zoë:Ärger/7', 'a space', '😀', 'x'.repeat(200)])
    test(`the identity ${id.slice(0, 20)}`, async (t) => {
      const session = { identity: { id } }
      const steps = { submit: submit({ session }), whoami: whoami(session) }
      const { code, stdout } = await login(t, steps)
      assert.deepEqual([code, stdout], [0, TWO_LINES.replace(IDENTITY, id)])
    })
  for (const length of [1, 14, 15, 16, 20, 38, 39, 40, 4096])
    test(`a token of ${length}: at most 24 characters are shown, and 15 are not`, async (t) => {
      const token = 'A1b2C3d4E5f6G7h8I9j0'.repeat(205).slice(0, length)
      const { code, stdout, ory } = await login(t, { submit: submit({ session_token: token }) })
      const shown = token.slice(0, Math.max(0, Math.min(24, length - 15)))
      assert.deepEqual([code, stdout], [0, TWO_LINES.replace(/ory_st_\w+/, shown)])
      assert.equal(ory.seen[2]?.headers['x-session-token'], token)
    })
})

const ODD = ['', 5, null, undefined, ['a'], { id: 'a' }, true, '\ud800']
const ODD_TOKENS = [' ', 'a b', 'a\nb', 'a\r\nx-evil: 1', '\0', 'tokenĀ', '😀', 'x'.repeat(4097)]
const ODD_IDENTITIES = ['text', IDENTITY, [IDENTITY], 5, true, [], {}, { id: '' }, { id: 5 }]
const UNPRINTABLE = [' ', '\n', 'a\nb', 'a\0b', 'a\u001b[31mb', 'a\u202eb', 'a\u2028b']
const NO_BODIES = '| |[]|{}|"text"|null|5|true|{"id": "a|{\'id\': 1}|<p>'.split('|')

const never = (step: Step, says: RegExp, all: readonly Partial<Record<Step, Answer>>[]) =>
  all.map((answers) => ({ step, says, answers }))
/** Each is wrong in one thing. */
// biome-ignore format: a table
const NEVER_GREEN = [
  never('start', /flow/, ODD.map((id) => ({ start: ok({ id }) }))),
  never('submit', /session_token/, [...ODD, ...ODD_TOKENS].map((session_token) =>
    ({ submit: submit({ session_token }) }))),
  never('submit', /session_token/, [...ODD_IDENTITIES, { id: null }, false].map((identity) =>
    ({ submit: submit({ session: { identity } }) }))),
  never('whoami', /not active/, [false, 'true', 1, null, undefined, [true], {}].map((active) =>
    ({ whoami: whoami({ active }) }))),
  never('whoami', /names no identity/, [...ODD_IDENTITIES, null, undefined,
    ...[...ODD, ...UNPRINTABLE].map((id) => ({ id }))].map((identity) =>
    ({ submit: submit({ session: null }), whoami: whoami({ identity }) }))),
  never('whoami', /identity, or another/, ['other', IDENTITY.toUpperCase(), `${IDENTITY} `].map(
    (id) => ({ whoami: whoami({ identity: { id } }) }))),
  never('whoami', /another session/, [...ODD, 'older', SESSION.toUpperCase()].map((id) =>
    ({ whoami: whoami({ id }) }))),
  never('whoami', /another session/, [5, '', {}].map((id) =>
    ({ submit: submit({ session: { id } }), whoami: whoami({}) }))),
  never('whoami', /another session/, [null, undefined].map((identity) =>
    ({ submit: submit({ session: { id: SESSION, identity } }), whoami: whoami({ id: 'older' }) }))),
  ...LOGIN_STEPS.map((step) => {
    const sound = JSON.stringify(SUCCESS[step].body)
    const latin1 = Buffer.from(sound.replace('{', '{"\xff": 0, '), 'latin1')
    const bodies = [...NO_BODIES, `[${sound}]`, `${sound}\n{}`, `${sound} x`, latin1]
    return never(step, /got 200/, bodies.map((body) => ({ [step]: { status: 200, body } })))
  }),
  ...ALL_STEPS.map((step) => {
    const all = [201, 202, 203, 205, 206, 226, step === 'logout' ? 200 : 204]
    return never(step, /got 2\d\d/, all.map((status) => ({ [step]: { ...SUCCESS[step], status } })))
  }),
].flat()

describe('never green is', sideBySide, () => {
  for (const { step, says, answers } of NEVER_GREEN)
    test(`${step}: ${JSON.stringify(answers[step]).slice(0, 120)}`, async (t) => {
      const { ory, ...outcome } = await login(t, answers, {}, '--logout')
      assertFailed(outcome, 1, step, says)
      assert.equal(stepOf(ory.seen.at(-1) ?? assert.fail()), step)
    })
})

test('nobody goes where a redirect points, and its query is not shown', async (t) => {
  const elsewhere = await startOry(t)
  const place = `${elsewhere.url}/else/where`
  const check = async (step: Step, status: number) => {
    const outcome = await login(t, { [step]: to(`${place}?some#part`, status) }, {}, '--logout')
    assertFailed(outcome, 1, step, new RegExp(`got ${status}: .* ${place}$`, 'm'))
    assert.doesNotMatch(outcome.stderr, /some|part/)
  }
  const kinds = [301, 302, 303, 307, 308]
  await Promise.all(ALL_STEPS.flatMap((step) => kinds.map((status) => check(step, status))))
  assert.equal(elsewhere.contacts.length, 0)
})

/** Gives one answer after the other. */
function inTurn(...answers: Answer[]) {
  return () => answers.shift()
}

describe('a second try', sideBySide, () => {
  test('of whoami that gives the session is green', async (t) => {
    const { whoami: refused = assert.fail() } = recorded('invalid-token')
    const outcome = await login(t, { whoami: inTurn(refused, SUCCESS.whoami) })
    assertVerified(outcome, /^ory-login: note: verify session: .*401.*\n$/)
  })
  test('to log out is done where Ory knows the token no longer', async (t) => {
    const { logout: unknown = assert.fail() } = recorded('logout-unknown-token')
    const steps = { logout: inTurn({ status: 502 }, unknown) }
    const { code, stdout } = await login(t, steps, {}, '--logout', '--json')
    assert.deepEqual([code, JSON.parse(stdout).logged_out], [0, true])
  })
  test('to log out is not done where a firewall answers', async (t) => {
    const steps = { logout: inTurn({ status: 502 }, page(403)) }
    assertFailed(await login(t, steps, {}, '--logout'), 4, 'logout', /firewall/)
  })
})

const SILENT = /^(?!.*(quote|space))/s
// biome-ignore format: a table
const MISTAKES: readonly [{ IDENT?: string; PASS?: string }, recording: string, hint: RegExp][] = [
  [{ PASS: ` ${PASS}` }, 'wrong-password', /hint: .*PASS .*white space/],
  [{ PASS: `${PASS}\n` }, 'empty-password', /hint: .*PASS .*white space/],
  [{ PASS: `"${PASS}"` }, 'wrong-password', /hint: .*PASS is in quotes/],
  [{ IDENT: `'${IDENT}'` }, 'unknown-identifier', /hint: .*IDENT is in quotes/],
  [{ PASS: `\u201c${PASS}\u201d` }, 'wrong-password', /hint: .*PASS .*typographic quote/],
  [{ IDENT: `\u2018${IDENT}` }, 'wrong-password', /hint: .*IDENT .*typographic quote/],
  [{ PASS: `"${PASS}` }, 'wrong-password', /hint: .*PASS .*quote.*not closed/],
  [{ PASS: 'a space "and" quote\'s inside' }, 'wrong-password', SILENT],
  [{ IDENT: ` ${IDENT} ` }, 'wrong-password', SILENT], // Ory trims it as well
  [{ PASS: `"${PASS}"` }, 'inactive-identity', SILENT],
  [{ PASS: ` ${PASS}` }, 'hook-refused', SILENT],
]
describe('a mistake in IDENT or PASS is sent, and told where they are refused', sideBySide, () => {
  for (const [env, name, hint] of MISTAKES)
    test(`${JSON.stringify(env)}: ${name}`, async (t) => {
      const { ory, ...outcome } = await login(t, recorded(name), env)
      assertFailed(outcome, RECORDED[name]?.[0] ?? 0, 'submit', hint)
      const { identifier, password } = JSON.parse(ory.seen[1]?.body ?? '')
      assert.deepEqual([identifier, password], [env.IDENT?.trim() ?? IDENT, env.PASS ?? PASS])
    })
})
