/** What answers mean: every row of the table of meanings, and whole runs that are green or not. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { describe, test } from 'node:test'
import { Headers } from 'undici'
import type * as program from '../src/ory-login.ts'
import * as ory from '../src/ory-login.ts'
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
  reportOf,
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

/** What somebody else says in JSON. */
const json = (status: number, body: object, headers = {}): Answer => ({ status, headers, body })
const plain = (status: number, body: string, headers = {}): Answer => ({ status, headers, body })

/** What the program reads of an answer; or of `code: text`, where there was none. */
function read(came: Answer | string): program.Reply {
  if (typeof came === 'string') {
    const [name = '', text = ''] = came.split(': ')
    const isProxys = name.startsWith('PROXY ')
    return { status: 0, headers: new Headers(), text, code: name.replace('PROXY ', ''), isProxys }
  }
  const { status, headers = {}, body } = came
  const all = Object.entries(headers).map(([name, value]): [string, string] => [name, `${value}`])
  const text = typeof body === 'string' ? body : (JSON.stringify(body) ?? '')
  const [first = '', ...more] = text.trim().split('\n')
  const parsed = first.startsWith('{') ? { json: JSON.parse(first), hasMore: more.length > 0 } : {}
  return { status, headers: new Headers(all), text, code: '', ...parsed }
}

/** Judges it without a socket, after a login as recorded. */
function judge(step: Step, came: Answer | string, env = {}, isConnected = false) {
  const config = ory.readConfig({ BASE_URL: 'http://127.0.0.1:1', IDENT, PASS, ...env }, '')
  const session = { id: SESSION, identity: { id: IDENTITY } }
  const run = {
    config: { ...config, timeoutMs: 1 },
    login: { session_token: TOKEN, session },
    isStale: false,
    isConnected: () => isConnected,
  }
  const evidence = ory.readReply(run, step, read(came))
  const row = ory.meaningOf(evidence)
  const [, exit, error, hints, tries = 1] = row
  const told = [typeof hints === 'function' ? hints(evidence) : hints].flat()
  return { ...evidence, row, exit, tries, error, says: [error, ...told].join('\n') }
}

// ---- The tables: what comes, the exit code, how often it is tried, and what it is said to mean

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
  'hook-unreachable': [4, 1, /password is right.*hook after login.*failed/],
  'inactive-identity': [3, 1, /identity is disabled/],
  'invalid-token': [1, 2, /refused the session token.*revoke_active_sessions/s],
  'logout-unknown-token': [1, 1, /not know this session.*another login/s],
  'migration-hook-failed': [4, 1, /password migration hook failed/],
  'no-verifiable-address': [3, 1, /setting of the project/],
  'password-method-disabled': [3, 1, /password method is off/],
  'unknown-flow': [1, 1, /not know the flow/],
  'unknown-identifier': [3, 1, /wrong password or unknown identifier/],
  'unverified-address': [3, 1, /address is not verified/],
  'wrong-password': [3, 1, /IDENT \(from the env.*PASS \(from .*has a password.*Ory's logs/s],
  'wrong-path': [1, 1, /no Ory project at BASE_URL/],
}

const PATH = STEPS.start.path
const LATER = ['submit', 'whoami', 'logout'] as const
const HTTPS = { BASE_URL: 'https://o.example' }
const PREFIX = { BASE_URL: 'http://127.0.0.1:1/a/b' }
const PROXIED = { ...HTTPS, HTTPS_PROXY: 'http://proxy.example:3128' }
const PROXIED_HTTP = { BASE_URL: 'http://o.example', http_proxy: 'http://proxy.example:3128' }
const TRUSTING = { ...HTTPS, NODE_EXTRA_CA_CERTS: 'authority.pem' }
/** Google words its errors much as Ory does. */
const google = (code: number, status: string) => error(code, '', { status, message: 'No.' })
const BASIC = { 'www-authenticate': 'Basic' }
const RIGHT = { active: 'password' }
const LOST = 'Unable to locate the resource'
const LABEL = { attributes: { value: 4000006 }, meta: { label: { id: 4000006, type: 'info' } } }
const RAY = { 'cf-ray': '8f0a-FRA' }
const WAF = (action: string) => ({ 'x-amzn-waf-action': action })
const CLOUDFLARE = { cloudflare_error: true, type: 'https://developers.cloudflare.com/' }

// biome-ignore format: a table
const TABLE: readonly Cases[] = [
  // Ory, at the start
  ['start', [two(502), two(504), two(400, 500), two(500)], 4, 1, /hook before login failed/],
  ['start', error(400, 'No.', { id: 'session_already_available' }), 1, 1, /proxy before Ory/],
  ['start', error(500, 'ERROR: no such table: selfservice_login_flows'), 4, 1, /SQL migrations/],
  ['start', error(500, 'No.'), 4, 1, /Ory failed;.*nothing about the credentials.*logs(?!.*slug)/s],
  // Ory, at the submit
  ['submit', form(4000010), 3, 1, /address is not verified/],
  ['submit', form(4000010, 'As Kratos v1.3.1.', RIGHT), 3, 1, /address is not verified/],
  ['submit', form(4010011), 3, 1, /identity is disabled/],
  ['submit', ['I[#/traits] S[#/properties/traits/required] missing properties: "a"',
    'I[#] S[#/additionalProperties] not allowed'].map((text) => form(4000001, text, RIGHT)), 3, 1,
    /password is right.*identity schema.*traits/s],
  ['submit', [form(4000001, '', RIGHT), form(4000001, '')], 4, 1, /could not save.*conflict/s],
  [ALL_STEPS, [error(409, 'That value exists already.'),
    error(400, 'No.', { message: 'Unable to serialize access due to a concurrent update' })], 4, 1,
    /a conflict in Ory's database.*try again later/s],
  ['submit', [field(0, 'A.', RIGHT), form(4000006, 'A.', RIGHT), form(4000001, 'A.', RIGHT)], 3, 1,
    /is right.*hook.*refused/],
  ['submit', form(4000037), 3, 1, /unknown identifier/],
  ['submit', form(4000038), 3, 1, /captcha.*switch.*off/s],
  ['submit', form(4010002), 1, 1, /not get the request as it was sent.*proxy.*content type/s],
  ['submit', [4000003, 5000002, 5000003].map((id) => form(id)), 3, 1, /with a password alone/],
  ['submit', form(1010014, 'A code.', {}, 'info'), 3, 1, /not a login with a password alone/],
  ['submit', error(422, 'No.', { id: 'browser_location_change_required' }), 1, 1, /a browser/],
  ['submit', error(403, 'No.', { id: 'security_csrf_violation' }), 1, 1, /another path.*rewrites/s],
  ['submit', [error(400, 'The flow query parameter is missing or malformed.'),
    form(4000001, 'The "Cookie" key was included.')], 1, 1, /as it was sent.*query.*cookie/s],
  ['submit', error(500, 'A misconfiguration prevents login.'), 3, 1, /setting of the project/],
  ['submit', error(502, 'calling the password migration hook failed'), 4, 1, /migration hook/],
  ['submit', [error(504, 'No.', { message: 'webhook failed with status code 403' }),
    error(504, 'A third-party upstream service responded improperly.'),
    error(400, 'webhook response could not be unmarshalled', { code: 500 })], 4, 1,
    /password is right.*hook after login failed/],
  ['submit', [error(500, 'table identities has no column named organization_id'),
    error(500, 'Unable to locate the table'), error(500, 'No.', { message:
    'Unable to locate the column' }), error(500, 'column identities.x does not exist')], 4, 1,
    /newer than its database.*migrate sql/s],
  ['submit', [error(500, 'database is locked'), error(400, 'No.', { code: 500 }),
    error(502, 'No.'), error(504, 'No.')], 4, 1,
    /Ory failed;.*nothing about the credentials/],
  ['submit', [form(123), field('0')], 3, 1, /refused this login, in its own words/],
  // Ory, at whoami and the log out
  ['whoami', [whoami({ active: false }), whoami({ identity: {} }), whoami({ id: 'older' }),
    whoami({ identity: { id: 'b' } })], 1, 1, /not confirm the session.*cache/s],
  ['whoami', error(401, 'No.'), 1, 2, /refused the session token.*strip.*another login.*replica/s],
  ['whoami', error(403, 'No.', {}, named('session_aal2_required')), 3, 1, /second factor/],
  ['logout', error(400, 'Unable to decode HTTP Request Body because its HTTP Header ' +
    '"Content-Length" is zero.'), 1, 1, /without its body.*drops the body of a DELETE/s],
  [['whoami', 'logout'], error(403, 'session_aal2_required'), 1, 1, /not what Ory's API promises/],
  [LOGIN_STEPS, [SUCCESS.start, SUCCESS.submit, SUCCESS.whoami].map(({ body }) =>
    plain(200, `${JSON.stringify(body)}\n{}`)), 1, 1, /follows Ory's answer|confirm/],
  // before Ory: gateways that want credentials, firewalls, rate limits
  [ALL_STEPS, [plain(401, 'Jwt is missing'), json(401, { message: 'No API key found in request' }),
    plain(401, 'Invalid IAP credentials: empty token'), error(401, 'A.', {}, BASIC),
    page(401, 'A', BASIC), page(511, 'Log in to this Wi-Fi'), google(401, 'UNAUTHENTICATED'),
    error(401, 'Access credentials are invalid'),
    error(403, 'Access credentials are not sufficient')], 1, 1, /gateway.*credentials of its own/],
  [ALL_STEPS, [error(404, 'Requested url does not match any rules'),
    error(500, 'Expected exactly one rule but found multiple rules')], 1, 1, /Oathkeeper.*rule/],
  [ALL_STEPS, [page(403, 'Reference #18.4000006.1695'), plain(403, 'RBAC: access denied'),
    json(403, { message: 'Forbidden' }), json(403, { error: 'banned' }), page(406, 'No'),
    plain(451, ''), page(200, 'Request Rejected'), plain(200, '<a _Incapsula_Resource>'),
    plain(429, '', { 'x-vercel-mitigated': 'challenge' }), google(403, 'PERMISSION_DENIED'),
    error(403, 'No.', {}, { 'cf-mitigated': 'challenge' }), plain(202, '', WAF('challenge')),
    plain(405, '', WAF('captcha')), json(403, { ...CLOUDFLARE, title: 'Error 1020: Access denied',
      status: 403, error_code: 1020 }, RAY), plain(403, 'error code: 1020')], 4, 1,
    /firewall.*did not judge it/],
  [ALL_STEPS, [{ status: 429 }, error(429, 'No.'), json(429, { message: '1000 a day' })], 4, 3,
    /rate limit.*CI runners share addresses.*counts against the login limit/s],
  ['start', [json(403, { ...CLOUDFLARE, error_code: 1014, title: 'Error 1014: CNAME Cross-User' }),
    page(403, 'CNAME Cross-User Banned | acme'), plain(403, 'error code: 1000'),
    plain(409, 'error code: 1014')], 1, 1,
    /custom domain.*CNAME record/s],
  [ALL_STEPS, json(403, { message: 'Missing Authentication Token' }), 1, 1, /no route for/],
  // before Ory: redirects, caches, TLS, other services
  ['start', [to(`https://127.0.0.1${PATH}`, 301), to('https://127.0.0.1/', 308)], 1, 1,
    /BASE_URL to https:\/\/127\.0\.0\.1(?![/:])/],
  ['start', to(`https://o.example${PATH}?q#x`), 1, 1, /BASE_URL to https:\/\/o\.example(?![/:])/],
  ['start', to(`http://o.example/a/b${PATH}`), 1, 1, /to http:.*example\/a\/b(?!\/)/, PREFIX],
  ['start', to(`https://127.0.0.1/a/b${PATH}`), 1, 1, /to https:.*\.1\/a\/b(?!\/)/, PREFIX],
  ['start', [to(`http://o.example${PATH}`), to('http://o.example')], 1, 1, /^(?!.*http:)/s, HTTPS],
  ['start', to(`/admin${PATH}`, 307), 1, 1, /admin API.*4433/s],
  ['start', to(`/.ory${PATH}`, 307), 1, 1, /set BASE_URL to http:\S+\/\.ory /],
  ['start', [to('/login'), to('https://sso.example/x', 303), to(PATH), { status: 302 },
    to('https://acme.cloudflareaccess.com/cdn-cgi/access/login'), to('http://'),
    to('mailto:a@b.example')], 1, 1, /redirect.*gateway.*let \/se.*BASE_URL to the public API/s],
  [LATER, to(`https://o.example${STEPS.submit.path}`, 307), 1, 1, /redirect.*not followed/],
  [['start', 'whoami'], [{ status: 304 }, to('/else', 304)], 1, 1, /a cache answers/],
  ['start', [plain(400, 'Client sent an HTTP request to an HTTPS server.\n'),
    page(400, '400 The plain HTTP request was sent to HTTPS port'), page(400, 'Bad Request'),
    plain(400, 'This combination of host and port requires TLS.')], 1, 1, /may need https:\/\//],
  ['start', plain(426, 'Upgrade Required'), 1, 1, /may need https:\/\//],
  [['start', ...LATER], plain(400, 'Bad Request'), 1, 1, /answer is not Ory's/, HTTPS],
  [LATER, plain(400, 'Bad Request'), 1, 1, /answer is not Ory's(?!.*https:)/s],
  ['start', [page(404, 'Nope'), error(404, LOST), error(404, 'project not found'),
    json(404, { error: { code: '404', message: 'The page could not be found' } }),
    json(404, { message: 'no Route matched with those values' }),
    json(404, { jsonrpc: '2.0', error: { code: -32601, message: 'Method not found' } })], 1, 1,
    /no Ory project.*slug.*prefix/s],
  ['start', [page(200, 'Welcome'), json(200, { message: 'ok' }), plain(201, 'ok'), ok({ id: 5 })],
    1, 1, /website or an app answers/],
  [LATER, [page(404), plain(404, 'default backend - 404'), page(200, 'Welcome'), plain(200, ''),
    json(200, { message: 'ok' }), json(404, { status: 404, error: 'Not Found' })], 1, 1,
    /path, or .* not routed to Ory.*route [A-Z]+ \/se\S+ to Ory(?!.*active)/s],
  [ALL_STEPS, [page(405), json(405, { status: 405, error: 'Method Not Allowed' })], 1, 1,
    /or this method, is not routed.*route [A-Z]+ \/se/s],
  [ALL_STEPS, [page(408, '408 Request Time-out'), plain(425, 'Early')], 4, 3, /timed out waiting/],
  ['start', [page(503), error(503, 'No.'), error(502, 'No.'), plain(530, 'error code: 1016'),
    json(522, { ...CLOUDFLARE, title: 'Error 522: Connection timed out', status: 522 })], 4, 3,
    /no Ory behind it.*slug/s],
  [LATER, [page(502), plain(503, 'upstream connect error'), error(503, 'No.'), page(521),
    json(504, { message: 'Endpoint request timed out' })], 4, 3, /no Ory behind it.*began well/s],
  [['whoami', 'logout'], [error(502, 'No.'), error(504, 'No.')], 4, 3, /no Ory behind it/],
  [ALL_STEPS, [page(500), plain(500, 'Fastly error: unknown domain'), json(501, {})], 4, 1,
    /before Ory failed.*nothing about the credentials/],
  ['submit', [page(404, LOST), plain(404, '4000006')], 1, 1, /path, or .*not routed/],
  ['submit', formWith({ nodes: [LABEL] }), 1, 1, /not what Ory's API promises/],
  [ALL_STEPS, [plain(418, 'I am a teapot.'), json(410, { message: 'gone' })], 1, 1, /is not Ory's/],
  // the proxy
  ['start', 'PROXY 403|PROXY 407|PROXY UND_ERR_INVALID_ARG: odd', 4, 1, /refuses.*HTTPS_PROXY/s,
    PROXIED],
  ['whoami', 'PROXY 502|PROXY 503|PROXY 504', 4, 3, /answers, but could not connect/, PROXIED],
  ['submit', 'PROXY ECONNREFUSED: no|PROXY 400', 4, 3, /proxy cannot be reached.*http_proxy/s,
    PROXIED_HTTP],
  ['start', 'PROXY SELF_SIGNED_CERT_IN_CHAIN: no', 4, 1, /proxy's certificate is not trusted/,
    PROXIED],
  // nobody
  ['start', 'ECONNREFUSED: refused', 4, 3, /nothing listens.*host and port/s],
  ['start', 'ECONNRESET|EPIPE|UND_ERR_SOCKET: other side closed', 4, 3, /was cut.*https:\/\//s],
  ['start', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH|HTTPParserError: Invalid EOF state', 4, 3, /cut/],
  ['start', 'ECONNRESET: cut', 4, 3, /was cut.*client certificate(?!.*BASE_URL)/s, HTTPS],
  [LATER, 'ECONNREFUSED|ECONNRESET|EPIPE|UND_ERR_SOCKET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|' +
    'ENOTFOUND|EAI_AGAIN|HTTPParserError: Invalid EOF state', 4, 3,
    /went away.*memory(?!.*(BASE|host|DNS|https:))/s],
  ['start', 'EAI_AGAIN: getaddrinfo', 4, 3, /cannot be looked up/],
  ['start', 'ENOTFOUND: getaddrinfo', 4, 1, /no host with the name/],
  ['start', 'TIMEOUT: nothing complete', 4, 1, /no connection was made.*TLS.*firewalls/s],
  ['start', 'TIMEOUT: nothing complete', 4, 1, /proxy in HTTPS_PROXY, or Ory behind it/, PROXIED],
  [LATER, 'TIMEOUT: nothing complete', 4, 1, /answered the first step.*hooks.*hashes.*database/s],
  ['start', 'ETIMEDOUT|EHOSTUNREACH|ENETUNREACH', 4, 3, /cannot be reached/],
  ['start', 'CERT_HAS_EXPIRED|CERT_NOT_YET_VALID', 4, 1, /certificate has expired.*clock/s],
  ['start', 'ERR_TLS_CERT_ALTNAME_INVALID', 4, 1, /certificate.*for another name/],
  ['start', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 4, 1, /intermediate one may be.*PEM/s, HTTPS],
  ['start', 'DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN', 4, 1,
    /not trusted.*set NODE_EXTRA_CA_CERTS/s, HTTPS],
  ['start', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 4, 1, /CERTS is set, but not to/, TRUSTING],
  ['start', 'INVALID_PURPOSE|UNSPECIFIED|INVALID_CA|CERT_REVOKED|CERT_SIGNATURE_FAILURE|' +
    'PATH_LENGTH_EXCEEDED', 4, 1, /a fault in the server's certificate/, HTTPS],
  ['start', 'ERR_SSL_WRONG_VERSION_NUMBER|ERR_SSL_PACKET_LENGTH_TOO_LONG', 4, 1,
    /not speak TLS.*http:\/\//s, HTTPS],
  ['start', 'ERR_SSL_WRONG_VERSION_NUMBER', 4, 1, /not speak TLS.*proxy(?!.*http:)/s, PROXIED],
  ['start', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION|ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL|' +
    'ERR_SSL_UNSUPPORTED_PROTOCOL|ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE|EPROTO|' +
    'ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE|ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 4, 1,
    /handshake failed.*client certificate.*TLS 1\.2(?!.*http:)/s, HTTPS],
  [LATER, 'HTTPParserError: Expected|BODY_TOO_LARGE', 1, 1, /not valid HTTP(?!.*BASE_URL)/s],
  ['start', 'HTTPParserError: Expected|UND_ERR_HEADERS_OVERFLOW|BODY_TOO_LARGE', 1, 1,
    /not valid HTTP, or too large/],
  ['start', 'Error: bad port', 4, 1, /request failed.*BASE_URL, and whether .* its port/s],
  [LATER, 'ENEVERSEEN: odd', 4, 1, /request failed(?!.*BASE_URL)/s],
  [ALL_STEPS, 'ENEVERSEEN: odd|Error: bad port|Z_DATA_ERROR|TypeError: fetch failed', 4, 1,
    /request failed.*407/s],
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
    assert.ok(step === 'start' || !/slug/.test(judged.says), told) // the start found the project
  }
})

test('a time-out at the start says whether a connection stood', () => {
  const { says, exit } = judge('start', 'TIMEOUT: late', {}, true)
  assert.equal(exit, 4)
  assert.match(says, /accepted the connection, but did not answer.*Ory's logs(?!.*DNS)/s)
})

test('a 410 after a start that a cache answered is told so', async (t) => {
  const { submit: expired = assert.fail() } = recorded('expired-flow')
  const past = bodyOf('start', { expires_at: '2020-01-01T00:00:00Z' })
  const future = bodyOf('start', { expires_at: '2999-01-01T00:00:00Z' })
  // biome-ignore format: a table
  const starts: [isCached: boolean, Answer][] = [
    [true, json(200, past)], [true, json(200, future, { age: '60' })], [false, json(200, future)],
    [false, json(200, future, { age: '0' })],
    [false, json(200, { id: 'a' })],
  ]
  for (const [isCached, start] of starts) {
    const outcome = await login(t, { start, submit: expired })
    assertFailed(outcome, 1, 'submit', isCached ? /error: a cache answered/ : /error: the flow/)
  }
})

test('every recording is in the table, but those of what goes well', () => {
  const names = readdirSync(new URL('recordings', import.meta.url)).map((file) => file.slice(0, -5))
  assert.deepEqual(names.sort(), [...Object.keys(RECORDED), 'success', 'logout'].sort())
})

test('every row of the tables is chosen by a case, and begins with at most 100 characters', () => {
  const { ORY, BEFORE_ORY, PROXY, NO_ANSWER } = ory
  const rows = new Set([...Object.values(ORY).flat(), ...BEFORE_ORY, ...PROXY, ...NO_ANSWER])
  for (const [, , error] of rows)
    assert.ok(error.length <= 100 - 'ory-login: error: '.length, error)
  for (const [step, came, , , , env] of CASES) rows.delete(judge(step, came, env).row)
  const chosenAbove = /accepted the connection|a cache answered the start/
  assert.deepEqual(
    [...rows].filter(([, , error]) => !chosenAbove.test(error)),
    [],
  )
})

const ALL_WORDS = `Reference #18.4000006.1695 4000002 4000010 4010011 error.code 500, active: true
  This account was disabled. This endpoint was disabled by system administrator. ${LOST}
  The flow query parameter is missing. Unable to serialize access. no such table. 404 429
  A misconfiguration prevents login. password migration hook failed. session_aal2_required "error"
  webhook failed, giving up after 3 attempt(s), "Content-Length" is zero. invalid_configuration`
/** Where anybody can write: none of it is Ory's word. */
// biome-ignore format: a table
const PLACES: Readonly<Record<string, (status: number, text: string) => Answer>> = {
  'a page': page,
  'a text': plain,
  'a message of a hook': (status, text) => ({ ...form(123, text), status }),
  'a message of a hook after login': (status, text) => ({ ...form(0, text, RIGHT), status }),
  'a message on a field': (status, text) => ({ ...field(123, text, RIGHT), status }),
  'a field and its label': (status, text) =>
    formWith({ nodes: [{ attributes: { value: text }, meta: { label: { text } } }] }, {}, status),
  'JSON of somebody else': (status, text) => json(status, { message: text, error: text }),
  'details of an error': (status, text) => error(status, 'No.', { details: text, status: text }),
  'a second document': (status, text) => plain(status, `{"error":{}}\n"${text}"`),
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
const disabled = error(401, 'This account was disabled.', { message: 'identity is disabled' })
const older = whoami({ id: '91c2d3e4-9439-4b6c-8f6e-3f3a1e1a5e0d' })
// biome-ignore format: a table
const TEXTS: readonly [what: string, Step, Answer, ids: string[], shown: RegExp][] = [
  ['the ids of body and header, reason and message', 'submit',
    error(418, 'A.', { id: 'a', message: 'B.' }, named('b')), ['a', 'b'], /^A\. B\.$/],
  ['nothing twice', 'start', error(418, 'A', { id: 'a', message: 'A' }, named('a')), ['a'], /^A$/],
  ['sentences', 'submit', disabled, [], /^This account was disabled\. identity is disabled$/],
  ['a message alone', 'whoami', json(418, { error: { code: 418, message: 'A.' } }), [], /^A\.$/],
  ['an error.code that differs', 'start', error(400, 'A.', { code: 500 }), [], /error.code 500: A/],
  ['no empty id', 'start', error(418, 'A.', { id: '' }, named('')), [], /^A\.$/],
  ['all messages, and no value', 'submit', formWith(MESSAGES), ['7', '8'], /^One\. Two\.$/],
  ['of a form, not what is active', 'submit', form(0, 'A.', RIGHT), ['0'], /^A\.$/],
  ['of a session, what is active', 'whoami', whoami({ active: 'yes' }), [], /^active: "yes"$/],
  ['of another session, both ids', 'whoami', older, [],
    /^the session 91c2d3e4… instead of 5e8a6878…$/],
  ['of another identity, both ids', 'whoami', whoami({ identity: { id: 'ba' } }), [],
    /^the identity ba instead of ffa60abd…$/],
  ['what follows right JSON', 'whoami', plain(200, `${JSON.stringify(SUCCESS.whoami.body)}\nx`), [],
    /^right JSON, and something else/],
  ['of a page the title', 'start', page(404, 'Nope & no'), [], /^a page titled "Nope & no"$/],
  ['no markup', 'start', plain(404, ' <p>Secret</p>'), [], /^an untitled page$/],
  ['the id of Cloudflare beside a title', 'start', page(403, 'No', RAY), [], /"No" \(cf-ray 8f/],
  ['and beside a text', 'start', plain(404, '404 page not found\n', RAY), [], /^404.* \(cf-ray/],
  ['the words of problem+json', 'start', json(403, { type: 'x', title: 'T.', status: 403,
    detail: 'D.', instance: '/i' }), [], /^T\. D\.$/],
  ['the number of Cloudflare', 'start', json(409, { ...CLOUDFLARE, title: 'T', error_code: 1016 }),
    [], /^T; error code 1016$/],
  ['an error that is a text', 'whoami', json(418, { statusCode: 418, error: 'A.' }), [], /^A\.$/],
  ['JSON that says nothing', 'start', json(418, { a: 'b' }), [], /^JSON without an error message$/],
  ['of two documents the first', 'start', two(502), [], /^It went wrong\.$/],
  ['of a page without a title its heading', 'start', plain(408, '<html><h1>408 Time-out</h1>'), [],
    /titled "408 Time-out"$/],
  ['of no text, that', 'submit', form(4000001, ''), ['4000001'], /^JSON without a m/],
  ['a text', 'logout', plain(418, '\nI am a teapot.\r\n'), [], /^I am a teapot\.$/],
  ['nothing', 'start', { status: 418 }, [], /^nothing$/],
  ['no text of a 200, a token maybe', 'submit', plain(200, TOKEN), [], /^no JSON$/],
  ['no other JSON', 'submit', json(200, { token: TOKEN }), [], /^JSON without/],
  ['where it points', 'start', to('http://a:b@o.example/c?d#e'), [], / http:..o.example.c$/],
  ['of a cache nothing of that', 'start', to('/x', 304), [], /^(?!.*points)/],
]
for (const [what, step, answer, ids, shown] of TEXTS)
  test(`of an answer is told: ${what}`, () => {
    const told = judge(step, answer)
    assert.deepEqual(told.ids.filter(Boolean), ids)
    assert.match(told.said, shown)
  })

// ---- Whole runs

describe('an answer of the table ends a run, and is asked for as often', sideBySide, () => {
  for (const [step, came, exit, tries, means, env] of CASES) {
    if (typeof came === 'string' || env) continue
    test(`${step}: ${came.status}: ${means.source}`, async (t) => {
      const { ory, ...outcome } = await login(t, { [step]: came }, {}, '--logout')
      assertFailed(outcome, exit, step, means)
      assert.deepEqual([ory.count(step), stepOf(ory.seen.at(-1) ?? assert.fail())], [tries, step])
      const { trace, error } = reportOf(outcome)
      assert.equal(trace, `x-request-id ${ory.seen[0]?.headers['x-request-id']}`)
      assert.equal(error, judge(step, came).error)
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
  assertFailed(outcome, 1, 'start', /: GET \S+\d\/wrong\/self-service\/login\/api\n/)
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
  never('whoami', /200: active: /, [false, 'true', 1, null, undefined, [true], {}].map((active) =>
    ({ whoami: whoami({ active }) }))),
  never('whoami', /got +200: no identity/, [...ODD_IDENTITIES, null, undefined,
    ...[...ODD, ...UNPRINTABLE].map((id) => ({ id }))].map((identity) =>
    ({ submit: submit({ session: null }), whoami: whoami({ identity }) }))),
  never('whoami', /the identity .+ instead of ffa60abd…/, ['b', IDENTITY.toUpperCase()].map(
    (id) => ({ whoami: whoami({ identity: { id } }) }))),
  never('whoami', /session .*instead of 5e8a6878/, [...ODD, 'b', SESSION.toUpperCase()].map((id) =>
    ({ whoami: whoami({ id }) }))),
  never('whoami', /the session \S+ instead of \S+/, [5, '', {}].map((id) =>
    ({ submit: submit({ session: { id } }), whoami: whoami({}) }))),
  never('whoami', /the session \S+ instead of 5e8a6878…/, [null, undefined].map((identity) =>
    ({ submit: submit({ session: { id: SESSION, identity } }), whoami: whoami({ id: 'older' }) }))),
  ...LOGIN_STEPS.map((step) => {
    const sound = JSON.stringify(SUCCESS[step].body)
    const latin1 = Buffer.from(sound.replace('{', '{"\xff": 0, '), 'latin1')
    const bodies = [...NO_BODIES, `[${sound}]`, `${sound}\n{}`, `${sound} x`, latin1]
    return never(step, /got +200/, bodies.map((body) => ({ [step]: { status: 200, body } })))
  }),
  ...ALL_STEPS.map((step) => {
    const all = [201, 202, 203, 205, 206, 226, step === 'logout' ? 200 : 204]
    return never(step, / 2\d\d/, all.map((status) => ({ [step]: { ...SUCCESS[step], status } })))
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
    assertFailed(outcome, 1, step, new RegExp(`got +${status}: .* ${place}$`, 'm'))
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

test('a second try of whoami that gives the session is green', async (t) => {
  const { whoami: refused = assert.fail() } = recorded('invalid-token')
  const outcome = await login(t, { whoami: inTurn(refused, SUCCESS.whoami) })
  assertVerified(outcome, /^ory-login: note: verify session: .*401.*\n$/)
})
