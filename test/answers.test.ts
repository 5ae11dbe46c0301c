/** What answers mean: a reply becomes a line, and the list says what that means; what is green. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import * as program from '../src/ory-login.ts'
import * as harness from './harness.ts'
import { ALL_STEPS, type Answer, answer, error, form, formOf, page, type Step } from './harness.ts'

const { assertFailed, assertVerified, at, bodyOf, brief, login, parseLine, replyOf } = harness
const { IDENT, IDENTITY, LOGIN_STEPS, PASS, SESSION, STEPS, SUCCESS, TOKEN, TWO_LINES } = harness
const { meaningOf, readConfig, readLine, sectionsFor, show, VERSION } = program
const HOST = 'http://127.0.0.1:4434'
const DIRECT = readConfig({ BASE_URL: HOST, IDENT, PASS }, '')
const PROXIED = { ...DIRECT, proxy: { name: 'HTTPS_PROXY', url: '', host: '' } }
const FILES = readdirSync(new URL('recordings', import.meta.url))
const recorded = (name: string) => harness.recording(name).at(-1)?.response ?? assert.fail(name)
const read = (step: Step, reply: Answer, fault = '', config: program.Config = DIRECT) =>
  readLine(step, replyOf(reply), fault, config)

// ---- The list: a line in, a meaning out

type Who = program.Line['who']
/** The exit code, what it is said to mean, and of which lines: from the status on, or recorded. */
type Case = readonly [ReturnType<typeof meaningOf>[1], means: RegExp, ...gots: string[]]
const TO = 'it points to http://new/self-service/login/api, the same'
const LATER = ['submit', 'whoami', 'logout'] as const
// biome-ignore format: a table
const CASES: readonly (readonly [Who, Step | readonly Step[], ...Case[]])[] = [
  ['ory', 'start', [3, /before login refused/, 'before-hook-refused', '404 then:flow: A.'],
    [4, /before login failed/, '502 then:flow', '400 error.code:500 then:flow: no such table'],
    [1, /no Ory project/, '404: project not found', '404 error.code:400: A.']],
  ['ory', 'submit', [3, /address is not/, 'unverified-address', '400 active:password 4000010'],
    [3, /is disabled/, 'inactive-identity', '400 4010011: A.'],
    [3, /its schema/, '400 active:password 4000001: I[#/traits] missing a', '400 4000001: I[#]'],
    [4, /if this persists/, '400 4000001: JSON without an error message'],
    [3, /webhook/, 'hook-refused', '400 active:password 4000006', '400 active:password 4000001'],
    [3, /wrong pass.*PASS \(from the env/s, 'wrong-password', 'unknown-identifier', '400 4000037'],
    [1, /Ory changed/, 'empty-password', '400 4000001: "Cookie"', '403 security_csrf_violation',
      '400 4010002', '400: The flow query parameter is missing or malformed.'],
    [3, /no SSO/, '400 4000003', '400 4000038', '400 5000002', '400 5000003', '400 1010014', '422'],
    [3, /reason this check/, '400 123: A.', '400 0', '418 5', '400 404', '400 40000061'],
    [3, /password method is off/, 'password-method-disabled'],
    [1, /flow expired/, 'expired-flow'],
    [1, /not know this flow/, 'unknown-flow'],
    [3, /setting of/, 'no-verifiable-address', '500 invalid_configuration',
      '500: A misconfiguration prevents login.'],
    [4, /migration hook failed/, 'migration-hook-failed'],
    [4, /webhook after login/, 'hook-failed', 'hook-unreachable', '504: webhook failed with status',
      '504: A third-party upstream service', '500: giving up after 3 attempt(s)'],
    [1, /see what Ory says/, '400: 4000006', '200: A.', '400 active:password: A.']],
  ['ory', ['start', 'submit', 'whoami'], [4, /conflict in/, '409: That value exists already.',
    '400: A. Unable to serialize access due to a concurrent update']], 
  ['ory', 'whoami', [1, /not confirm/, '200: active: false', '200: the session a instead of b'],
    ['1, retry', /rejected.*strip.*another login.*replica/s, 'invalid-token'],
    [3, /second factor/, 'aal2-required'],
    ['4, retry', /failed to verify the session/, '500: A.', '502: A.', '504: A.'],
    [1, /answer is not/, '403: session_aal2_required', '403 a_session_aal2_required']],
  ['ory', 'logout', [1, /no longer knows/, 'logout-unknown-token', '400: "Content-Length" is 0']],
  ['ory', ['start', 'submit', 'logout'], [4, /migrate sql/, '500: no such table',
      '500: has no column', '500: Unable to locate the table', '500: Unable to locate the column',
      '500: column a does not exist', '500: relation a does not exist'],
    [4, /^Ory failed/, '500: database is locked', '502: A.', '504 invalid_configuration_2']],
  ['ory', ALL_STEPS, [4, /about the password/, '418 error.code:500: A.'],
    [1, /not as documented/, '418: A.', '201', '407 error.code:49']],
  ['other', ALL_STEPS, ['4, retry', /was cut/, '200: JSON that breaks off'],
    [1, /wants credentials/, '401: Jwt is missing', '407', '511: Log in to this Wi-Fi',
      '403: Access credentials are not sufficient', '403: The requested action was forbidden'],
    [1, /no rule for this/, '404: Requested url does not match any rules', '500: multiple rules',
      '404: The requested resource could not be found', '403: Missing Authentication Token'],
    [1, /client certificate/, '400: a page titled "400 No required SSL certificate was sent"'],
    [1, /does not serve this host/, '421', '400: a page titled "Bad Request - Invalid Hostname"'],
    [1, /custom domain/, '403: error code: 1000', '409: error code: 1014', '403: Error 1001: DNS',
      '403: Error 1014', '530: error code: 1016', '530: Error 1016: Origin DNS error',
      '403: a page titled "CNAME Cross-User Banned | acme"'],
    [4, /Ory never saw it.*gateway want a login/s, '406', '451',
      '403: a page titled "Reference #18.4000006.1695"',
      '200: a page titled "Request Rejected"', '429 firewall: A.', '405 firewall', '202 firewall',
      '403: error code: 1020', '403: Error 10141'],
    [4, /CloudFront refused.*POST/s,
      '403: a page titled "ERROR: The request could not be satisfied"'],
    [4, /Web App is stopped/, '403: a page titled "Web App - Unavailable"'],
    [1, /HTTP version.*proxy_http_version/s, '426: Upgrade Required', '426: an empty body'],
    ['4, retry', /rate limit.*CI runners share.*login limit/s, '429: A.'],
    ['4, retry', /waited too long for Ory/, '504: A.', '504: a page titled "504 Gateway Time-out"'],
    ['4, retry', /timed out waiting/, '408: Request Time-out', '425: Early'],
    [4, /front of Ory failed/, '500: Fastly error: unknown domain', '501', '519', '531'],
    [1, /other than Ory/, '418: A.', '410: gone', '400: Bad Request', '304', '300', '409']],
  ['other', 'start', [1, /wants https.*set .* to http:\/\/new$/s, `301: ${TO} host with https`],
    [1, /is Ory's admin API/, `307: ${TO.replace('/self', '/admin/self')} path at another port`],
    [1, /probably Ory's.*to http:\/\/new$/s, `307: ${TO} path at another port`],
    [1, /probably Ory's.*to http:\/\/127.0.0.1:4433$/s, 'admin-port'],
    [1, /redirects to an.* to http:\/\/new$/s, `302: ${TO} path at another address`],
    [1, /to a website/, '301', '302: it points to http://a/login', '303', '307', '308'],
    [1, /needs https/, '426: Use TLS', '400: This port requires TLS.', '400: an HTTPS server'],
    [1, /no Ory project.*Ory running/s, 'wrong-path', '404'],
    [1, /website answers/, '200: a page titled "Welcome"', '201: A.'],
    ['4, retry', /Ory running.*slug/s, '502', '503: A.', '520', '522: Error 522', '530'],
    [1, /^GET \S+\/api does not reach/, '405: Method Not Allowed']],
  ['other', LATER, [1, /[A-Z]+ \/se\S+ does not reach/, '404: default backend - 404', '405', '200',
      '201', '301', '302', '303', '308', `307: ${TO} path at another address`],
    ['4, retry', /stopped answering/, '502', '503: upstream connect error', '520', '530']],
  ['other', 'logout', [1, /refuses a DELETE/, '400: a page titled "Error 400 (Bad Request)!!1"',
    '400: an empty body']],
  ['proxy', ALL_STEPS, [4, /user and password.*HTTPS_PROXY/s, '407'],
    [4, /not allow this host/, '403: A.'],
    ['4, retry', /could not connect to Ory/, '502', '503: A.', '504'],
    ['4, retry', /did not connect/, '400', '101', '302', '500']],
  ['proxy', 'start', [4, /through the proxy.*HTTPS_PROXY/s, 'TIMEOUT: no connection'],
    [4, /does not speak.*HTTPS_PROXY begin/s, 'ERR_SSL_WRONG_VERSION_NUMBER',
      'ERR_SSL_PACKET_LENGTH_TOO_LONG'],
    ['4, retry', /name the host of BASE_URL/, 'ECONNREFUSED: A.', 'UND_ERR_SOCKET']],
  ['nobody', LATER, [4, /began this/, 'TIMEOUT: no complete answer', 'TIMEOUT: no connection'],
    ['4, retry', /went away/, 'ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT',
      'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN', 'ENETDOWN', 'ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL',
      'EADDRNOTAVAIL', 'EPERM', 'EACCES', 'UND_ERR_SOCKET: A.',
      'UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'HTTPParserError: Invalid EOF state'],
    [1, /something in front of Ory alter/, 'HTTPParserError: Expected HTTP/']],
  ['nobody', 'start', [4, /TLS handshake hangs/, 'TIMEOUT: no connection'],
    [4, /accepted the connection/, 'TIMEOUT: no complete answer'],
    ['4, retry', /nothing listens.*in a container/s, 'ECONNREFUSED: A.'],
    ['4, retry', /was cut.*https:.*forwards to.*client cert/s, 'ECONNRESET', 'ECONNABORTED',
      'EPIPE', 'UND_ERR_SOCKET',
      'UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'HTTPParserError: Invalid EOF state'],
    [4, /no host with the name.*in a container/s, 'ENOTFOUND', 'EINVAL'],
    ['4, retry', /cannot be looked up.*in a container/s, 'EAI_AGAIN', 'EAI_FAIL'],
    ['4, retry', /cannot be reached/, 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN',
      'ENETDOWN', 'EADDRNOTAVAIL', 'EPERM', 'EACCES'],
    [4, /not speak TLS/, 'ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'],
    [1, /not valid HTTP/, 'HTTPParserError: Expected HTTP/', 'UND_ERR_HEADERS_OVERFLOW',
      'ERR_ASSERTION'],
    [1, /421/, 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH'],
    [4, /the request failed/, 'ENEVERSEEN: A.', 'Z_DATA_ERROR', 'TypeError: fetch failed']],
  ['nobody', ALL_STEPS, [4, /has expired/, 'CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'],
    [4, /a different name/, 'ERR_TLS_CERT_ALTNAME_INVALID'],
    [4, /intermediate/, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    [4, /not trusted.*default certificate.*private CA/s, 'DEPTH_ZERO_SELF_SIGNED_CERT',
      'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
    [4, /certificate is faulty/, 'CERT_REVOKED', 'CERT_SIGNATURE_FAILURE', 'INVALID_CA',
      'INVALID_PURPOSE', 'PATH_LENGTH_EXCEEDED', 'UNSPECIFIED'],
    [4, /no certificate for this host.*client certificate/s, 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME',
      'ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR', 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE',
      'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE'],
    [4, /handshake failed/, 'EPROTO', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION'],
    [2, /refuses to use the port/, 'Error: bad port'],
    [1, /too large/, 'BODY_TOO_LARGE'],
    [4, /the request failed/, 'uncaught EPIPE']],
]
/** After the start, and of TLS, a proxy in use is not blamed. */
function lineOf(who: Who, steps: unknown, step: Step, got: string): program.Line {
  if (FILES.includes(`${got}.json`)) return read(step, recorded(got))
  const line = parseLine(who, step, got)
  if (who === 'ory' || who === 'other') return line
  const config = who === 'nobody' && steps === 'start' ? DIRECT : PROXIED
  const reply = { ...replyOf(answer(0, line.said)), code: line.came }
  return readLine(step, reply, '', config)
}
const LINES: program.Line[] = []
for (const [who, steps, ...cases] of CASES)
  for (const step of [steps].flat())
    for (const [exit, means, ...gots] of cases)
      for (const got of gots) {
        const line = lineOf(who, steps, step, got)
        LINES.push(line)
        test(`${who} ${step} ${got}`, () => {
          const [, code, ...texts] = meaningOf(line, PROXIED)
          assert.deepEqual([line.who, code], [who, exit], harness.writeLine(line))
          assert.match(texts.join('\n'), means)
          if (step !== 'start') assert.doesNotMatch(texts.join(), /slug/) // the start was answered
        })
      }

const rowsFor = (line: program.Line, config: program.Config = PROXIED) =>
  sectionsFor(line, config).flatMap(([who, at, ...rows]) => rows.map((row) => ({ who, at, row })))
const [anyLine = assert.fail()] = LINES
const ROWS = rowsFor(anyLine)

test('every row of the list, and every recording of a failure, is chosen by a case', () => {
  const chosen = LINES.map((line) => {
    const row = meaningOf(line, PROXIED)
    return rowsFor(line).findIndex((each) => isDeepStrictEqual(each.row, row))
  })
  const rows = ROWS.filter((_, index) => !chosen.includes(index))
  const gots: unknown[] = CASES.flatMap(([, , ...cases]) => cases.flat())
  const files = FILES.filter((name) => !gots.includes(name.replace('.json', '')))
  assert.deepEqual([rows, files.sort()], [[], ['logout.json', 'success.json']])
})

test('each group ends in a row that always matches', () => {
  for (const who of new Set(ROWS.map((each) => each.who))) {
    const last = ROWS.findLast((each) => each.who === who)
    assert.deepEqual([last?.at, last?.row[0]], ['any step', {}], who)
  }
})

test('each error fits into 62 characters and each hint into 68, without a full stop', () => {
  const { mistakes } = readConfig({ IDENT: '"\u200b' }, 'PASS=\u200b#\n')
  const config = { ...PROXIED, mistakes }
  for (const { row } of ALL_STEPS.flatMap((step) => rowsFor({ ...anyLine, step }, config))) {
    const [, , fault, ...hints] = row
    assert.match(fault, /^.{1,61}[^.]$/)
    for (const hint of hints) assert.match(hint, /^.{1,67}[^.]$/)
  }
})

// ---- The words of a row choose nothing where anybody can write them

/** What the list knows of Ory's words, and what else it could take for hers. */
const WORDS = [/4000006: A\./, /session_aal2_required/, /400 active:password 4010011/, /^409$/]
for (const { who, row } of ROWS)
  for (const { says } of who === 'ory' ? [row[0]].flat() : []) if (says) WORDS.push(says)
const RIGHT = { active: 'password' }
type Make = (status: number, text: string) => Answer
// biome-ignore format: a table
const PLACES: readonly [place: string, Step | readonly Step[], Make][] = [
  ['a page', ALL_STEPS, page],
  ['a text', ALL_STEPS, answer],
  ['JSON of others', ALL_STEPS, (status, message) => answer(status, { message })],
  ['details', ALL_STEPS, (status, details) => error(status, 'A.', { details })],
  ['a second JSON', ALL_STEPS, (status, text) => answer(status, `{}\n${JSON.stringify({ text })}`)],
  ['a message of a webhook', 'submit', (status, text) => form(123, text, {}, status)],
  ['one after login', 'submit', (status, text) => form(0, text, RIGHT, status)],
  ['a label', 'submit', (status, text) => formOf({ nodes: [{ meta: { text } }] }, {}, status)],
]
for (const [place, steps, make] of PLACES)
  for (const says of WORDS)
    test(`a text with ${says} chooses no row in ${place}`, () => {
      const texts = ['Hello', ...fc.sample(fc.stringMatching(says), { seed: 1, numRuns: 2 })]
      for (const step of [steps].flat())
        for (const status of [200, 302, 400, 401, 403, 404, 410, 422, 500, 502]) {
          const lines = texts.map((text) => read(step, make(status, text)))
          const [usual, ...rows] = lines.map((line) => meaningOf(line, PROXIED))
          for (const row of rows) assert.deepEqual(row, usual, `${step} ${status} ${texts}`)
        }
    })

// ---- The reader: a reply in, a line out

const HEADERS = { 'ory-error-id': 'b', 'cf-ray': '8f0a' }
const NAMES =
  'title detail Message msg error_msg description error_description error reason faultstring text'
// biome-ignore format: a table
const READ: readonly [line: string, ...replies: Answer[]][] = [
  // Ory's errors and messages: ids, texts as sentences, nothing twice, no label and no value
  ['ory submit 418 a b: A; B. C', error(418, 'A', { id: 'a', message: 'B. ', text: 'C' }, HEADERS)],
  ['ory start 418 b: A', error(418, 'A', { id: 'b', message: 'A' }, HEADERS)],
  ['ory logout 418: A.', error(418, 'A.', { id: '' }, { 'ory-error-id': '' })],
  ['ory start 400 error.code:500: A.', error(400, 'A.', { code: 500 })],
  ['ory start 404 then:flow: Unable to locate the resource', recorded('before-hook-refused')],
  ['ory submit 400 7 8 9: One. Two.', formOf({ messages: [{ id: 7, text: 'One.' }, { id: '8' }],
    nodes: [{ messages: [{ id: 9, text: 'Two.' }], attributes: { title: 'A' } }] })],
  ['ory submit 400 active:password 0: A.', form(0, 'A.', RIGHT)],
  ['ory submit 400 1: Access credentials are', form(1, 'Access credentials are')],
  ['ory submit 400 1: A.', form(1, 'A.', { active: 'oidc' }), form('1')],
  ['ory submit 400: JSON without an error message', answer(400, '{"ui":5}\n{}')],
  ['ory submit 200: its fault', answer(200, RIGHT), answer(200, { session: {} }),
    answer(200, { session_token: 5 }), answer(200, { identity: 'A' })],
  ['other start 200: a page titled "Request Rejected"', page(200, 'Request Rejected')],
  ['other start 200: JSON that breaks off', answer(200, '{"id": "a')],
  // pages, texts and JSON of others; an id of Cloudflare's; no text of a 200, a token maybe
  ['other start 404: a page titled "Nope & no" (cf-ray 8f0a)', page(404, 'Nope & no', HEADERS)],
  ['other start 403: a page titled "A"', answer(403, '<p><h1>A</h1>'), answer(403, '<h2 b>A</h2>'),
    answer(403, '<Error><Message>A</Message>')],
  ['other start 404: an untitled page', answer(404, ' <p>Secret</p>')],
  ['other logout 418: I am a teapot.', answer(418, '\nI am \t a\r\nteapot.\n')],
  ['other start 302: an empty body', answer(302, ' \n', { location: 'http://' }),
    answer(302, '', { location: '/a\\b' }), answer(302)],
  ['other start 300: an empty body', answer(300, '', { location: '/a' })],
  ['other logout 200: no JSON', answer(200, TOKEN)],
  ['other start 502: JSON that breaks off', answer(502, ' {"a": 1')],
  ['other start 502: malformed JSON', answer(502, '{"a": 1', { 'content-length': 7 })],
  [`other start 409: ${NAMES.replaceAll(' ', '; ')}`,
    answer(409, Object.fromEntries(NAMES.split(' ').map((name) => [name, name])))],
  ['other start 409: No. Twice.', answer(409, { errors: [{ title: 'No.', detail: 'Twice.' }] })],
  ['other start 409: No.', answer(409, { fault: { faultstring: 'No.', detail: { code: 'a' } } })],
  ['other start 418: JSON without an error message', answer(418, { subtitle: 'A', details: 'A' }),
    answer(418, { session: null, ids: [...Array(1000).fill({}), { title: 'A' }] })],
  ...[429, 503].map((code): [string, Answer] => [`other start ${code}: A.`, error(code, 'A.')]),
  ['other start 401: A.', error(401, 'A.', {}, { 'www-authenticate': 'Basic' }),
    error(401, 'A.', { id: 'a', code: '401' }), error(401, 'A.', { status: 'UNAUTHENTICATED' })],
  ['other start 403 firewall: an untitled page', answer(403, '<a _Incapsula_>')],
  ...['cf-mitigated', 'x-vercel-mitigated', 'x-amzn-waf-action'].map((name): [string, Answer] =>
    ['other start 403 firewall: A.', error(403, 'A.', {}, { [name]: 'challenge' })]),
  ...['Access credentials are', 'url does not match any rules', 'found multiple rules',
    'The request could not be authorized', 'The requested resource could not be found',
  ].map((text): [string, Answer] => [`other start 403: ${text}`, error(403, text)]),
  ['other start 404 error.code:-1: A', error(404, 'A', { code: -1 })],
]
for (const [line, ...replies] of READ)
  for (const reply of replies)
    test(`${brief(reply)} becomes ${line}`, () => {
      const step = ALL_STEPS.find((each) => line.includes(` ${each} `)) ?? assert.fail(line)
      const fault = reply.status === 200 && step !== 'logout' ? 'its fault' : ''
      assert.equal(harness.writeLine(read(step, reply, fault)), line)
    })

const PATH = STEPS.start.path
// biome-ignore format: a table
const REDIRECTS: readonly [from: string, location: string, newBaseUrl: string, kind: string][] = [
  [HOST, `https://127.0.0.1${PATH}`, 'https://127.0.0.1', ', the same host with https'],
  [HOST, 'https://127.0.0.1/b', 'https://127.0.0.1', ', the same host with https'],
  [HOST, `http://127.0.0.1:1${PATH}`, 'http://127.0.0.1:1', ', the same path at another port'],
  [HOST, `https://o.example${PATH}?q#x`, 'https://o.example', ', the same path at another address'],
  [HOST, `http://o.example/a${PATH}`, 'http://o.example/a', ', the same path at another address'],
  [HOST, `/.ory${PATH}`, `${HOST}/.ory`, ', the same path at another address'],
  ['https://o.example', `http://o.example${PATH}`, 'http://o.example', ''],
  [HOST, PATH, HOST, ''], [HOST, 'http://a:b@o.example/c?d#e', 'http://o.example', ''],
]
for (const [from, location, newBaseUrl, kind] of REDIRECTS)
  test(`a redirect from ${from} to ${location} is told`, () => {
    const line = read('start', answer(302, '', { location }), '', { ...DIRECT, baseUrl: from })
    const { origin, pathname } = new URL(location, from)
    assert.equal(line.said, `it points to ${origin}${pathname}${kind}`)
    assert.equal(line.newBaseUrl, newBaseUrl)
  })

// ---- Whole runs

const CUT = 'UND_ERR_SOCKET: other side closed'
const cut: harness.Behaviour = (_, { socket }) => void socket?.destroy()
// biome-ignore format: a table
const RUNS: readonly [Step, ...(Answer | string)[]][] = [
  ['start', 'before-hook-refused', error(500, 'A'), error(404, 'A'), page(404), page(403),
    page(503)],
  ['submit', 'wrong-password', 'unknown-flow', 'hook-failed', page(404), page(500), page(408)],
  ['whoami', 'invalid-token', 'aal2-required', error(502, 'A'), error(403, 'A'),
    error(400, 'A', { code: 500 }), page(404), page(403), page(503)],
  ['logout', 'logout-unknown-token', error(500, 'A'), page(404), page(403), page(503)],
]
describe('a whole run ends as its line says, and is tried as often', { concurrency: 12 }, () => {
  for (const [step, ...replies] of RUNS)
    for (const each of [...replies, cut]) {
      const reply = typeof each === 'string' ? recorded(each) : each
      const isCut = typeof reply === 'function'
      const line = isCut ? parseLine('nobody', step, CUT) : read(step, reply)
      const [, exit, fault] = meaningOf(line, DIRECT)
      test(`${harness.writeLine(line).slice(0, 100)}: ${exit}`, async (t) => {
        const { ory, ...outcome } = await login(t, { [step]: reply }, {}, '--logout', '--json')
        assertFailed(outcome, Number.parseInt(`${exit}`, 10), step)
        const told = JSON.parse(outcome.stdout)
        const seen = [told.answered_by, told.got, step === 'logout' ? told.hints[0] : told.error]
        assert.deepEqual(seen, [line.who, show(harness.gotOf(line), []), fault])
        assert.equal(told.error.startsWith('the login is verified, but'), step === 'logout')
        assert.equal(ory.count(step), typeof exit === 'string' ? 3 : 1)
        assert.equal(
          harness.reportOf(outcome).logId,
          isCut ? '' : `x-request-id ${told.request_id}`,
        )
      })
    }
})

test('the recorded login is verified, even if whoami refuses its session once', async (t) => {
  const [refusals, replay] = [[recorded('invalid-token')], harness.replay('success')]
  const answers: harness.Behaviour = (seen, response) =>
    (harness.stepOf(seen) === 'whoami' && refusals.pop()) || replay(seen, response)
  const ory = await harness.startOry(t, answers)
  assertVerified(await harness.run(harness.credentials(ory)), /^ory-login: note: .*got 401; .*\n$/)
  assert.deepEqual(ory.seen.map(harness.stepOf), [...LOGIN_STEPS, 'whoami'])
})

test('each request goes below the path of BASE_URL, with one id and no cookie', async (t) => {
  const flow = 'a&b=c/../?#ä %41+\r\nx-evil: 1😀'
  const body = { id: flow, ui: { action: 'http://127.0.0.1:2/self-service/login', method: 'PUT' } }
  const start = answer(200, body, { 'set-cookie': 'csrf_token_1=a; Path=/' })
  const ory = await harness.startOry(t, at({ start }))
  const env = { ...harness.credentials(ory), BASE_URL: ` ${ory.url}/a/b// ` }
  assertVerified(await harness.run(env, '--logout'))
  const id = String(ory.seen[0]?.headers['x-request-id'])
  assert.match(id, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
  for (const [index, { path, headers, body }] of ory.seen.entries()) {
    const step = ALL_STEPS[index] ?? assert.fail(path)
    const query = step === 'submit' ? `?${new URLSearchParams({ flow })}` : ''
    assert.equal(path, `/a/b${STEPS[step].path}${query}`)
    const { accept, cookie, 'x-request-id': own, 'accept-encoding': coding } = headers
    assert.deepEqual([accept, cookie, own, coding], ['application/json', undefined, id, 'identity'])
    assert.equal(headers['content-type'], body ? 'application/json' : undefined)
    assert.equal(headers['x-session-token'], step === 'whoami' ? TOKEN : undefined)
    assert.equal(headers['user-agent'], `ory-login/${VERSION}`)
  }
})

// ---- What is green, and what is never

type Answers = Parameters<typeof at>[0]
const submit = (changes: object) => ({ submit: answer(200, bodyOf('submit', changes)) })
const whoami = (changes: object) => ({ whoami: answer(200, bodyOf('whoami', changes)) })

for (const id of ['1', 'auth0|5f7c8e', 'Zoë:Ärger/7', 'a space', '😀', 'x'.repeat(200)])
  test(`verified is the identity ${id}, whether the login told it or not`, async (t) => {
    for (const identity of [{ id }, null, undefined]) {
      const told = submit({ session: { id: SESSION, identity } })
      const { code, stdout } = await login(t, { ...told, ...whoami({ identity: { id } }) })
      assert.deepEqual([code, stdout], [0, TWO_LINES.replace(IDENTITY, id)])
    }
  })

for (const length of [1, 14, 15, 16, 20, 38, 39, 40, 4096])
  test(`of a token of ${length}, at most 24 characters are shown, and 15 are not`, async (t) => {
    const session_token = 'A1b2C3d4E5f6G7h8I9j0'.repeat(205).slice(0, length)
    const { code, stdout } = await login(t, submit({ session_token }))
    const shown = session_token.slice(0, Math.max(0, Math.min(24, length - 15)))
    assert.deepEqual([code, stdout], [0, TWO_LINES.replace(/ory_st_\w+/, shown)])
  })

const ODD = ['', 5, null, undefined, ['a'], { id: 'a' }, true, '\ud800']
const ODD_TOKENS = [...ODD, ' ', 'a b', 'a\r\nx-evil: 1', '\0', 'tokenĀ', '😀', 'x'.repeat(4097)]
const ODD_IDENTITIES = ['text', IDENTITY, [IDENTITY], 5, true, []]
const UNPRINTABLE = [' ', '\n', 'a\nb', 'a\0b', 'a\u001b[31mb', 'a\u202eb', 'a\u2028b']
const noOwner = submit({ session: { id: SESSION } })
type Never = readonly [Step, says: RegExp, make: (odd: unknown) => Answers, odds: unknown[]]
// biome-ignore format: a table
const NEVER_GREEN: readonly Never[] = [
  ['start', /no id of a flow/, (id) => ({ start: answer(200, { id }) }), ODD],
  ['submit', /no session_token/, (session_token) => submit({ session_token }), ODD_TOKENS],
  ['submit', /no session\.id/, (id) => submit({ session: { id } }), ODD],
  ['submit', /session\.id, so/, (session) => submit({ session }), [undefined, null, {}, 'a', 5]],
  ['submit', /no session\.identity/, (identity) => submit({ session: { id: SESSION, identity } }),
    [...ODD_IDENTITIES, false, {}, { id: '' }, { id: 5 }, { id: null }]],
  ['whoami', /200: active: /, (active) => whoami({ active }), [false, 'true', 1, null, [true], {}]],
  ['whoami', /no identity whose id/, (identity) => ({ ...noOwner, ...whoami({ identity }) }),
    [...ODD_IDENTITIES, null, undefined, ...[...ODD, ...UNPRINTABLE].map((id) => ({ id }))]],
  ['whoami', /identity \S+ instead of ffa60abd/, (id) => whoami({ identity: { id } }),
    ['b', IDENTITY.toUpperCase()]],
  ['whoami', /instead of 5e8a6878/, (id) => whoami({ id }), [...ODD, 'b', SESSION.toUpperCase()]],
  ['whoami', /session older instead of/, (id) => ({ ...noOwner, ...whoami({ id }) }), ['older']],
  ...LOGIN_STEPS.map((step): Never => {
    const sound = JSON.stringify(SUCCESS[step].body)
    const make = (odd: unknown) =>
      ({ [step]: answer(200, odd, { 'content-length': Buffer.byteLength(`${odd}`) }) })
    return [step, /got +200: /, make, ['', ' ', '[]', '{}', '"text"', 'null', '5', 'true', '<p>',
      "{'id': 1}", '{"id": "a', `[${sound}]`, `${sound}\n{}`, `${sound} x`]]
  }),
  ...ALL_STEPS.map((step): Never => [step, /got +2\d\d: /,
    (status) => ({ [step]: { ...SUCCESS[step], status: Number(status) } }),
    [201, 202, 203, 205, 206, 226, step === 'logout' ? 200 : 204]]),
]
for (const [step, says, make, odds] of NEVER_GREEN)
  for (const odd of odds)
    test(`not green: ${step} ${says}: ${brief(odd)}`, async (t) => {
      assertFailed(await login(t, make(odd), {}, '--logout'), 1, step, says)
    })
