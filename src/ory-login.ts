/**
 * ory-login: can a person log in to this Ory project right now?
 *
 *   start login flow     GET    /self-service/login/api         gives the id of a flow
 *   submit credentials   POST   /self-service/login?flow=<id>   gives a session token
 *   verify session       GET    /sessions/whoami                says whose session that is
 *   log out              DELETE /self-service/logout/api        only with --logout
 *
 * In this order: the contract with the user (HELP); the login, as Ory's protocol has it; what a
 * failure means, by who answered; the report; secrets; requests; the set-up; main.
 * Ory's own account: https://www.ory.com/docs/kratos/self-service/flows/user-login
 */
import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import * as fs from 'node:fs'
import { Socket } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs, stripVTControlCharacters, styleText } from 'node:util'
import { parse as parseDotenv } from 'dotenv' // config() would print, and obey DOTENV_* variables
import { Client, type Dispatcher, fetch, Headers, ProxyAgent } from 'undici'

/** Shown by --version, and sent as the user agent. */
export const VERSION = '2.0.0'

/** For the demo alone: loopback, and made up. */
const DEMO = {
  BASE_URL: 'http://127.0.0.1:4433',
  IDENT: 'demo@example.com',
  PASS: 'demo-only-password',
}

const OPTIONS = {
  timeout: { type: 'string', default: '30' },
  logout: { type: 'boolean' },
  json: { type: 'boolean' },
  verbose: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const

const HELP = `Usage: npx tsx src/ory-login.ts [options]
       npm run -s login -- [options]
       node src/ory-login.ts [options]        (from Node.js 22.18 on)

Proves that a person can log in to an Ory project: starts a native login
flow, submits a password, and asks whoami whether the session is real.

  BASE_URL=https://your-slug.projects.oryapis.com IDENT=test@example.com \\
    PASS='the password' npx tsx src/ory-login.ts --logout

Variables, from the environment, or else from .env in the working directory:
  BASE_URL  public API of the project (${DEMO.BASE_URL})
  IDENT     identifier of a test identity, such as its email address
  PASS      its password
  Set both IDENT and PASS, or neither: then the demo identity is used, which
  is sent to this machine only (${DEMO.IDENT}, ${DEMO.PASS}).
From the environment only:
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY  proxy for https, proxy for http, and the
                                     hosts that need none; this machine itself
                                     is always asked directly
  NODE_EXTRA_CA_CERTS                PEM file of a private authority

Options:
  --timeout <seconds>  for the whole run, more than 0 and at most 3600 (${OPTIONS.timeout.default})
  --logout             end the session once it is verified
  --json               print one JSON value on stdout, on success and failure
  --verbose            print the effective settings and each request to stderr
  -h, --help; --version

Exit codes:
  0  verified: whoami confirmed the session that was just made
  1  the answer is not what Ory's API promises
  2  usage or configuration
  3  Ory refused this login, and waiting does not help
  4  no usable answer: network, TLS, proxy, time, rate limit, 5xx, a failing
     hook; try again later

README.md has recipes for CI and for a check on a schedule.
`

// ---- The login, as Ory's protocol has it

/** The steps, and what Ory promises for each. */
// biome-ignore format: a table
const STEPS = {
  start:  { name: 'start login flow', method: 'GET', path: '/self-service/login/api',
            status: 200, expected: '200 with the id of a flow' },
  submit: { name: 'submit credentials', method: 'POST', path: '/self-service/login',
            status: 200, expected: '200 with a session_token' },
  whoami: { name: 'verify session', method: 'GET', path: '/sessions/whoami',
            status: 200, expected: '200 with the active session that was just made' },
  logout: { name: 'log out', method: 'DELETE', path: '/self-service/logout/api',
            status: 204, expected: '204' },
} as const
export type Step = keyof typeof STEPS

/** Logs in and has the session verified. Throws a LoginError at the first broken promise. */
async function logIn(run: Run): Promise<void> {
  const { identifier, password, logout } = run.config

  const flow = await callOry(run, 'start', {}, isFlow)

  const body = { method: 'password', identifier, password }
  run.login = await callOry(run, 'submit', { query: { flow: flow.id }, body }, isLogin)

  const { session_token } = run.login
  const headers = { 'x-session-token': session_token }
  run.session = await callOry(run, 'whoami', { headers }, isSessionOf(run.login))

  if (logout) await callOry(run, 'logout', { body: { session_token } }, isAnything)
}

// What a server sends is unknown until a predicate has looked at it.
type Login = { session_token: string; session?: { id?: unknown; identity?: { id: string } | null } }
type Session = { active: true; identity: { id: string }; id: unknown; expires_at: unknown }

const field = (value: unknown, key: string): unknown => Object(value)[key]
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
/** A lone surrogate (Cs) cannot be encoded, so it is not text. */
const isText = (value: unknown): value is string =>
  typeof value === 'string' && /^\P{Cs}+$/u.test(value)
const textOf = (value: unknown): string =>
  isText(value) || typeof value === 'number' ? String(value) : ''

const isFlow = (body: unknown): body is { id: string } => isText(field(body, 'id'))
const isAnything = (_body: unknown): _body is unknown => true

/** The token must fit into a header. The identity is null when a second factor is due. */
function isLogin(body: unknown): body is Login {
  const identity = field(field(body, 'session'), 'identity') ?? null
  const token = field(body, 'session_token')
  const isToken = isText(token) && /^[\x21-\x7e]{1,4096}$/.test(token)
  return isToken && (identity === null || isText(field(identity, 'id')))
}

const isSessionOf =
  (login: Login) =>
  (body: unknown): body is Session =>
    sessionFault(body, login) === ''

/**
 * Tells what keeps an answer of whoami from proving this login, if anything. Each check logs in as
 * the same identity, so only the session's id tells a cached older session from the new one.
 */
function sessionFault(session: unknown, login: Login | undefined): string {
  const { active, id, identity }: Record<string, unknown> = Object(session)
  const identityId = field(identity, 'id')
  const dueId = login?.session?.id ?? id
  const dueIdentityId = login?.session?.identity?.id ?? identityId
  // Only a UUID is cut: of another text, a cut could hide that it is a secret.
  const uuid = /^([\da-f]{8})-[\da-f-]{27}$/
  const short = (value: unknown) => textOf(value).replace(uuid, '$1…') || 'none'
  if (active !== true)
    return `active: ${Object(active) === active ? 'an object' : JSON.stringify(active)}`
  if (!isText(identityId) || identityId.trim() === '' || /[\p{C}\p{Zl}\p{Zp}]/u.test(identityId))
    return 'no identity whose id can be shown'
  if (identityId !== dueIdentityId)
    return `the identity ${short(identityId)} instead of ${short(dueIdentityId)}`
  return id === dueId ? '' : `the session ${short(id)} instead of ${short(dueId)}`
}

// ---- What a failure means, by who answered

/** How often a step is tried at most, where a row says so; else once. */
const [TWICE, THRICE] = [2, 3] as const

type Row = readonly [
  when: string | ((evidence: Evidence) => boolean),
  exit_code: 1 | 3 | 4,
  error: string,
  hints: string | readonly string[] | ((evidence: Evidence) => string | readonly string[]),
  tries?: typeof TWICE | typeof THRICE,
]
// In each table the first row that fits counts. Words are compared whole; what a predicate can look
// at is what readReply returns.

/** Ory answered, but not as promised. Words are ids of Ory. */
// biome-ignore format: a table
export const ORY: Readonly<Record<Step | 'any', readonly Row[]>> = {
  start: [
    [({ hasMore, status }) => hasMore && status === 404, 3,
      'a web hook before login refused this login',
      'check the web hooks and Ory Actions before login; no password was judged'],
    [({ hasMore, isServerError }) => hasMore && isServerError, 4, 'a web hook before login failed',
      'Ory itself is fine: check the web hooks and Ory Actions before login, and their logs'],
  ],
  submit: [
    ['4000010 session_verified_address_required', 3, "this identity's address is not verified",
      'verify the address, or use a test identity whose address is verified'],
    [({ ids, words }) => ids.includes('4010011') || words.includes('account was disabled'), 3,
      'this identity is disabled', 'set its state to active, or use another test identity'],
    [({ messages }) => messages.some(({ id, text }) => id === '4000001' && /^I\[#/.test(text)), 3,
      'the password is right, but the identity does not fit its identity schema',
      "correct the identity's traits or the schema; until then its logins fail"],
    [({ messages }) => messages.some(({ id, text }) => id === '4000001' && text === ''), 4,
      'Ory could not save this login: a conflict in its database',
      "try again later; if this persists, check Ory's database"],
    [({ isPasswordRight, messages }) => isPasswordRight && messages.length > 0, 3,
      'the password is right, but a web hook refused this login',
      'its text says why: change this hook or Ory Action, or use an identity that it lets in'],
    ['4000006 4000037', 3, 'wrong password or unknown identifier (Ory does not say which)',
      ({ sources: { IDENT, PASS }, mistakes }) => [...mistakes,
        `check IDENT (from ${IDENT}) and PASS (from ${PASS}), and that the identity has a password`,
        "if they are right, check Ory's logs: a failing database gives this answer as well"]],
    ['4000002', 3, 'Ory found a field of the login empty', ({ mistakes }) => [...mistakes,
      'check IDENT and PASS, and for a proxy before Ory that changes requests']],
    ['4000038', 3, 'the captcha failed: no program can solve it',
      'switch the captcha off in the project that is tested'],
    [({ words }) => words.includes('by system administrator'), 3,
      'the password method is off in this project',
      'enable it (selfservice.methods.password.enabled), or test a project that has it'],
    [({ messages }) => messages.some(({ id, type }) =>
        type === 'info' || ['4000003', '5000002', '5000003'].includes(id)), 3,
      'this is not a login with a password alone',
      'use a test identity that needs no SSO, no code and no other step'],
    [({ status }) => status === 422, 1, 'this login needs a browser to go on',
      'use a test identity with a password alone: this checks native clients'],
    [({ status, isStale }) => status === 410 && isStale, 1,
      'a cache answered the start with an old flow, which has expired',
      "exclude Ory's paths from caching; if there is no cache, check the clocks"],
    [({ status }) => status === 410, 1, 'the flow expired before it was submitted',
      "check the servers' clocks, and selfservice.flows.login.lifespan"],
    [({ status, words }) => status === 404 && words.includes('Unable to locate the resource'), 1,
      'the server that got the submit does not know the flow',
      'if several servers answer at BASE_URL, give them one database'],
    ['security_csrf_violation', 1, 'the submit reached Ory under another path',
      'check for a proxy before Ory that rewrites paths, and BASE_URL for its prefix'],
    [({ ids, words }) => ids.includes('4010002') || ids.includes('4000001') ||
        words.includes('query parameter is missing'), 1,
      'Ory did not get the request as it was sent', "Ory's text says why: a proxy before Ory may " +
      'change the body or its content type, drop the query, or add a cookie'],
    [({ ids, words }) =>
        ids.includes('invalid_configuration') || words.includes('misconfiguration prevents'), 3,
      'a setting of the project prevents this login',
      "Ory's text says which: as a rule, an address must be verified and the identity has none"],
    [({ words }) => words.includes('migration hook failed'), 4,
      'the password migration hook failed; Ory itself is fine',
      'check this hook and its logs: Ory could not judge the password'],
    [({ words }) => /webhook|third-party upstream|giving up after/.test(words), 4,
      'the password is right, but a web hook after login failed or took too long',
      'check the web hooks and Ory Actions after login, and their logs'],
    [({ messages }) => messages.length > 0, 3, 'Ory refused this login, in its own words',
      "read Ory's text: this check has no further advice"],
  ],
  whoami: [
    [({ fault }) => fault !== '', 1, 'whoami does not confirm the session that was just made',
      'check for a cache or a proxy before Ory that answers with another session'],
    [({ status }) => status === 401, 1, 'Ory refused the session token that it has just given', [
      'does a proxy before Ory strip the header X-Session-Token?',
      'did another login of this identity end the session (revoke_active_sessions)?',
      "if not, check Ory's database: it may fail, or a replica may lag behind"], TWICE],
    ['session_aal2_required', 3, 'the password is right, but a second factor is due',
      'use a test identity without a second factor'],
  ],
  logout: [
    [({ words }) => words.includes('Session Token could not be found'), 1,
      'Ory does not know this session any more',
      'did another login of this identity end it (revoke_active_sessions)?'],
    [({ words }) => words.includes('Content-Length'), 1,
      'the logout request reached Ory without its body',
      'check for a proxy before Ory that drops the body of a DELETE request'],
  ],
  any: [
    [({ status, hasMore }) => status === 200 && hasMore, 1, "something else follows Ory's answer",
      'check for a proxy before Ory that adds to its answers'],
    [({ status, words }) => status === 409 || words.includes('Unable to serialize access'), 4,
      "a conflict in Ory's database", "try again later; if this persists, check Ory's database"],
    [({ words }) => /no such table|has no column|Unable to locate the (table|column)/.test(words) ||
        /(relation|column) \S{1,99} does not exist/.test(words), 4,
      'Kratos is newer than its database: the SQL migrations did not run',
      'run kratos migrate sql with this version of Kratos'],
    [({ isServerError }) => isServerError, 4, 'Ory failed; this says nothing about the credentials',
      "try again later, and check Ory's logs"],
    [() => true, 1, "this is not what Ory's API promises",
      "read Ory's text, and check for a proxy before Ory that changes requests"],
  ],
}

/** Something before Ory answered, in its place. Words are statuses. */
// biome-ignore format: a table
export const BEFORE_ORY: readonly Row[] = [
  [({ status, headers, said }) => status === 401 || status === 511 ||
      headers.has('www-authenticate') || said.includes('Access credentials are'), 1,
    'a gateway before Ory wants credentials of its own',
    "point BASE_URL past the gateway, or open Ory's paths in it"],
  [({ said }) => /not match any rules|multiple rules/.test(said), 1,
    'Ory Oathkeeper has no rule for this path, or several',
    'fix the Oathkeeper rules, or point BASE_URL past Oathkeeper'],
  [({ said }) => /error( code)?:? 10(00|14)\b|CNAME Cross-User/i.test(said), 1,
    'Cloudflare refuses the custom domain in BASE_URL',
    "check this domain in the Ory Console, and its CNAME record"],
  [({ status, said }) => status === 403 && said.includes('Missing Authentication Token'), 1,
    'an AWS API Gateway answers, and has no route for this path', 'check its routes and its stage'],
  [({ status, headers, text }) => [403, 406, 451].includes(status) || isOfFirewall(headers) ||
      /Request Rejected|_Incapsula_/.test(text), 4,
    'a firewall or a gateway before Ory refused this request; Ory did not judge it',
    'let this machine through the firewall, or run the check from elsewhere'],
  ['429', 4, 'a rate limit is reached', [
    'wait, and run less often; CI runners share addresses, and each address has limits too',
    'on Ory Network, starting a flow counts against the login limit too'], THRICE],
  [({ redirect }) => redirect === 'admin port', 1, 'BASE_URL is the admin API of Ory Kratos',
    'set BASE_URL to the public API: another port, as a rule 4433'],
  [({ redirect }) => redirect === 'moved', 1, 'Ory answers at another address, or with https',
    ({ newBaseUrl }) =>
      `set BASE_URL to ${newBaseUrl} (Kratos' public port is 4433, its admin port 4434)`],
  ['304', 1, 'a cache answers in the place of Ory', "exclude Ory's paths from caching"],
  [({ status }) => status >= 300 && status < 400, 1,
    'a redirect (typical of a website or an access gateway), which is not followed',
    ({ path }) => `let ${path} through to Ory, or set BASE_URL to the public API itself`],
  [({ step, status, isHttps }) => step === 'start' && (status === 426 ||
      (status === 400 && !isHttps)), 1, 'this port may speak TLS: BASE_URL may need https://',
    'try https:// in BASE_URL; if that fails, check its port'],
  [({ step, status }) => step === 'start' && status === 404, 1,
    'there is no Ory project at BASE_URL',
    'check BASE_URL for a wrong slug, a wrong path prefix, or the address of another service'],
  [({ step, status }) => step === 'start' && status < 300, 1,
    "a website or an app answers at BASE_URL, not Ory's API",
    'set BASE_URL to the public API, such as https://your-slug.projects.oryapis.com'],
  [({ status }) => status === 404 || status === 405 || status < 300, 1,
    'this path, or this method, is not routed to Ory',
    ({ method, path }) => `route ${method} ${path} to Ory`],
  ['408 425', 4, 'the gateway before Ory timed out waiting for the request',
    'try again later; if this persists, check its time limits', THRICE],
  [({ isGateway }) => isGateway, 4, 'a gateway answers, with no Ory behind it', ({ step }) =>
    step === 'start' ? 'try again later; check the slug in BASE_URL, and the project'
      : "the login began well: try again later, and check Ory's status and logs", THRICE],
  [({ isServerError }) => isServerError, 4,
    'something before Ory failed; this says nothing about the credentials',
    'try again later, and check what stands before Ory'],
  [() => true, 1, "this answer is not Ory's",
    ({ path }) => `check what stands before Ory, and whether ${path} is routed to it`],
]

/** The proxy of this machine did not connect. Words are its statuses, and codes of the network. */
// biome-ignore format: a table
export const PROXY: readonly Row[] = [
  ['403 407 UND_ERR_INVALID_ARG', 4, 'the proxy refuses to connect to Ory',
    ({ proxy }) => `check the user and password in ${proxy?.name}, and what the proxy allows`],
  ['502 503 504', 4, 'the proxy answers, but could not connect to Ory', ({ step }) =>
    step === 'start' ? 'check the host and port in BASE_URL, and whether the proxy can reach them'
      : "the login began well: try again later, and check Ory's status and logs", THRICE],
  [({ isUntrusted }) => isUntrusted, 4, "the proxy's certificate is not trusted here",
    'if a private authority issued it, set NODE_EXTRA_CA_CERTS to its PEM file; not in .env'],
  [() => true, 4, 'the proxy cannot be reached, or did not connect to Ory',
    ({ proxy }) => `check ${proxy?.name}, or name the host of BASE_URL in NO_PROXY`, THRICE],
]

/** Nobody answered. Words are codes of the network and of TLS. */
// biome-ignore format: a table
export const NO_ANSWER: readonly Row[] = [
  // after a good start: the address in BASE_URL, its DNS and its TLS were right
  [({ step, code }) => step !== 'start' && code === 'TIMEOUT', 4,
    'Ory answered the first step, but did not answer this one in time', [
      "check Ory's web hooks, the cost of its password hashes, and its database",
      '--timeout gives it more time']],
  [({ step, isLost }) => step !== 'start' && isLost, 4,
    'Ory, or what stands before it, went away during this step',
    'check its logs, its memory (hashing passwords can exhaust it) and its database', THRICE],
  // at any step
  [({ code, proxy }) => code === 'TIMEOUT' && proxy !== undefined, 4,
    'no answer came in time through the proxy',
    ({ proxy }) => `the proxy in ${proxy?.name}, or Ory behind it, does not answer: check both`],
  [({ code, isConnected }) => code === 'TIMEOUT' && isConnected, 4,
    'a server accepted the connection, but did not answer in time',
    "check the port in BASE_URL, Ory's logs and its database; --timeout gives it more time"],
  ['TIMEOUT', 4, 'no connection was made in time, or its TLS handshake hangs',
    'check the host and port in BASE_URL, DNS, firewalls and VPN'],
  ['ECONNREFUSED', 4, 'nothing listens at the host and port of BASE_URL',
    'check the host and port in BASE_URL, and that Ory is running', THRICE],
  [({ isCut }) => isCut, 4, 'the connection was cut before the answer was complete',
    ({ isHttps }) => isHttps
      ? 'check what stands before Ory; a server that wants a client certificate cuts it as well'
      : 'if this port speaks TLS, BASE_URL needs https://; else check what stands before Ory',
    THRICE],
  ['EAI_AGAIN', 4, 'the host name in BASE_URL cannot be looked up at the moment',
    'check the network and its DNS, and try again', THRICE],
  ['ENOTFOUND', 4, 'there is no host with the name in BASE_URL',
    'check the host name in BASE_URL, and the slug in it'],
  ['ETIMEDOUT EHOSTUNREACH ENETUNREACH', 4, 'the host in BASE_URL cannot be reached',
    'check the host and port in BASE_URL, DNS, firewalls, VPN and IPv6', THRICE],
  ['CERT_HAS_EXPIRED CERT_NOT_YET_VALID', 4,
    "the server's certificate has expired or is not valid yet",
    "renew it if it has expired, and check this machine's clock"],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 4, "the server's certificate is for another name",
    'check the host name in BASE_URL; if it is right, the server needs a certificate for it'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 4,
    "the server's certificate cannot be verified: an intermediate one may be missing", [
      'let the server send its intermediate certificate as well (often called the full chain)',
      'if a private authority issued it, NODE_EXTRA_CA_CERTS takes its PEM file; not in .env']],
  [({ isUntrusted }) => isUntrusted, 4, "the server's certificate is not trusted here",
    ({ hasExtraCertificates }) => hasExtraCertificates
      ? 'NODE_EXTRA_CA_CERTS is set, but not to a PEM file of the authority that issued it'
      : 'if a private authority issued it, set NODE_EXTRA_CA_CERTS to its PEM file; not in .env'],
  [({ code }) => /^(CERT_\w+|INVALID_(CA|PURPOSE)|PATH_LENGTH_EXCEEDED|UNSPECIFIED)$/.test(code), 4,
    "there is a fault in the server's certificate",
    'give the server a certificate for TLS servers, whose key and signature are still accepted'],
  ['ERR_SSL_WRONG_VERSION_NUMBER ERR_SSL_PACKET_LENGTH_TOO_LONG', 4,
    'what answers does not speak TLS',
    ({ proxy }) => proxy
      ? 'does the proxy want a login in a browser first? If not, check the port in BASE_URL'
      : 'check the port in BASE_URL, and whether it should begin with http://'],
  [({ code }) => code === 'EPROTO' || code.startsWith('ERR_SSL_'), 4, 'the TLS handshake failed', [
    'does the server want a client certificate? this check has none',
    'if not, let it speak TLS 1.2 or later with a usual cipher, and HTTP/1.1']],
  ['HTTPParserError UND_ERR_HEADERS_OVERFLOW BODY_TOO_LARGE', 1,
    'the reply is not valid HTTP, or too large for Ory', ({ step }) => step === 'start'
      ? 'check the host and port in BASE_URL: another service may listen there'
      : 'check what stands before Ory: it spoiled this answer'],
  [() => true, 4, 'the request failed', ({ step }) => [
    ...(step === 'start' ? ['check BASE_URL, and whether clients may use its port'] : []),
    'check the network up to Ory: something there may want credentials (407)']],
]

/** What a failure means: the first row that fits, in the table of who answered. */
export function meaningOf(evidence: Evidence): Row {
  const { from, step, ids, status, code } = evidence
  const ory = [...ORY[step], ...ORY.any]
  const tables = { ory, before: BEFORE_ORY, proxy: PROXY, nobody: NO_ANSWER }
  const names = from === 'ory' ? ids : [code || String(status)]
  const fits = ([when]: Row) =>
    typeof when === 'string' ? when.split(' ').some((word) => names.includes(word)) : when(evidence)
  const row = tables[from].find(fits)
  if (!row) throw new Error('the last row of each table fits always')
  return row
}

/** What came of a request: an answer; or, with status 0, the error in its place. */
export type Reply = {
  status: number
  headers: Headers
  text: string // of the body, or of the error
  json?: unknown // the object that the text begins with
  hasMore?: boolean // whether something follows that object
  code: string // of the error, such as ECONNREFUSED; of a proxy that refuses, its status
  isProxys?: boolean // whether the error is that of the proxy
}
type RunSoFar = Pick<Run, 'config' | 'login' | 'isStale' | 'isConnected'>
export type Evidence = ReturnType<typeof readReply>

/** Reads a reply, once, for all rows: who answered, what was said, and the facts. */
export function readReply(run: RunSoFar, step: Step, reply: Reply) {
  const { config, login, isStale = false, isConnected } = run
  const { status, text, json, hasMore = false, code } = reply
  const ory = readOry(reply)
  const from = senderOf(step, reply, ory.words)
  const redirect = readRedirect(config.baseUrl, step, reply)
  const fault = step === 'whoami' && status === 200 ? sessionFault(json, login) : ''
  const extra = status === 200 && hasMore ? 'right JSON, and something else after it' : ''
  const said = {
    ory: [ory.otherCode && `error.code ${ory.otherCode}`, fault || extra, sentences(ory.texts)],
    before: [redirect.pointsTo ? `it points to ${redirect.pointsTo}` : saidByOther(reply)],
    proxy: [text],
    nobody: [text],
  }[from]
  const isCut =
    /^(ECONNRESET|EPIPE|UND_ERR_SOCKET|UND_ERR_RES_CONTENT_LENGTH_MISMATCH)$/.test(code) ||
    text.includes('Invalid EOF state') // in the words of undici's parser
  return {
    ...config,
    ...STEPS[step],
    ...reply,
    ...ory,
    ...redirect,
    from,
    said: said.filter(isText).join(': ') || (json ? 'JSON without a message' : 'nothing'),
    step,
    hasMore,
    fault,
    isStale,
    isServerError: status >= 500 || ory.otherCode >= 500,
    isGateway: (status >= 502 && status <= 504) || (status >= 520 && status <= 530), // Cloudflare's
    isCut,
    isLost: isCut || /^(ECONNREFUSED|ETIMEDOUT|E(HOST|NET)UNREACH|ENOTFOUND|EAI_AGAIN)$/.test(code),
    isUntrusted: /^(DEPTH_ZERO_SELF|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)_)/.test(code),
    isConnected: isConnected(),
  }
}

/**
 * Tells whose answer it is. Ory's is JSON with what was promised, with a flow (ui), or with an
 * error whose code is a number. What Ory never says, or says of web hooks alone, is a gateway's;
 * and so are the errors of Oathkeeper, which words them in the same way.
 */
function senderOf(step: Step, reply: Reply, words: string): 'ory' | 'before' | 'proxy' | 'nobody' {
  const { status, headers, json, hasMore, isProxys } = reply
  if (status === 0) return isProxys ? 'proxy' : 'nobody'
  const { error, ...body }: Record<string, unknown> = Object(json)
  const promised = [body.ui, body.session, body.session_token, body.active, body.identity]
  const isPromised = promised.some((each) => (each ?? null) !== null)
  const { code, status: name }: Record<string, unknown> = Object(error)
  const isGoogles = /^[A-Z_]+$/.test(textOf(name)) // such as PERMISSION_DENIED, and not Forbidden
  const isWorded = typeof code === 'number' && code >= 400 && !isGoogles
  if (!isPromised && !isWorded) return 'before'
  if (status === 429 || status === 503) return 'before'
  const isOfHook = step === 'submit' || hasMore
  if ((status === 502 || status === 504) && !isOfHook) return 'before'
  if (step === 'start' && status === 404 && !hasMore) return 'before' // there is no such project
  if (headers.has('www-authenticate') || isOfFirewall(headers)) return 'before'
  return /Access credentials are|not match any rules|multiple rules/.test(words) ? 'before' : 'ory'
}

const isOfFirewall = (headers: Headers): boolean =>
  /-mitigated|x-amzn-waf-action/.test([...headers.keys()].join())

/**
 * Reads Ory's JSON: its error, and the messages on the form and on its fields. The values of fields
 * are not read. The words are Ory's own; a web hook can word and number messages as it likes.
 */
function readOry({ status, headers, json }: Reply) {
  const { error, ui, active }: Record<string, unknown> = Object(json)
  const { id, code, reason, message }: Record<string, unknown> = Object(error)
  const parts = [ui, ...list(field(ui, 'nodes'))].flatMap((part) => list(field(part, 'messages')))
  const messages = parts.map((one) => ({
    id: textOf(field(one, 'id')),
    text: textOf(field(one, 'text')),
    type: textOf(field(one, 'type')),
  }))
  const ids = [textOf(id), ...messages.map((one) => one.id), headers.get('ory-error-id') ?? '']
  return {
    ids: [...new Set(ids.filter(isText))],
    words: `${textOf(reason)}\n${textOf(message)}`,
    messages,
    texts: [reason, message, ...messages.map((one) => one.text)],
    otherCode: typeof code === 'number' && code !== status ? code : 0,
    isPasswordRight: active === 'password', // Kratos sets it once it has compared the password
  }
}

/** What somebody else said: in JSON, as the title of a page, or as a text; with Cloudflare's id. */
function saidByOther({ status, headers, text, json }: Reply): string {
  const { title, detail, message, error, error_code }: Record<string, unknown> = Object(json)
  const number = typeof error_code === 'number' && `error code ${error_code}`
  const nested = [field(error, 'reason'), field(error, 'message')]
  const inJson = sentences([title, detail, message, error, ...nested, number])
  const [, ofPage = ''] = /<(?:title|h1|message)[^<>]*>(.*?)<\//is.exec(text.slice(0, 8192)) ?? []
  const page = ofPage.trim() ? `a page titled "${ofPage.trim()}"` : 'an untitled page'
  const plain = status < 300 ? 'no JSON' : text.trim() || 'nothing' // a 2xx could hold a token
  const ofBody = /^\s*</.test(text) ? page : plain
  const ray = headers.get('cf-ray')
  const said = json === undefined ? ofBody : inJson || 'JSON without an error message'
  return `${said}${ray ? ` (cf-ray ${ray})` : ''}`
}

/** Joins texts as sentences, each once. */
function sentences(texts: readonly unknown[]): string {
  const each = new Set(texts.filter(isText).map((text) => text.trim()))
  return [...each].join('; ').replace(/([.!?]);/g, '$1')
}

/** Reads where a redirect points to, and what BASE_URL should be if that is Ory. */
function readRedirect(baseUrl: string, step: Step, { status, headers }: Reply) {
  const { path } = STEPS[step]
  const isRedirect = status >= 300 && status < 400 && status !== 304
  const location = (isRedirect && headers.get('location')) || ''
  // No URI holds a backslash. Shown as /, it would split an escaped secret in two.
  const isUri = URL.canParse(location, baseUrl + path) && !location.includes('\\')
  if (!isUri || location === '') return { pointsTo: '', newBaseUrl: '' }
  const [base, to] = [new URL(baseUrl), new URL(location, baseUrl + path)]
  const pointsTo = `${to.protocol}//${to.host}${to.pathname}`
  const newBaseUrl = pointsTo.endsWith(path)
    ? pointsTo.slice(0, -path.length)
    : `${to.protocol}//${to.host}`
  const isToHttps = base.protocol === 'http:' && to.protocol === 'https:'
  const isDowngrade = base.protocol === 'https:' && to.protocol === 'http:' // never advised
  const isOrys = pointsTo.endsWith(path) || (isToHttps && to.hostname === base.hostname)
  const isMoved = step === 'start' && isOrys && !isDowngrade && newBaseUrl !== baseUrl
  // Up to v1.3 the admin port redirects to itself; later, to the public address.
  const redirect =
    newBaseUrl === `${baseUrl}/admin` ? 'admin port' : isMoved ? 'moved' : 'elsewhere'
  return { pointsTo, newBaseUrl, redirect } as const
}

// ---- The report

/** What is told of a failure: a line each, and no secrets. */
type Failure = {
  exit_code: 1 | 2 | 3 | 4
  step: string
  request?: string
  status?: number
  ory_ids?: readonly string[]
  variables?: readonly string[]
  error: string
  expected?: string
  got?: string
  hints: readonly string[]
}

class LoginError extends Error {
  readonly failure: Failure
  constructor(failure: Failure) {
    super(failure.error)
    this.failure = failure
  }
}

/** Builds the report of a failure, and says how often the step may be tried. */
function explain(run: Run, step: Step, reply: Reply): { failure: Failure; tries: number } {
  const { baseUrl, password, proxy, unset, isHttps } = run.config
  const { name, method, path, expected } = STEPS[step]
  const evidence = readReply(run, step, reply)
  const [, exit_code, error, hints, tries = 1] = meaningOf(evidence)
  const token = run.login?.session_token ?? field(reply.json, 'session_token')
  const safe = (line: string) => show(line, [password, token].filter(isText))

  const ory_ids = evidence.from === 'ory' ? evidence.ids.slice(0, 8) : []
  const isOfProxy = proxy && !isHttps && step === 'start' && evidence.from === 'before'
  const statusOrCode = reply.code || String(reply.status)
  const got = safe(`${[statusOrCode, ...ory_ids].join(' ')}: ${evidence.said}`)
  const isShown = got !== WITHHELD
  const failure = {
    exit_code,
    step: name,
    request: safe(`${method} ${baseUrl}${path}${proxy ? ` through the proxy ${proxy.host}` : ''}`),
    ...(reply.status && { status: reply.status }),
    ory_ids: isShown ? ory_ids.map(safe) : [],
    error,
    expected,
    got: isShown ? got : `${statusOrCode}: ${WITHHELD}`,
    // What was found in this run comes first, and general advice last.
    hints: [
      step === 'logout' && 'the login is verified; only the log out failed',
      unset.includes('BASE_URL') && 'BASE_URL is not set, so the demo default was asked',
      isOfProxy && `this may be an answer of the proxy in ${proxy.name}`,
      ...(typeof hints === 'function' ? [hints(evidence)].flat().map(safe) : [hints].flat()),
      !reply.status && baseUrl === DEMO.BASE_URL && 'npm run demo shows a login with no server',
    ].filter(isText),
  }
  return { failure, tries }
}

/** The report for a person: what is wrong, the evidence, and what to do. */
function describe({ step, request, status, error, expected, got, hints }: Failure, id = '') {
  const line = (label: string, text = '') => (text ? `\n  ${label.padEnd(10)}${text}` : '')
  return [
    error,
    line('step', request && `${step}: ${request}`),
    line('expected', expected),
    line('got', got),
    ...hints.map((hint) => line('hint', hint)),
    line('trace', status ? `x-request-id ${id}` : ''), // only a server can have logged it
  ].join('')
}

/** The same as an annotation of GitHub Actions, for the page of the red job. */
function annotate({ step, error, got, hints }: Failure): string {
  const text = [error, got, ...hints].filter(isText).join('\n')
  const data = text.replaceAll('%', '%25').replaceAll('\n', '%0A')
  return `::error title=ory-login%3A ${step}::${data}`
}

/** What goes to stdout: the two lines of a verified session, or JSON, and else nothing. */
function result(run: Run | undefined, failure: Failure | undefined, isJson: boolean): string {
  const { config, login, session, steps = [], request_id } = run ?? {}
  const { session_token = '' } = login ?? {}
  const password = config?.password ?? ''
  const safe = (value: unknown) => (isText(value) ? show(value, [password, session_token]) : '')
  // Of a token at most 24 characters are shown, and at least 15 are not.
  const start = session_token.slice(0, Math.max(0, Math.min(24, session_token.length - 15)))
  const verified = session && {
    token: repeatsSecret(start, [password]) ? WITHHELD : `${toLine(start)}…`,
    identity_id: safe(session.identity.id),
    session_id: safe(session.id),
    expires_at: safe(session.expires_at),
    logged_out: !failure && config?.logout === true,
  }
  if (!isJson)
    return verified ? `token: ${verified.token}\nidentity_id: ${verified.identity_id}\n` : ''
  const base_url = config && show(config.baseUrl, [password])
  const value = { ok: !failure, ...verified, ...failure, base_url, request_id, steps }
  return `${JSON.stringify(value)}\n`
}

// ---- Secrets: no escaping and no mistaken encoding changes their ASCII letters and digits

const WITHHELD = '(withheld: it repeats a secret)'

/** How a character is written by its number, and in which radix. */
const ESCAPES: readonly [pattern: RegExp, radix: number][] = [
  [/\\u([\dA-Fa-f]{4})/g, 16], // JSON
  [/\\u\{([\dA-Fa-f]+)\}/g, 16], // JavaScript, Rust
  [/\\U([\dA-Fa-f]{8})/g, 16], // C, Go, Python
  [/\\x([\dA-Fa-f]{2})/g, 16], // C, a shell
  [/\\([0-3][0-7]{2})/g, 8], // C, a shell
  [/%u([\dA-Fa-f]{4})/g, 16], // JavaScript's escape()
  [/%([\dA-Fa-f]{2})/g, 16], // a URL, byte by byte
  [/&#[xX]([\dA-Fa-f]+);?/g, 16], // HTML, XML
  [/&#(\d+);?/g, 10],
]
function undoEscapes(text: string): string {
  const character = (digits: string, radix: number) =>
    String.fromCodePoint(Math.min(Number.parseInt(digits, radix), 0x10ffff))
  let plain = text
    .replace(/\\[abefnrtv]|&(?!amp;)[A-Za-z][\dA-Za-z]{1,31};/g, ' ') // none is a letter or a digit
    .replace(/\\(?![\dA-Za-z])/g, '')
    .replaceAll('&amp;', '&') // which can begin another one
  for (const [pattern, radix] of ESCAPES)
    plain = plain.replace(pattern, (_, digits) => character(digits, radix))
  return plain
}

/** The ASCII letters and digits of a text: as it is; with escapes undone once; with all undone. */
function readings(text: string): string[] {
  const once = undoEscapes(text)
  const all = [2, 3, 4, 5].reduce(undoEscapes, once)
  const bare = [text, once, all].map((each) => each.replace(/[^\dA-Za-z]/g, '').toLowerCase())
  return [...new Set(bare)]
}

/** Whether a text repeats one of the secrets, or a telling part of it, however it is escaped. */
export function repeatsSecret(text: string, secrets: readonly string[]): boolean {
  const shortest = 6 // with fewer, another spelling cannot be known; Ory takes no shorter password
  const longestRun = 12 // so many in a row give a secret away
  const seen = readings(text)
  return secrets.some((secret) => {
    const [asItIs = '', ...undone] = readings(secret.slice(0, 10_000))
    if (asItIs.length < shortest)
      // Only a text in which nothing can be escaped is known not to repeat it.
      return secret.length >= shortest && (!/^[\w .,:;'()/-]*$/.test(text) || text.includes(secret))
    return [asItIs, ...undone.filter(({ length }) => length >= shortest)].some((spelled) => {
      const size = Math.min(longestRun, spelled.length)
      const starts = Array.from({ length: spelled.length - size + 1 }, (_, start) => start)
      const parts = new Set(starts.map((start) => spelled.slice(start, start + size)))
      return seen.some((reading) => [...parts].some((part) => reading.includes(part)))
    })
  })
}

/** Cuts a cleaned text, and takes commands of a CI out of it (Azure Pipelines obeys a ##). */
const toLine = (text: string): string =>
  text.replace(/#(?=#)/g, '# ').replace(/^(.{249}).{2,}$/u, '$1…')

/** Makes any text fit to be shown, in one line of 250 characters; or withholds it whole. */
export function show(text: string, secrets: readonly string[]): string {
  const part = text.slice(0, 8000) // a megabyte of escape sequences takes long to clean
  const clean = stripVTControlCharacters(part)
    .replace(/[\p{C}\p{Z}]+/gu, ' ')
    .trim()
  const isKey = /ory_(pat|apikey|wak|st|lo|at|rt|ac)_\w/.test(clean) // an Ory key, no matter whose
  const isSecret = isKey || repeatsSecret(clean, secrets) || repeatsSecret(part, secrets)
  return isSecret ? WITHHELD : toLine(clean)
}

// ---- Requests

/** A run under way: what is set up, and what has come so far. */
interface Run {
  config: Config
  dispatcher: Dispatcher
  isConnected: () => boolean
  note: (text: string) => unknown
  deadline: number // in ms, on the clock of performance.now()
  stopped: Promise<Reply> // resolves once the time is up, or an error was not handled
  request_id: string // Ory logs it, and repeats it in its answers
  steps: object[] // as --json prints them: the times of the answers, and of the waits
  isStale?: boolean // whether the last answer was old when it came, as from a cache
  login?: Login
  session?: Session
}
type Sent = { query?: Record<string, string>; headers?: Record<string, string>; body?: object }

/**
 * Sends a step's request, retrying while the failure is retryable and time remains, and returns the
 * body that Ory promises. Throws a LoginError for anything else.
 */
async function callOry<Body>(
  run: Run,
  step: Step,
  sent: Sent,
  isPromised: (body: unknown) => body is Body,
): Promise<Body> {
  const { name, method, path, status } = STEPS[step]
  const record = { name, status: null as number | null, attempts: 0, duration_ms: 0, waited_ms: 0 }
  run.steps.push(record)
  for (let isLost = false; ; ) {
    const attempt = ++record.attempts
    const began = performance.now()
    const reply = await Promise.race([sendOnce(run, step, sent), run.stopped])
    const ms = Math.round(performance.now() - began)
    record.duration_ms += ms
    record.status = reply.status || null
    const statusOrCode = reply.code || String(reply.status)
    if (run.config.verbose) run.note(`${name}: ${method} ${path}: ${statusOrCode} in ${ms} ms`)
    // A log out whose answer was lost may have been done: then Ory does not know the token now.
    const isUnknown = reply.status === 403 && /Session Token could not be found/.test(reply.text)
    const isGone = step === 'logout' && isLost && isUnknown
    if (((reply.status === status && !reply.hasMore) || isGone) && isPromised(reply.json)) {
      const expires_at = Date.parse(textOf(field(reply.json, 'expires_at')))
      run.isStale = Number(reply.headers.get('age')) > 0 || expires_at < Date.now()
      return reply.json
    }

    const { failure, tries } = explain(run, step, reply)
    const fail = (remark: string) => new LoginError({ ...failure, got: `${failure.got}${remark}` })
    if (tries === 1) throw fail('')
    // A reply may allow fewer attempts than those that were made for others.
    const which = `attempt ${attempt} of ${Math.max(attempt, tries)}`
    if (attempt >= tries) throw fail(` (${which})`)
    const wait = Math.round(waitMs(attempt, reply))
    const due = `in ${Math.ceil(wait / 100) / 10} s`
    if (performance.now() + wait >= run.deadline)
      throw fail(` (${which}; the next one is due ${due}, and --timeout leaves no time for it)`)
    run.note(`${name}: got ${statusOrCode}; attempt ${attempt + 1} of ${tries} is due ${due}`)
    await sleep(wait)
    record.waited_ms += wait
    isLost ||= reply.status === 0
  }
}

/**
 * How long to wait before the next attempt, in ms: what the server asks, in whole seconds or as a
 * date, and at least a backoff, since Ory Network's usual x-ratelimit-reset is 0. Ory Network names
 * one such value for each of its limits, and the longest counts. A value of more than an hour is no
 * wait: other gateways name the reset in seconds since 1970.
 */
export function waitMs(attempt: number, { status, headers }: Pick<Reply, 'status' | 'headers'>) {
  const after = headers.get('retry-after') ?? ''
  const values = [after, headers.get('x-ratelimit-reset') ?? ''].join().split(',')
  const seconds = values.filter((value) => /^\s*\d+\s*$/.test(value)).map(Number)
  const date = /^[A-Za-z]/.test(after) ? Date.parse(after.replace(/( GMT)?$/, ' GMT')) : 0
  const asked = [...seconds.map((each) => each * 1000), date - Date.now()]
  const backoff = attempt * (status === 429 ? 1000 : 250)
  const longest = Math.max(backoff, ...asked.filter((ms) => ms <= 3_600_000))
  return longest + (Math.random() * backoff) / 2
}

/** Sends a step's request once, and returns what came. This is the one place that sends. */
async function sendOnce(run: Run, step: Step, { query, headers, body }: Sent): Promise<Reply> {
  const { baseUrl, proxy, isHttps } = run.config
  const { name, method, path } = STEPS[step]
  const url = `${baseUrl}${path}${query ? `?${new URLSearchParams(query)}` : ''}`
  const began = performance.now()
  const seconds = () => Math.round((performance.now() - began) / 1000)
  const noteWaiting = () => run.note(`${name}: no answer yet after ${seconds()} s`)
  const timer = setInterval(noteWaiting, 5000).unref()
  try {
    const response = await fetch(url, {
      method,
      headers: {
        accept: 'application/json',
        'accept-encoding': 'identity', // a large compressed answer can make undici throw past us
        'user-agent': `ory-login/${VERSION}`, // Ory lists it with the session
        'x-request-id': run.request_id,
        ...(body && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body ? JSON.stringify(body) : null,
      redirect: 'manual', // followed, a redirect could take the password or the token elsewhere
      dispatcher: run.dispatcher,
    })
    const chunks: Uint8Array[] = []
    let size = 0
    const limit = 2 ** 20 // after decompression; Ory's bodies have some thousand bytes
    for await (const chunk of response.body ?? []) {
      size += chunk.length
      if (size > limit) return noAnswer('BODY_TOO_LARGE', `more than ${limit} bytes`)
      chunks.push(chunk)
    }
    const bytes = Buffer.concat(chunks)
    const text = new TextDecoder().decode(bytes)
    const json = isUtf8(bytes) ? readJson(text) : {}
    return { status: response.status, headers: response.headers, text, ...json, code: '' }
  } catch (error) {
    const reply = rootCause(error)
    // Of a plain request the proxy is the server: what fails at first is the proxy's.
    return proxy && !isHttps && step === 'start' ? { ...reply, isProxys: true } : reply
  } finally {
    clearInterval(timer)
  }
}

/** Reads the JSON object that a text begins with: all of Ory's answers are one, or two. */
function readJson(text: string): Pick<Reply, 'json' | 'hasMore'> {
  try {
    const value: unknown = JSON.parse(text)
    return Object(value) === value ? { json: value } : {}
  } catch (error) {
    // Where a web hook fails before login, Ory sends its error and then the flow.
    const [, end] = /after JSON at position (\d+)/.exec(String(error)) ?? []
    return end ? { ...readJson(text.slice(0, Number(end))), hasMore: true } : {}
  }
}

const noAnswer = (code: string, text: string): Reply => {
  return { status: 0, headers: new Headers(), text, code }
}

const PROXY_FAILED = 'the proxy did not connect'

/** Finds the real cause, the deepest, behind fetch's "fetch failed" and "terminated". */
function rootCause(error: unknown): Reply {
  if (!(error instanceof Error)) return noAnswer('unknown', String(error))
  if (error.cause) {
    const reply = rootCause(error.cause)
    return error.message === PROXY_FAILED ? { ...reply, isProxys: true } : reply
  }
  // A name with two addresses, both refused, gives an AggregateError without a text of its own.
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error]
  // OpenSSL's message is a line of numbers and paths; its reason has the words.
  const text = errors.map((each) => field(each, 'reason') ?? field(each, 'message')).join(', ')
  const code = field(error, 'code')
  return noAnswer(isText(code) ? code : error.name, text)
}

/**
 * Opens the one connection of a run, through the proxy if one is in use. Only main limits the time,
 * so undici's own limits are off.
 */
function openConnection({ baseUrl, proxy }: Config): Pick<Run, 'dispatcher' | 'isConnected'> {
  const connect = {
    rejectUnauthorized: true, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
    timeout: 0,
    autoSelectFamilyAttemptTimeout: 3000, // Node's 250 ms are too short for a far host
  }
  let isOpen = false
  const open = (origin: string | URL, options?: object) => {
    const client = new Client(origin, { connect, ...options, headersTimeout: 0, bodyTimeout: 0 })
    return client.once('connect', () => {
      isOpen = true
    })
  }
  // For https a proxy connects us. What fails there is the proxy's: its status, which undici keeps
  // to itself, or an error, whose code would make undici dial again thousands of times a second.
  const openProxy = (url: URL, options: object) => {
    const client = open(url.origin, options)
    const connectUs = client.connect.bind(client)
    client.connect = async (request: Dispatcher.ConnectOptions) => {
      const fail = (cause: unknown) => Promise.reject(new Error(PROXY_FAILED, { cause }))
      const opened = await connectUs(request).catch(fail)
      const { statusCode, socket } = opened
      if (statusCode === 200) return opened
      socket.destroy()
      return fail(
        Object.assign(new Error(`the proxy's answer to CONNECT`), { code: `${statusCode}` }),
      )
    }
    return client
  }
  const tls = { proxyTls: connect, requestTls: connect }
  const proxied = { ...tls, proxyTunnel: false, factory: open, clientFactory: openProxy }
  const dispatcher = proxy
    ? new ProxyAgent({ uri: proxy.url, ...proxied })
    : open(new URL(baseUrl).origin)
  return { dispatcher, isConnected: () => isOpen }
}

// ---- The set-up

type Environment = Readonly<Record<string, string | undefined>>
type Config = ReturnType<typeof readConfig> & ReturnType<typeof readOptions>

/** Reads the options. Throws a LoginError that repeats nothing: it could be a password. */
function readOptions(args: string[]) {
  const known = `the options are --${Object.keys(OPTIONS).join(', --')}`
  const fail = (error: string, ...hints: string[]) =>
    new LoginError({ exit_code: 2, step: 'read options', error, hints: [...hints, known] })
  const { tokens } = parseArgs({ args, options: OPTIONS, strict: false, tokens: true })
  const odd = tokens.find((each) => each.kind !== 'option' || !Object.hasOwn(OPTIONS, each.name))
  if (odd) {
    const why = 'it is not repeated here, since it could be a password'
    throw fail(`argument ${odd.index + 1} is not an option of this program`, why)
  }
  try {
    const { timeout, ...flags } = parseArgs({ args, options: OPTIONS }).values
    const seconds = /^\d*\.?\d+$/.test(timeout) ? Number(timeout) : 0
    if (seconds > 0 && seconds <= 3600) return { ...flags, timeoutMs: seconds * 1000 }
  } catch (error) {
    throw fail(rootCause(error).text.replace(/\.\s.*/s, ''))
  }
  throw fail('--timeout takes seconds, more than 0 and at most 3600')
}

const VARIABLES = ['BASE_URL', 'IDENT', 'PASS'] as const

/** Throws a LoginError where variables are at fault. No value is repeated: it could be a secret. */
function refuse(variables: readonly string[], fault: string | undefined, hint: string): undefined {
  if (variables.length === 0 || !fault) return
  const verb = variables.length > 1 ? 'are ' : 'is '
  const error = `${variables.join(' and ')} ${fault.replace(/^is /, verb)}`
  const hints = [hint]
  throw new LoginError({ exit_code: 2, step: 'read configuration', variables, error, hints })
}

/** Reads .env where a variable is not in the environment. Throws a LoginError. */
async function readDotenv(env: Environment): Promise<string> {
  if (VARIABLES.every((name) => env[name] !== undefined)) return ''
  const hint = 'make .env a text file in UTF-8'
  let text = ''
  try {
    const stat = fs.statSync('.env', { throwIfNoEntry: false })
    if (!stat) return ''
    if (!stat.isFile() && !stat.isFIFO()) throw new Error('it is not a file')
    // A pipe is waited for in the event loop: a thread that waits cannot be ended.
    text = stat.isFIFO()
      ? await readText(new Socket({ fd: fs.openSync('.env', fs.constants.O_NONBLOCK) }))
      : fs.readFileSync('.env', 'utf8')
  } catch (error) {
    refuse(['.env'], `cannot be read: ${rootCause(error).text}`, hint)
  }
  if (text.includes('\0')) refuse(['.env'], 'contains NUL bytes, as a text in UTF-16 does', hint)
  return text
}

/** What is wrong with a BASE_URL, if anything. A check may rely on those before it. */
function faultOfUrl(url: string): string | undefined {
  if (/^["'`\u2018-\u201f]/.test(url)) return 'is in quotes, which are a part of it'
  if (/[<>]/.test(url)) return 'still contains a placeholder such as <slug>'
  if (!/^https?:\/\//i.test(url)) return 'does not begin with http:// or https://'
  if (/[\p{C}\p{Z}]/u.test(url)) return 'contains white space or control characters'
  if (!URL.canParse(url)) return 'is not a URL'
  if (/[?#]/.test(url)) return 'has a query or a fragment'
  const { username, password } = new URL(url)
  return username || password ? 'contains a user name or a password' : undefined
}

/** Whether a URL leads to this machine: asked directly, and it alone gets the demo identity. */
function isThisMachine(url: string): boolean {
  const { hostname } = new URL(url)
  const isName = /^(.+\.)?localhost\.?$/.test(hostname) // RFC 6761
  const isLoopback = /^127\.[\d.]+$|^\[::1\]$|^\[::ffff:7f[\da-f]{2}:/.test(hostname)
  return isName || isLoopback || ['0.0.0.0', '[::]', '[::ffff:0:0]'].includes(hostname)
}

/**
 * The proxy in use, chosen as by curl: HTTPS_PROXY for https, HTTP_PROXY for http, unless NO_PROXY
 * exempts the host. NO_PROXY is read as by undici's EnvHttpProxyAgent, which does not tell what it
 * chose: a proxy that is not in use must not be judged or named. Throws a LoginError.
 */
function readProxy(env: Environment, baseUrl: string, isLocal: boolean) {
  const { protocol, hostname, port } = new URL(baseUrl)
  const [lower, usualPort] = protocol === 'https:' ? ['https_proxy', '443'] : ['http_proxy', '80']
  const name = env[lower] === undefined ? lower.toUpperCase() : lower
  const url = env[name]
  const isExempt = (entry: string) => {
    const [, host = entry, ofPort] = /^(.+):(\d+)$/.exec(entry) ?? []
    const suffix = host.replace(/^\*?\./, '').toLowerCase()
    const isHost = entry === '*' || hostname === suffix || hostname.endsWith(`.${suffix}`)
    return isHost && (!ofPort || ofPort === (port || usualPort))
  }
  const exempt = (env.no_proxy ?? env.NO_PROXY ?? '').split(/[,\s]+/).filter(Boolean)
  if (!url || isLocal || exempt.some(isExempt)) return undefined
  try {
    decodeURIComponent(url) // as undici decodes user and password
    if (!/^https?:\/\/[^/?#]+\/?$/i.test(url)) throw new TypeError('another scheme, or a path')
    return { name, url, host: new URL(url).host }
  } catch {
    return refuse([name], 'is not the URL of an HTTP proxy', 'it should be like http://host:port')
  }
}

/** What IDENT and PASS may contain by mistake: told where Ory refused them. */
const MISTAKES: readonly [pattern: RegExp, mistake: string][] = [
  [/\p{DI}|\S\u00a0+\S/u, 'contains an invisible character, which counts'],
  [/^\s|\s$/, 'begins or ends with white space, which counts'],
  [/^\s*(["'`]).*\1\s*$/s, 'is in quotes, which were sent as a part of it'],
  [/^\s*(["'`])(?!.*\1\s*$)/s, 'begins with a quote that is not closed'],
  [/^\s*[\u2018-\u201f\u00ab\u00bb]/, 'begins with a typographic quote, which is a part of it'],
]

/** Reads the configuration: the environment, else .env, else the demo. Throws a LoginError. */
export function readConfig(env: Environment, dotenvText: string) {
  const dotenv: Environment = parseDotenv(dotenvText)
  const read = (name: string) => env[name] ?? dotenv[name] // on Windows, env knows it in any case
  const blank = VARIABLES.filter((name) => read(name)?.trim() === '')
  const hint = 'does this job get its secrets? In .env, put a value with a # in quotes'
  refuse(blank, 'is set but empty', hint)
  const garbled = VARIABLES.filter((name) => read(name)?.includes('\ufffd'))
  refuse(garbled, 'is not in UTF-8', 'save .env as UTF-8, or use a UTF-8 locale')
  const base = (read('BASE_URL') ?? DEMO.BASE_URL).trim()
  refuse(['BASE_URL'], faultOfUrl(base), 'it should be like https://your-slug.projects.oryapis.com')
  const isLocal = isThisMachine(base)
  const unset = VARIABLES.filter((name) => read(name) === undefined)
  const missing = unset.filter((name) => name !== 'BASE_URL')
  if (missing.length === 1 || !isLocal)
    refuse(missing, 'is not set', 'set IDENT and PASS, in the environment or in .env')
  const proxy = readProxy(env, base, isLocal)

  const identifier = (read('IDENT') ?? DEMO.IDENT).trim()
  const password = read('PASS') ?? DEMO.PASS
  // What PASS would be if # began no comment: unquoted, it ends there.
  const { PASS: uncommented = '' } = parseDotenv(dotenvText.replaceAll('#', '\ue000'))
  const isOfFile = env.PASS === undefined && !dotenv.PASS?.includes('#')
  const isCut = isOfFile && /^[^"'`].*\ue000/s.test(uncommented)
  const mistakesOf = (name: string, value: string) =>
    MISTAKES.filter(([pattern]) => pattern.test(value)).map(([, mistake]) => `${name} ${mistake}`)
  const mistakes = [
    ...mistakesOf('IDENT', identifier),
    ...mistakesOf('PASS', password),
    isCut && 'in .env, PASS is cut at its #: put it in single quotes, or in backticks',
    unset.includes('IDENT') && 'the demo identity was sent: does this Ory have it?',
  ].filter(isText)
  const source = (name: string) =>
    env[name] !== undefined ? 'the environment' : dotenv[name] ? '.env' : 'the demo'
  return {
    baseUrl: new URL(base).href.replace(/\/+$/, ''),
    isHttps: /^https:/i.test(base),
    isLocal,
    identifier,
    password,
    proxy,
    hasExtraCertificates: Boolean(env.NODE_EXTRA_CA_CERTS),
    sources: { BASE_URL: source('BASE_URL'), IDENT: source('IDENT'), PASS: source('PASS') },
    unset,
    mistakes,
  }
}

/** Prepares a run, and prints the notes that a person should see. Throws a LoginError. */
async function setUp(
  options: ReturnType<typeof readOptions>,
  env: Environment,
  note: Run['note'],
  uncaught: Promise<unknown>,
  signal: AbortSignal,
): Promise<Run> {
  const { timeoutMs, verbose } = options
  const deadline = performance.now() + timeoutMs
  // This timer holds the event loop, which a request that undici has lost does not.
  const text = `nothing complete in the ${timeoutMs / 1000} s of --timeout`
  const timeIsUp = sleep(timeoutMs, noAnswer('TIMEOUT', text), { signal })
  const stopped = Promise.race([timeIsUp, uncaught.then(rootCause)])
  const waitInVain = () => refuse(['.env'], `gave ${text}`, 'is it a named pipe with no writer?')
  const dotenv = await Promise.race([readDotenv(env), stopped.then(waitInVain)])
  const config = { ...readConfig(env, dotenv ?? ''), ...options }

  const { baseUrl, password, sources, unset, proxy } = config
  const request_id = randomUUID()
  const from = Object.entries(sources).map(([name, source]) => `${name} from ${source}`)
  const via = proxy ? `the proxy ${show(proxy.host, [password])} (${proxy.name})` : 'no proxy'
  const settings = [`BASE_URL ${show(baseUrl, [password])}`, from.join(', '), via]
  if (verbose) note(`${settings.join('; ')}; x-request-id ${request_id}`)
  if (unset.length > 0) note(`not set, so the demo default is used: ${unset.join(', ')}`)
  if (!config.isHttps && !config.isLocal) note('BASE_URL is http: the password travels unencrypted')
  return { config, note, deadline, stopped, request_id, steps: [], ...openConnection(config) }
}

// ---- main

/** Where the output goes. */
interface Streams {
  print: (text: string) => Promise<unknown> // to stdout, which may fail
  say: (text: string) => Promise<unknown> // to stderr, a line or several
  highlight?: (text: string) => string // for a word, where stderr is a terminal
  uncaught?: Promise<unknown> // resolves with an error that no other promise carries
}

/** Runs the program, and returns its exit code within the time of --timeout. */
export async function main(args: string[], env: Environment, streams: Streams): Promise<number> {
  const { print, say, highlight = String, uncaught = new Promise(() => {}) } = streams
  const note = (text: string) => say(`ory-login: note: ${text}`)
  const done = new AbortController()
  let run: Run | undefined
  let failure: Failure | undefined
  let text = ''
  try {
    for (const name of ['logout', 'json', 'timeout'].filter((name) => env[`npm_config_${name}`]))
      note(`npm took --${name} for itself: write npm run -s login -- --${name}`)
    const options = readOptions(args)
    if (options.help) text = HELP
    else if (options.version) text = `${VERSION}\n`
    else {
      run = await setUp(options, env, note, uncaught, done.signal)
      await logIn(run).finally(() => run?.dispatcher.destroy())
    }
  } catch (error) {
    failure = error instanceof LoginError ? error.failure : reportBug(error)
  }
  done.abort()

  text ||= result(run, failure, args.includes('--json'))
  const time = Math.max((run?.deadline ?? 0) - performance.now(), 1000) // a second of grace
  const late = sleep(time, new Error('nothing reads the output'), { ref: false })
  const printed = text ? print(text).then(() => undefined) : undefined
  const fault = await Promise.race([printed, late]).catch((error) => error)
  if (fault) {
    const error = `the result could not be printed: ${rootCause(fault).text}`
    const hints = ['check where stdout goes: a full disk, or a pipe that nobody reads']
    failure ??= { exit_code: 1, step: 'print result', error, hints }
  }
  if (!failure) return 0
  const lines = [`ory-login: ${highlight('error:')} ${describe(failure, run?.request_id)}`]
  if (env.GITHUB_ACTIONS === 'true') lines.push(annotate(failure))
  await Promise.race([say(lines.join('\n')), late])
  return failure.exit_code
}

/** Tells that this program failed itself; the error's text is not told: it could quote a secret. */
function reportBug(error: unknown): Failure {
  const what = `ory-login itself failed (${rootCause(error).code})`
  const hints = [
    'run it with Node.js 20.18.1 or later, and with the packages of package-lock.json',
    `with these, this is a bug in ory-login ${VERSION}: please report it`,
  ]
  return { exit_code: 1, step: 'log in', error: what, hints }
}

// If another file was started, this one was only imported, as by the tests. Where that cannot be
// told (a file: URL, standard input, an ending that tsx replaced), it runs: silence would look
// like success.
const [, started = ''] = process.argv
const isFile = fs.statSync(started, { throwIfNoEntry: false })?.isFile() ?? false
if (!isFile || fs.realpathSync(started) === fs.realpathSync(fileURLToPath(import.meta.url))) {
  process.exitCode = 1 // if this ends in a way that nobody planned, it must not be green
  process.stderr.on('error', () => {}) // stderr is gone: the exit code must be enough
  process.on('SIGTERM', () => process.exit(143)) // as process 1 of a container it would go on
  const print = (text: string) =>
    new Promise<void>((resolve, reject) => {
      // If a file cannot grow any further, process.stdout loses the rest without an error.
      if (fs.fstatSync(1).isFile()) resolve(fs.writeFileSync(1, text))
      else process.stdout.write(text, (error) => (error ? reject(error) : resolve()))
    })
  const say = (text: string) => new Promise((resolve) => process.stderr.write(`${text}\n`, resolve))
  // One format at a time: of a list, Node.js 20 does not ask NO_COLOR.
  const style = (format: 'bold' | 'red', text: string) =>
    process.stderr.isTTY ? styleText(format, text, { stream: process.stderr }) : text
  const highlight = (text: string) => style('bold', style('red', text))
  const uncaught = new Promise((resolve) => process.on('uncaughtException', resolve))
  const streams = { print, say, highlight, uncaught }
  const code = await main(process.argv.slice(2), process.env, streams).catch(async (error) => {
    await say(`ory-login: error: ${reportBug(error).error}`)
    return 1
  })
  process.exit(code)
}
