/**
 * ory-login: can a person log in to this Ory project right now?
 *
 *   start login flow     GET    /self-service/login/api         gives the id of a flow
 *   submit credentials   POST   /self-service/login?flow=<id>   gives a session token
 *   verify session       GET    /sessions/whoami                says whose session that is
 *   log out              DELETE /self-service/logout/api        only with --logout
 *
 * In this order: the contract with the user (HELP), the login as Ory's protocol has it, what its
 * failures mean, secrets, requests, the set-up, and main.
 * Ory's own account: https://www.ory.com/docs/kratos/self-service/flows/user-login
 */
import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import * as fs from 'node:fs'
import { Socket } from 'node:net'
import { resolve } from 'node:path'
import { text as readText } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import { parse as parseDotenv } from 'dotenv' // config() would print, and obey DOTENV_* variables
import { Client, type Dispatcher, EnvHttpProxyAgent, fetch, type Headers } from 'undici'

/** Shown by --version, and sent as the user agent. */
export const VERSION = '1.0.0'

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

Variables, from the environment, else from .env in the working directory:
  BASE_URL  public API of the project (${DEMO.BASE_URL})
  IDENT     identifier of a test identity, such as its email address
  PASS      its password
  Set IDENT and PASS both, or neither: then the demo identity is used, which
  is sent to this machine only (${DEMO.IDENT}, ${DEMO.PASS}).
From the environment only:
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY  choose a proxy; this machine itself is
                                     always asked directly
  NODE_EXTRA_CA_CERTS                PEM file of a private authority

Options:
  --timeout <seconds>  for the whole run, more than 0 and at most 3600 (${OPTIONS.timeout.default})
  --logout             end the session once it is verified
  --json               print one JSON value on stdout, on success and failure
  --verbose            tell on stderr what is in force, and each request
  -h, --help; --version

Exit codes:
  0  verified: whoami confirmed the session that was just made
  1  the answer is not what Ory's API promises
  2  usage or configuration
  3  Ory refused this login, and waiting does not help
  4  no usable answer: network, TLS, proxy, time, rate limit, 5xx, a failing
     hook; try again later

README.md tells more, with recipes for CI and for a check on a schedule.
`

// ---- The login, as Ory's protocol has it

/** The steps, and what Ory promises for each. */
// biome-ignore format: a table
const STEPS = {
  start:  { name: 'start login flow', method: 'GET', path: '/self-service/login/api',
            status: 200, promise: 'a JSON object with the id of a flow' },
  submit: { name: 'submit credentials', method: 'POST', path: '/self-service/login',
            status: 200, promise: 'a JSON object with a session_token' },
  whoami: { name: 'verify session', method: 'GET', path: '/sessions/whoami',
            status: 200, promise: 'the active session that was just made' },
  logout: { name: 'log out', method: 'DELETE', path: '/self-service/logout/api',
            status: 204, promise: 'nothing' },
} as const
export type Step = keyof typeof STEPS

/**
 * Logs in and has the session verified. Throws a LoginError for the first promise not kept.
 * A run holds what is configured, connected and known so far; take() sends a step's request, again
 * where that is worth it, and gives the answer's body once a predicate has found it as promised.
 */
async function logIn(run: Run): Promise<void> {
  const { identifier, password, logout } = run.config

  const flow = await take(run, 'start', {}, isFlow)

  const body = { method: 'password', identifier, password }
  run.login = await take(run, 'submit', { query: { flow: flow.id }, body }, isLogin)

  const { session_token } = run.login
  const headers = { 'x-session-token': session_token }
  run.session = await take(run, 'whoami', { headers }, isSessionOf(run.login))

  if (logout) await take(run, 'logout', { body: { session_token } }, isAnything)
}

// What a server sends is unknown until a predicate has looked at it.
type Flow = { id: string }
type Login = { session_token: string; session?: { id?: unknown; identity?: { id: string } | null } }
type Session = { active: true; identity: { id: string }; id: unknown; expires_at: unknown }

const field = (value: unknown, key: string): unknown => Object(value)[key]
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
/** Half a surrogate pair (Cs) is no text: it cannot be encoded. */
const isText = (value: unknown): value is string =>
  typeof value === 'string' && /^\P{Cs}+$/u.test(value)
/** An id that a line can show: no control characters, no line breaks, not blank. */
const isId = (value: unknown): value is string =>
  isText(value) && value.trim() !== '' && !/[\p{C}\p{Zl}\p{Zp}]/u.test(value)

const isFlow = (body: unknown): body is Flow => isText(field(body, 'id'))
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
    !sessionFault(body, login)

/**
 * What keeps an answer of whoami from proving this login. Each check logs in as the same identity,
 * so only the id of the session tells a cached older session from the one that was just made.
 */
function sessionFault(session: unknown, login: Login | undefined): string | undefined {
  const [id, identityId] = [field(session, 'id'), field(field(session, 'identity'), 'id')]
  const { id: newId, identity } = login?.session ?? {}
  if (field(session, 'active') !== true) return 'not active'
  if (!isId(identityId)) return 'no identity'
  if (identityId !== (identity?.id ?? identityId)) return 'another identity'
  return id !== (newId ?? id) ? 'another session' : undefined
}

// ---- What failures mean

type Row = readonly [when: string, exit: 1 | 2 | 3 | 4, means: string, hint: string, tries?: number]

/**
 * What a failure means, and what to do. A row fits where each of its facts is there: the status, or
 * the code of what went wrong; a kind of code (KINDS); an id of Ory (#); "words" of Ory, or of the
 * cause where there was no answer; or a name that readAnswer gives to what it sees.
 */
// biome-ignore format: a table, in which the first row that fits counts
const MEANINGS: Readonly<Record<'before' | Step | 'any', readonly Row[]>> = {
  before: [ // what stands before Ory, at whatever step
    ['PROXY + 403|407|UND_ERR_INVALID_ARG', 4, 'the proxy refuses to connect to Ory',
      'check user and password in the proxy variable, and what the proxy allows'],
    ['PROXY + 502|503|504', 4, 'the proxy answers, but it connected nowhere',
      'check the host and port in BASE_URL, and whether the proxy can reach them', 3],
    ['PROXY + UNTRUSTED', 4, 'the certificate of the proxy is not trusted here',
      'if a private authority issued it, set NODE_EXTRA_CA_CERTS to its PEM file; not in .env'],
    ['PROXY', 4, 'the proxy cannot be reached, or does not connect',
      'check HTTPS_PROXY and HTTP_PROXY, or name the host of BASE_URL in NO_PROXY', 3],
    ['403 + cf-mitigated|page', 4, 'a firewall before Ory stopped this; Ory did not judge it',
      'let this machine through the firewall, or run the check from elsewhere'],
    ['401|403 + www-authenticate|"Access credentials"', 1, 'a gateway before Ory wants credentials',
      'point BASE_URL past the gateway, or open the paths of Ory in it'],
    ['404|500 + "not match any rules"|"multiple rules"', 1,
      'a gateway before Ory has no rule, or two, for this path',
      'mend the rules of Oathkeeper, or point BASE_URL past it'],
    ['400 + plain http', 1, 'this port speaks TLS', 'let BASE_URL begin with https://'],
  ],
  start: [
    ['3xx + admin', 1, 'this is the admin API of Ory Kratos',
      'set BASE_URL to its public API: another port, 4433 as a rule'],
    ['3xx + moved', 1, 'Ory answers at another address, with https or at its public port',
      'set BASE_URL to {target}; the public port of Ory Kratos is 4433, and 4434 its admin port'],
    ['3xx + other path', 1, 'a website or an access gateway answers, and wants a browser',
      'set BASE_URL to the public API itself, or let its paths through the gateway'],
    ['404 + two documents + "Unable to locate"', 3, 'a web hook before login refused it',
      "look at the web hooks and Ory Actions before login; the password was not judged"],
    ['5xx|code 5xx + two documents', 4, 'a web hook before login failed; Ory itself is well',
      'look at the web hooks and Ory Actions before login, and at their logs'],
    ['404', 1, 'there is no Ory project at BASE_URL',
      'check BASE_URL for a wrong slug, a wrong path prefix, or the address of another service'],
    ['4xx + #session_already_available', 1, 'Ory saw a cookie or a token that was not sent here',
      'check for a proxy before Ory that adds cookies or headers'],
    ['200 + page', 1, 'a website answers, not the API of Ory',
      'set BASE_URL to the public API, such as https://<slug>.projects.oryapis.com'],
    ['502|503|504', 4, 'a gateway answers, with no Ory behind it; no password was judged',
      'try again later; check the slug in BASE_URL, and the status of the project', 3],
    ['5xx', 4, 'Ory, or something before it, is down; this says nothing about the credentials',
      'try again later; check the slug in BASE_URL, and the logs of the project'],
  ],
  submit: [
    ['4xx + #4000010|#session_verified_address_required', 3, 'the address is not verified',
      'verify it, or use a test identity whose address is verified'],
    ['4xx + #4010011|"account was disabled"', 3, 'this identity is disabled',
      'set the state of the test identity to active, or use another one'],
    ['400 + active password + message', 3, 'the password is right, but a web hook refused it',
      'its text says why: change this hook or Ory Action, or use an identity that it lets in'],
    ['4xx + #4000006', 3, 'wrong password or unknown identifier; Ory does not say which',
      "check IDENT, PASS, and that the identity has a password; if all is right, see Ory's logs"],
    ['4xx + #4000002 + "password_identifier"', 1, 'this Ory Kratos is older than v0.9',
      'update it: this check speaks the protocol of v0.9 and later'],
    ['4xx + #4000002', 3, 'Ory found a field of the login empty',
      'check IDENT and PASS, and for a proxy before Ory that changes requests'],
    ['4xx + #4000037', 3, 'no account has this identifier',
      'check IDENT, and that the identity exists in this project and has a password'],
    ['4xx + #4000038', 3, 'the captcha failed: no program can solve it',
      'switch the captcha off in the project that is tested'],
    ['4xx + #4010002|"by system administrator"', 3, 'the password method is off in this project',
      'enable it (selfservice.methods.password.enabled), or test a project that has it'],
    ['4xx + #4000003|#5000002|#5000003|info', 3, 'this is no login with a password alone',
      'use a test identity that needs no SSO, no code, and no other step'],
    ['4xx + 422|#browser_location_change_required', 1, 'this login needs a browser to go on',
      'use a test identity with a password alone: this checks native clients'],
    ['4xx + 410|#self_service_flow_expired', 1, 'the flow expired before it was submitted',
      'check the clocks of the servers, and selfservice.flows.login.lifespan'],
    ['404 + "Unable to locate"', 1, 'the server that got the submit does not know the flow',
      'if several servers answer at BASE_URL, give them one database'],
    ['403 + #security_csrf_violation', 1, 'the submit reached Ory under another path',
      'check for a proxy before Ory that rewrites paths, and BASE_URL for its prefix'],
    ['400 + "flow query parameter is missing"', 1, 'the submit reached Ory without its query',
      'check for a proxy before Ory that drops the query of a URL'],
    ['4xx + #4000001', 1, 'Ory did not take the request as a native login',
      "read Ory's text: a proxy before Ory may add a cookie or an Origin, or change the body"],
    ['5xx + #invalid_configuration|"misconfiguration"', 3, 'a setting of the project prevents it',
      "read Ory's text: as a rule, the identity has no address to verify, and one is required"],
    ['400 + code 5xx', 4, 'a web hook after login, or another part of Ory, failed',
      "look at the web hooks and Ory Actions after login, and at Ory's logs"],
    ['5xx + "migration hook"', 4, 'the password migration hook failed; Ory itself is well',
      'look at this hook and its logs: Ory could not judge the password'],
    ['5xx + "webhook failed"', 4, 'the password is right, but a web hook after login failed',
      'look at the web hooks and Ory Actions after login, and at their logs'],
    ['502|504 + error', 4, 'a web hook of this login failed, or took too long',
      "look at the web hooks and Ory Actions of the login, and at Ory's logs"],
    ['5xx + error', 4, 'Ory failed at this login; this says nothing about the credentials',
      "try again later, and look at Ory's logs"],
    ['400 + message', 3, 'Ory refused this login, in its own words',
      "read Ory's text: this check knows no more"],
    ['TIMEOUT', 4, 'Ory answers, but this login takes longer than the time that was left',
      'look at web hooks, the cost of password hashes and the database; --timeout gives more time'],
  ],
  whoami: [
    ['200 + not active', 1, 'the session is not active, or there is none',
      'check the session settings, and for a cache or a proxy that answers in the place of Ory'],
    ['200 + no identity|another identity', 1, 'whoami names no identity, or another one',
      'check for a cache or a proxy before Ory that mixes sessions up'],
    ['200 + another session', 1, 'whoami names another session than the one that was just made',
      'check for a cache or a proxy before Ory that answers with an older session'],
    ['401', 1, 'the session token that Ory has just given was refused', 'does a proxy strip it? ' +
      'did another login end it (revoke_active_sessions)? did a database fail?', 2],
    ['403 + #session_aal2_required', 3, 'the password is right, but there is a second factor',
      'use a test identity without a second factor'],
  ],
  logout: [],
  any: [ // whatever the step
    ['429', 4, 'a rate limit is reached; on Ory Network all flows share that of login submits',
      'wait, and run less often; CI runners share addresses, and each address has limits too', 3],
    ['421|UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', 1, 'the server says 421: not for this host name',
      'check the host in BASE_URL, and how the gateway before Ory routes by name'],
    ['304', 1, 'a cache answers in the place of Ory', 'keep the paths of Ory out of caches'],
    ['3xx', 1, 'a redirect, which is not followed: it could take the password elsewhere',
      'set BASE_URL to where the public API itself answers'],
    ['502|503|504', 4, 'a gateway answers, with no Ory behind it, though the flow had begun well',
      "try again later; look at Ory's status and its logs", 3],
    ['5xx', 4, 'Ory, or something before it, failed; this says nothing about the credentials',
      "try again later; look at Ory's status and its logs"],
    ['answer', 1, "this is not what Ory's API promises", 'check what answers at BASE_URL'],
    // no answer at all
    ['ECONNREFUSED', 4, 'nothing listens there',
      'check host and port in BASE_URL, and that Ory is running', 3],
    ['CUT|"Invalid EOF state" + https', 4, 'the connection was cut before the answer was complete',
      'check what stands before Ory; a server that wants a client certificate cuts it as well', 3],
    ['CUT|"Invalid EOF state"', 4, 'the connection was cut before the answer was complete',
      'if this port speaks TLS, BASE_URL needs https://; else check what stands before Ory', 3],
    ['EAI_AGAIN', 4, 'the host name cannot be looked up at the moment',
      'check the network and its DNS, and try again', 3],
    ['ENOTFOUND', 4, 'there is no host of this name',
      'check the host name in BASE_URL, and the slug in it'],
    ['TIMEOUT + through a proxy', 4, 'no answer came in time through the proxy',
      'check the proxy, and what it can reach, or give it more time with --timeout'],
    ['TIMEOUT', 4, 'no answer came in time',
      'check host, port, DNS, firewalls and VPN, or give it more time with --timeout'],
    ['ETIMEDOUT|EHOSTUNREACH|ENETUNREACH', 4, 'the host cannot be reached',
      'check host and port in BASE_URL, DNS, firewalls and VPN, and the IPv6 of this network', 3],
    ['CERT_HAS_EXPIRED|CERT_NOT_YET_VALID', 4, 'the certificate of the server does not hold now',
      'renew it if it has expired, and check the clock of this machine'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 4, 'the certificate of the server is for another name',
      'check the host name in BASE_URL; if it is right, the server needs a certificate for it'],
    ['NO TLS + through a proxy', 4, 'what answers through the proxy speaks no TLS',
      'does the proxy want a login in a browser first? If not, check the port in BASE_URL'],
    ['NO TLS', 4, 'this port does not speak TLS',
      'check the port in BASE_URL, and whether it should begin with http://'],
    ['NO COMMON TLS', 4, 'client and server share no version of TLS or of HTTP',
      'let the server speak TLS 1.2 or later, and HTTP/1.1'],
    ['TLS FAILED', 4, 'the TLS handshake failed',
      'does it want a client certificate? this check has none; or do they share no cipher?'],
    ['UNTRUSTED + extra certificates', 4, 'the certificate of the server is not trusted here',
      'nothing in NODE_EXTRA_CA_CERTS vouches for it: that takes a PEM file of its authority'],
    ['UNTRUSTED', 4, 'the certificate of the server is not trusted here',
      'if a private authority issued it, set NODE_EXTRA_CA_CERTS to its PEM file; not in .env'],
    ['ERR_ASSERTION', 4, 'undici, the HTTP library of this check, could not read the answer',
      'does something before Ory compress it? It was asked for uncompressed'],
    ['NO HTTP|"too many content-encodings"', 1, 'what came is no sound HTTP answer',
      'check host and port in BASE_URL: another service may listen there'],
    ['"bad port"', 2, 'fetch refuses to use the port in BASE_URL',
      'serve Ory at a port that is not listed at https://fetch.spec.whatwg.org/#bad-port'],
    ['NO_CAUSE', 4, 'fetch hides the cause, as it does where a proxy in the way answers 407',
      'check for a proxy between here and BASE_URL; if it wants credentials, set HTTPS_PROXY'],
  ],
}
/** Where no row fits. */
const OTHERWISE: Row = ['', 4, 'the request failed', 'check BASE_URL and the network up to Ory']

/** Kinds of codes, where there was no answer. A code may be of several: the first row counts. */
const KINDS: Readonly<Record<string, RegExp>> = {
  CUT: /^(ECONNRESET|EPIPE|UND_ERR_SOCKET|UND_ERR_RES_CONTENT_LENGTH_MISMATCH)$/,
  'NO TLS': /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/,
  'NO COMMON TLS': /^ERR_SSL_\w*(PROTOCOL|VERSION)/,
  'TLS FAILED': /^(ERR_SSL_|EPROTO)/,
  UNTRUSTED: /^(\w*CERT|UNABLE_TO_)/,
  'NO HTTP': /^(HTTPParserError|UND_ERR_(HEADERS_|RES_)|Z_|ERR__|BODY_)/, // Z_: zlib, ERR__: Brotli
}

/** The words, in their quotes, that rows look for. */
const WORDS = Object.values(MEANINGS).flatMap((rows) =>
  rows.flatMap(([when]) => when.match(/"[^"]+"/g) ?? []),
)

/** What came: an answer; or, with no status, the code of what went wrong, after PROXY if it did. */
export type Received = {
  came: string
  text: string
  status?: number
  headers?: Headers
  body?: unknown
}

/** What is told of a failure: a line each, and no secrets. */
type Failure = {
  exit_code: 1 | 2 | 3 | 4
  step: string
  request?: string
  status?: number | undefined
  ory_ids?: string[]
  variables?: readonly string[] | undefined
  error: string
  hint: string
}

/** The one error of this program. */
class LoginError extends Error {
  readonly failure: Failure
  constructor(failure: Failure, remark = '') {
    super(failure.error + remark)
    this.failure = { ...failure, error: this.message }
  }
}

/** What a failure means: the first row of MEANINGS that fits. */
export function meaningOf(step: Step, facts: readonly string[]): Row {
  const isThere = (fact: string) => facts.includes(fact)
  const fits = ([when]: Row) => when.split(' + ').every((part) => part.split('|').some(isThere))
  const { before, [step]: ofStep, any } = MEANINGS
  return [...before, ...ofStep, ...any].find(fits) ?? OTHERWISE
}

type Seen = Pick<Run, 'config' | 'login'> & { connection?: Connection }

/** Reads what came in place of a promise: its facts for MEANINGS, and the words that tell most. */
export function readAnswer({ config, login, connection }: Seen, step: Step, received: Received) {
  const { came, text, status, headers } = received
  // Where a web hook fails before login, Ory sends two documents: its error, then the flow.
  const [line = '', ...lines] = text.split('\n')
  const body = received.body ?? parseJson(line)
  const isTwo = received.body === undefined && lines.join('').trim() !== ''
  const isPage = body === undefined && /^\s*</.test(text)
  const ory = readOry(body, status)
  const ids = [...ory.ids, headers?.get('ory-error-id')].filter(isText)
  const code = came.replace('PROXY ', '')
  const words = status ? ory.words : text
  const kinds = Object.keys(KINDS).filter((kind) => KINDS[kind]?.test(code))
  const redirect =
    status && /^3(?!04)/.test(came) ? readRedirect(config.baseUrl, step, headers) : undefined
  const facts = [
    status && 'answer',
    ...came.split(' '),
    ...(status ? [`${came[0]}xx`] : kinds),
    ...WORDS.filter((quoted) => words.includes(quoted.slice(1, -1))),
    ...ids.map((id) => `#${id}`),
    ...ory.facts,
    redirect?.fact,
    body !== undefined && isTwo && 'two documents',
    isPage && 'page',
    text.trim() === 'Client sent an HTTP request to an HTTPS server.' && 'plain http',
    headers?.has('cf-mitigated') && 'cf-mitigated',
    headers?.has('www-authenticate') && 'www-authenticate',
    config.baseUrl.startsWith('https:') && 'https',
    config.hasExtraCertificates && 'extra certificates',
    connection?.proxy && 'through a proxy',
    step === 'whoami' && status === 200 && sessionFault(body, login),
  ]
  const [, title = ''] = /<title[^<>]*>(.*?)<\/title/is.exec(text.slice(0, 8192)) ?? []
  const active = step === 'whoami' ? field(body, 'active') : undefined
  const texts = [
    redirect?.text,
    ...ory.texts,
    active !== undefined && Object(active) !== active && `active: ${JSON.stringify(active)}`,
    isPage && !redirect && (title.trim() ? `a page titled "${title.trim()}"` : 'an untitled page'),
    headers?.has('cf-ray') && `cf-ray ${headers.get('cf-ray')}`,
  ]
  // Where Ory says nothing, the text itself; but not that of a 200, which could hold a token.
  const other =
    body !== undefined ? 'JSON that says no more' : status === 200 ? 'no JSON' : text.trim()
  return {
    facts: facts.filter(isText),
    ids: [...new Set(ids)],
    text: texts.filter(isText).join(': ') || other || 'nothing',
    target: redirect?.target ?? '',
  }
}

/**
 * Reads Ory's JSON. Its ids and words stand in `error`, or in the messages of the form and of its
 * fields; the values of fields are not read, the identifier is among them.
 */
function readOry(body: unknown, status: number | undefined) {
  const [error, ui] = [field(body, 'error'), field(body, 'ui')]
  const { id, code, reason, message }: Record<string, unknown> = Object(error)
  const otherCode = typeof code === 'number' && code !== status ? String(code) : ''
  const parts = [ui, ...list(field(ui, 'nodes'))]
  const messages = parts.flatMap((part) => list(field(part, 'messages')))
  const of = (key: string) => messages.map((each) => field(each, key))
  const ids = [id, ...of('id')].map((each) => (typeof each === 'number' ? String(each) : each))
  // A hook words its messages as it likes. Ory's own are those of an error, and of an empty field.
  const own = [reason, message, ...(ids.includes('4000002') ? of('text') : [])]
  const words = own.filter(isText).join('\n')
  const facts = [
    Object(error) === error && 'error',
    messages.length > 0 && 'message',
    of('type').includes('info') && 'info',
    field(body, 'active') === 'password' && 'active password',
    /^5\d\d$/.test(otherCode) && 'code 5xx',
  ]
  const told = new Set([reason, message, error, field(body, 'message'), ...of('text')])
  return { ids, words, facts, texts: [otherCode && `error.code ${otherCode}`, ...told] }
}

/** Reads where a redirect points to, and what BASE_URL should be if an Ory project is there. */
function readRedirect(baseUrl: string, step: Step, headers: Headers | undefined) {
  const { path } = STEPS[step]
  const [asked, location] = [baseUrl + path, headers?.get('location')]
  const to = location && URL.canParse(location, asked) ? new URL(location, asked) : undefined
  if (!to?.host) return { fact: '', text: 'it names no place to go to', target: '' }
  const base = new URL(baseUrl)
  const place = `${to.protocol}//${to.host}${to.pathname}`
  const target = place.endsWith(path) ? place.slice(0, -path.length) : `${to.protocol}//${to.host}`
  const isLess = base.protocol === 'https:' && to.protocol === 'http:' // never advised
  const isMore = base.protocol === 'http:' && to.protocol === 'https:'
  const isMoved = place.endsWith(path) || (isMore && to.hostname === base.hostname)
  const isAdmin = target === `${baseUrl}/admin` // up to v1.3 so; later it points to the public API
  const fact = isAdmin ? 'admin' : isMoved && target !== baseUrl ? 'moved' : 'other path'
  return { fact: isLess ? '' : fact, text: `it points to ${place}`, target }
}

/** What IDENT and PASS may hold by mistake: hints where Ory refused them. */
const MISTAKES: readonly [pattern: RegExp, mistake: string][] = [
  [/^\s|\s$/, 'begins or ends with white space, which counts'],
  [/^\s*(["'`]).*\1\s*$/s, 'is in quotes, which were sent as a part of it'],
  [/^\s*(["'`])(?!.*\1\s*$)/s, 'begins with a quote that is not closed'],
  [/^\s*[\u2018-\u201f\u00ab\u00bb]/, 'begins with a typographic quote, which is a part of it'],
]

const mistakesIn = (name: string, value: string): string[] =>
  MISTAKES.filter(([pattern]) => pattern.test(value)).map(([, mistake]) => `${name} ${mistake}`)

/** Words a failure: its step, what was expected, what came, what that means, and what to do. */
function explain(run: Run, step: Step, received: Received): { failure: Failure; tries: number } {
  const { baseUrl, shownUrl, identifier, password, isCut, unset } = run.config
  const { name, method, path, status, promise } = STEPS[step]
  const { facts, ids, text, target } = readAnswer(run, step, received)
  const [, exit_code, means, hint, tries = 1] = meaningOf(step, facts)
  const token = run.login?.session_token ?? field(received.body, 'session_token')
  const secrets = [password, identifier, ...partsOf(token)]
  const safe = (each: string) => show(each, secrets)
  // Of where a redirect points to, only a part is shown; but all of it counts.
  const location = received.headers?.get('location') ?? ''
  const told = repeatsSecret(location.slice(0, 2000), secrets) ? WITHHELD : safe(text)
  const ory_ids = ids.slice(0, 8).map(safe)
  const got = [received.came, ...ory_ids].join(' ')
  const { proxy } = run.connection

  const isOfHook = facts.includes('active password') // whatever id it chose
  const isRefused = step === 'submit' && !isOfHook && /\b400000[26]\b/.test(ids.join())
  const hints = [
    hint.replace('{target}', () => safe(target)),
    ...(isRefused ? [...mistakesIn('IDENT', identifier), ...mistakesIn('PASS', password)] : []),
    isRefused && isCut && 'in .env, PASS is cut at its #: put it into single quotes',
    isRefused && unset.includes('IDENT') && 'the demo identity was sent: does this Ory have it?',
    unset.includes('BASE_URL') && 'BASE_URL is not set, so the demo default was asked',
    !received.status && baseUrl === DEMO.BASE_URL && 'npm run demo shows a login with no server',
  ]
  const done = step === 'logout' ? 'the login is verified, but its session is left behind: ' : ''
  const failure = {
    exit_code,
    step: name,
    request: `${method} ${shownUrl}${path}${proxy ? ` through the proxy ${safe(proxy)}` : ''}`,
    status: received.status,
    ory_ids,
    error: `${done}${means}: expected ${status} with ${promise}, got ${got}: ${told}`,
    hint: hints.filter(isText).join('; '),
  }
  return { failure, tries }
}

// ---- Secrets

/** Ory takes no password under 6 characters. What is shorter is no secret: it occurs by chance. */
const SHORTEST_SECRET = 6
/** So much of a secret, from its beginning, tells it. */
const TELLING_PART = 24
/** Undoing escapes ends here: a text with more readings is not worth showing. */
const MOST_READINGS = 200
const WITHHELD = '(withheld: it repeats a secret)'

const character = (digits: string, radix: number): string =>
  String.fromCodePoint(Math.min(Number.parseInt(digits, radix), 0x10ffff))
const NAMED: Readonly<Record<string, string>> = { AMP: '&', LT: '<', GT: '>', QUOT: '"', APOS: "'" }
/** What stands behind a backslash, in JSON or in a shell. */
function unescaped(code: string): string {
  if (/^[ux]./i.test(code)) return character(code.slice(1), 16)
  if (/^\d{3}/.test(code)) return character(code, 8)
  return /[bfnrt]/.test(code) ? ' ' : code
}

/** How characters are escaped. */
const ESCAPES: readonly [pattern: RegExp, decode: (code: string) => string][] = [
  [/\\(u[\dA-F]{4}|x[\dA-F]{2}|[0-3][0-7]{2}|[\s\S])/gi, unescaped],
  [/%([\dA-F]{2})/gi, (code) => character(code, 16)], // URLs and forms, byte by byte
  [/&#X([\dA-F]{1,6});?/gi, (code) => character(code, 16)], // HTML, XML
  [/&#(\d{1,7});?/g, (code) => character(code, 10)],
  [/&([A-Z]+);/gi, (code) => NAMED[code.toUpperCase()] ?? ''], // the rest are not ASCII
]

/** A text as it is, and with its escapes undone in whatever order; the set grows as it is read. */
function readingsOf(text: string): Set<string> {
  const readings = new Set([text])
  for (const reading of readings) {
    if (readings.size >= MOST_READINGS) break
    readings.add(stripVTControlCharacters(reading))
    for (const [pattern, decode] of ESCAPES)
      readings.add(reading.replace(pattern, (_, code) => decode(code)))
  }
  return readings
}

/** What is left of Latin-1 that is read as UTF-8: each letter beyond ASCII is lost (\ufffd). */
const asUtf8 = (text: string): string => Buffer.from(text, 'latin1').toString()
/** A secret as it is, and in the encodings that it is mistaken for. */
function spellingsOf(secret: string): string[] {
  const bytes = Buffer.from(secret)
  // Without `stream`, some versions of Node take windows-1252 for Latin-1.
  const windows1252 = new TextDecoder('windows-1252').decode(bytes, { stream: true })
  return [secret, bytes.toString('latin1'), windows1252, asUtf8(secret)]
}

/** What is compared: all; all but white space; all but what escaping adds; letters and digits. */
const LOOKS: readonly ((text: string) => string)[] = [
  (text) => text.replace(/[\p{C}\p{Z}]+/gu, ' ').trim(),
  (text) => text.replace(/[\p{C}\p{Z}]/gu, ''),
  (text) => text.replace(/[\p{C}\p{Z}\\+'"]/gu, ''),
  (text) => text.replace(/[^\p{L}\p{N}]/gu, ''),
]
const fold = (text: string): string => text.normalize('NFC').toLowerCase().toUpperCase()

/** Of a token at most 24 characters are shown, and at least 15 are not. */
const shownOf = (token: string): string =>
  token.slice(0, Math.max(0, Math.min(24, token.length - 15)))
/** A token is secret without its constant prefix as well, and so is the part that is not shown. */
const partsOf = (token: unknown): string[] =>
  isText(token) ? [token, token.replace(/^ory_st_/, ''), token.slice(shownOf(token).length)] : []

/** Whether a text repeats one of the secrets, in whatever escaping, case, or mistaken encoding. */
export function repeatsSecret(text: string, secrets: readonly string[]): boolean {
  const spellings = secrets.flatMap(spellingsOf).map(fold)
  const readings = [...readingsOf(text)]
  const folded = readings.flatMap((reading) => [fold(reading), fold(asUtf8(reading))])
  const isRepeated = (look: (text: string) => string): boolean => {
    const parts = spellings.map((secret) => look(secret).normalize('NFC').slice(0, TELLING_PART))
    const telling = parts.filter((part) => part.length >= SHORTEST_SECRET)
    const seen = folded.map((reading) => look(reading).normalize('NFC'))
    return telling.some((part) => seen.some((reading) => reading.includes(part)))
  }
  return readings.length >= MOST_READINGS || LOOKS.some(isRepeated)
}

/**
 * Makes any text safe to show: one line of at most 250 characters, without escape sequences,
 * secrets, or commands of a CI (Azure Pipelines obeys a ##).
 */
export function show(text: string, secrets: readonly string[]): string {
  const part = text.trim().replace(/\s+/g, ' ').slice(0, 2000)
  const isKey = /ory_(pat|apikey|wak|st|lo|at|rt|ac)_\w/.test(part) // of Ory, whosever it is
  if (isKey || repeatsSecret(part, secrets)) return WITHHELD
  const line = stripVTControlCharacters(part).replace(/[\p{C}\p{Z}]+/gu, ' ')
  return line.replace(/#(?=#)/g, '# ').replace(/^(.{249}).{2,}$/u, '$1…')
}

// ---- Requests

/** A run under way. */
interface Run {
  config: Config
  connection: Connection
  say: Say
  /** In ms, on the clock of performance.now(). */
  deadline: number
  /** Resolves with what ends a run from outside: its time is up, or an error reached nobody. */
  stopped: Promise<Received>
  /** Ory logs it, and repeats it in its answers. */
  request_id: string
  steps: StepRecord[]
  login?: Login
  session?: Session
}
/** A step so far; the times are those of its answers, and of the waits between them. */
type StepRecord = {
  name: string
  status: number | null
  attempts: number
  duration_ms: number
  waited_ms: number
}
type Sent = { query?: Record<string, string>; headers?: Record<string, string>; body?: object }

/**
 * Takes one step: sends its request, again where the failure is worth it and the wait fits into the
 * time left, and gives the body that Ory promises. Throws a LoginError for anything else.
 */
async function take<Body>(
  run: Run,
  step: Step,
  sent: Sent,
  isPromised: (body: unknown) => body is Body,
): Promise<Body> {
  const { name, method, path, status } = STEPS[step]
  const record: StepRecord = { name, status: null, attempts: 0, duration_ms: 0, waited_ms: 0 }
  run.steps.push(record)
  for (let attempt = 1; ; attempt++) {
    const began = performance.now()
    record.attempts = attempt
    const received = await Promise.race([exchange(run, step, sent), run.stopped])
    const ms = Math.round(performance.now() - began)
    record.duration_ms += ms
    record.status = received.status ?? null
    const url = `${run.config.shownUrl}${path}`
    if (run.config.verbose) run.say(`${name}: ${method} ${url}: ${received.came} in ${ms} ms`)
    // At a second try to log out, Ory's 403 means that the first one did: its answer was lost.
    const isRefusal = received.status === 403 && field(received.body, 'error') !== undefined
    const isGone = step === 'logout' && attempt > 1 && isRefusal
    if ((received.status === status || isGone) && isPromised(received.body)) return received.body

    const { failure, tries } = explain(run, step, received)
    const wait = Math.round(waitMs(attempt, received))
    const next = `attempt ${attempt + 1} of ${tries} is due in ${Math.ceil(wait / 100) / 10} s`
    const isLate = performance.now() + wait >= run.deadline
    if (tries === 1) throw new LoginError(failure)
    if (attempt >= tries) throw new LoginError(failure, `, at attempt ${attempt} of ${tries}`)
    if (isLate) throw new LoginError(failure, `; ${next}, and --timeout leaves no time for that`)
    run.say(`note: ${name}: got ${received.came}; ${next}`)
    await sleep(wait)
    record.waited_ms += wait
  }
}

/**
 * How long to wait before the next attempt, in ms: what the server asks, in whole seconds or as a
 * date, and at least a backoff, since Ory Network's usual x-ratelimit-reset is 0. Ory Network names
 * one such value for each of its limits, and the longest counts.
 */
export function waitMs(attempt: number, { status, headers }: Pick<Received, 'status' | 'headers'>) {
  const after = headers?.get('retry-after') ?? ''
  const resets = headers?.get('x-ratelimit-reset')?.split(',') ?? []
  const seconds = [after, ...resets].filter((text) => /^\s*\d+\s*$/.test(text)).map(Number)
  const date = new Date(after)
  const untilDate = date.toUTCString() === after ? date.getTime() - Date.now() : 0
  const backoff = attempt * (status === 429 ? 1000 : 250)
  const asked = Math.min(Math.max(0, ...seconds), 1e6) * 1000
  return Math.max(backoff, untilDate, asked) + (Math.random() * backoff) / 2
}

/** So much of a body is read, in bytes after decompression. Ory's have some thousand. */
const BODY_BYTES = 2 ** 20

/** Sends the request of a step once, and gives what came. */
async function exchange(run: Run, step: Step, { query, headers, body }: Sent): Promise<Received> {
  const { dispatcher } = run.connection
  const { method, path } = STEPS[step]
  const url = `${run.config.baseUrl}${path}${query ? `?${new URLSearchParams(query)}` : ''}`
  const request = {
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
    dispatcher,
  } as const
  const stop = tellWaiting(run, STEPS[step].name)
  try {
    const response = await fetch(url, request)
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of response.body ?? []) {
      size += chunk.length
      if (size > BODY_BYTES)
        return { came: 'BODY_TOO_LARGE', text: `more than ${BODY_BYTES} bytes` }
      chunks.push(chunk)
    }
    const bytes = Buffer.concat(chunks)
    const text = new TextDecoder().decode(bytes)
    const { status } = response
    const json = isUtf8(bytes) ? parseJson(text) : undefined
    return { came: String(status), text, status, headers: response.headers, body: json }
  } catch (error) {
    const cause = rootCause(error)
    const { isDialling = false, proxyStatus = cause.came } = run.connection
    return isDialling ? { came: `PROXY ${proxyStatus}`, text: cause.text } : cause
  } finally {
    stop()
  }
}

/** Says what is waited for, after 3 s and then every 10 s, until it is stopped. */
function tellWaiting(run: Run, name: string): () => void {
  let waited = 3
  const tell = () => {
    run.say(`note: ${name}: no answer yet after ${waited} s`)
    waited += 10
    timer = setTimeout(tell, 10_000).unref()
  }
  let timer = setTimeout(tell, 3000).unref()
  return () => clearTimeout(timer)
}

/** Gives undefined where the text is not the JSON of an object, which all of Ory's answers are. */
function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return Object(value) === value ? value : undefined
  } catch {
    return undefined
  }
}

/** Finds the real cause, the deepest, behind fetch's "fetch failed" and "terminated". */
function rootCause(error: unknown): Received {
  if (!(error instanceof Error)) return { came: 'unknown', text: String(error) }
  if (error.cause) return rootCause(error.cause)
  // A name with two addresses, both refused, gives an AggregateError without a text of its own.
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error]
  // OpenSSL's message is a line of numbers and paths; its reason has the words.
  const text = errors.map((each) => field(each, 'reason') ?? field(each, 'message'))
  const [code, told] = [field(error, 'code'), text.join(', ')]
  if (!told && !isText(code)) return { came: 'NO_CAUSE', text: 'an error without code or text' }
  return { came: isText(code) ? code : error.name, text: told }
}

interface Connection {
  dispatcher: Dispatcher
  /** Host and port of the proxy, once it is used. */
  proxy?: string
  /** Whether what fails is the proxy's: it has not connected us yet, or it speaks for Ory. */
  isDialling?: boolean
  proxyStatus?: string
}

/**
 * Opens the one connection of a run, through the proxy that the variables name for it, if any. The
 * time has its limit in main alone, so those of undici are off.
 */
function openConnection(config: Config): Connection {
  const { httpProxy, httpsProxy, noProxy } = config
  const connect = {
    rejectUnauthorized: true, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
    timeout: 0,
    autoSelectFamilyAttemptTimeout: 3000, // Node's 250 ms are too short for a far host
  }
  const open = (origin: string | URL, options: object) =>
    new Client(origin, { ...options, headersTimeout: 0, bodyTimeout: 0 })
  const { origin: ory } = new URL(config.baseUrl)

  // Of a plain http request the proxy is the server; through https it connects us (CONNECT).
  const connection: Connection = {
    dispatcher: new EnvHttpProxyAgent({
      connect,
      proxyTls: connect,
      requestTls: connect,
      proxyTunnel: false,
      httpProxy,
      httpsProxy,
      noProxy,
      factory: (origin, options) => {
        const { host, origin: asked } = new URL(origin)
        if (asked !== ory) Object.assign(connection, { proxy: host, isDialling: true })
        return open(origin, options)
      },
      clientFactory: ({ href, host }, options) => {
        const client = open(href, options)
        const dial = client.connect.bind(client)
        // Of a proxy that refuses, undici does not tell the status; and one that hangs up it dials
        // again, a thousand times a second, if it sees that error's code.
        client.connect = async (request: Dispatcher.ConnectOptions) => {
          Object.assign(connection, { proxy: host, isDialling: true, proxyStatus: undefined })
          const opened = await dial(request).catch((cause) =>
            Promise.reject(new Error('', { cause })),
          )
          if (opened.statusCode === 200) connection.isDialling = false
          else connection.proxyStatus = String(opened.statusCode)
          return opened
        }
        return client
      },
    }),
  }
  return connection
}

// ---- The set-up

type Environment = Readonly<Record<string, string | undefined>>
type Options = ReturnType<typeof readOptions>
type Config = ReturnType<typeof readConfig> & Options

/** A failure of the set-up: a matter of usage or configuration. */
const mistaken = (step: string, error: string, hint: string, variables?: readonly string[]) =>
  new LoginError({ exit_code: 2, step, variables, error, hint })

/** Reads the options. Throws a LoginError that repeats nothing: it could be a password. */
function readOptions(args: string[]) {
  const fail = (error: string) =>
    mistaken('read options', error, `the options are --${Object.keys(OPTIONS).join(', --')}`)
  try {
    const { timeout, ...flags } = parseArgs({ args, options: OPTIONS }).values
    const seconds = /^\d*\.?\d+$/.test(timeout) ? Number(timeout) : 0
    if (seconds > 0 && seconds <= 3600) return { ...flags, timeoutMs: seconds * 1000 }
  } catch (error) {
    const { came, text } = rootCause(error)
    const isSafe = came === 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE'
    throw fail(isSafe ? text.replace(/\.\s.*/s, '') : 'an argument is none of the options')
  }
  throw fail('--timeout takes seconds, more than 0 and at most 3600')
}

/** Reads .env where a variable is not in the environment. Throws a LoginError. */
async function readDotenv(env: Environment): Promise<string> {
  const fail = (fault: string) =>
    mistaken('read configuration', `.env ${fault}`, 'make .env a text file in UTF-8', ['.env'])
  let text = ''
  try {
    if (VARIABLES.every((name) => env[name] !== undefined)) return ''
    const stat = fs.statSync('.env', { throwIfNoEntry: false })
    if (!stat) return ''
    if (!stat.isFile() && !stat.isFIFO()) throw new Error('it is no file')
    // A pipe is waited for in the event loop: a thread that waits cannot be ended.
    text = stat.isFIFO()
      ? await readText(new Socket({ fd: fs.openSync('.env', fs.constants.O_NONBLOCK) }))
      : fs.readFileSync('.env', 'utf8')
  } catch (error) {
    throw fail(`cannot be read: ${rootCause(error).text}`)
  }
  if (text.includes('\0')) throw fail('holds NUL bytes, as a text in UTF-16 does')
  return text
}

const VARIABLES = ['BASE_URL', 'IDENT', 'PASS'] as const
const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY'] as const
const URL_LIKE = 'it should look like https://your-slug.projects.oryapis.com'

/** What is wrong with variables. No value is repeated: a secret may stand in the wrong variable. */
// biome-ignore format: a table; a row of BASE_URL may rely on those before it
const FAULTS: readonly [readonly string[], (value: string) => boolean, string, string?][] = [
  [VARIABLES, (value) => value.trim() === '',
    'set, but empty', 'does this CI job get its secrets? In .env, an unquoted # ends a value'],
  [VARIABLES, (value) => value.includes('\ufffd'),
    'not in UTF-8', 'save .env as UTF-8, or set the variable in a UTF-8 locale'],
  [['BASE_URL'], (url) => /^["'`\u2018-\u201f]/.test(url), 'in quotes, as a part of it'],
  [['BASE_URL'], (url) => /[<>]/.test(url), 'still with a placeholder such as <slug>'],
  [['BASE_URL'], (url) => !/^https?:\/\//i.test(url), 'without http:// or https://'],
  [['BASE_URL'], (url) => /[\p{C}\p{Z}]/u.test(url),
    'with white space or control characters within'],
  [['BASE_URL'], (url) => !URL.canParse(url), 'not a URL'],
  [['BASE_URL'], (url) => /[?#]/.test(url), 'with a query or a fragment'],
  [['BASE_URL'], (url) => new URL(url).username + new URL(url).password !== '',
    'with a user name or a password'],
  [PROXIES, (url) => url !== '' && !isProxyUrl(url),
    'no URL of an HTTP proxy', 'it should look like http://host:port, or be unset'],
]

/** Whether undici takes it: it has no path, and user and password can be decoded. */
function isProxyUrl(url: string): boolean {
  try {
    decodeURIComponent(url) // throws where undici could not decode user and password
    return URL.canParse(url) && /^https?:\/\/[^/?#]+\/?$/i.test(url)
  } catch {
    return false
  }
}

/** This machine. It is asked directly, with no proxy, and it alone gets the demo identity. */
const isLoopback = (url: string): boolean =>
  /^(localhost|127\.[\d.]+|\[::1\])$/.test(new URL(url).hostname)

/** Reads the configuration: the environment, else .env, else the demo. Throws a LoginError. */
export function readConfig(env: Environment, dotenvText: string) {
  const fail = (names: readonly string[], fault: string, hint: string) =>
    mistaken('read configuration', `${fault}: ${names.join(', ')}`, hint, names)
  const dotenv: Environment = parseDotenv(dotenvText)
  const found = (name: string) => env[name] ?? dotenv[name] // on Windows, env knows it in any case
  const base = (found('BASE_URL') ?? DEMO.BASE_URL).trim()
  const isLocal = URL.canParse(base) && isLoopback(base)
  const proxied = (name: string) => (isLocal ? '' : (env[name.toLowerCase()] ?? env[name] ?? ''))
  const values: Environment = {
    BASE_URL: base,
    IDENT: found('IDENT')?.trim(),
    PASS: found('PASS'),
    HTTP_PROXY: proxied('HTTP_PROXY'),
    HTTPS_PROXY: proxied('HTTPS_PROXY'),
  }
  for (const [names, isFaulty, fault, hint = URL_LIKE] of FAULTS) {
    const faulty = names.filter((name) => values[name] !== undefined && isFaulty(values[name]))
    if (faulty.length > 0) throw fail(faulty, fault, hint)
  }
  const unset = VARIABLES.filter((name) => found(name) === undefined)
  const missing = unset.filter((name) => name !== 'BASE_URL')
  if (missing.length === 1)
    throw fail(missing, 'not set', 'set IDENT and PASS; with neither, the demo identity logs in')
  if (missing.length === 2 && !isLocal)
    throw fail(missing, 'not set', 'set both: the demo identity is for an Ory on this machine only')

  const { IDENT: identifier = DEMO.IDENT, PASS: password = DEMO.PASS } = values
  const baseUrl = new URL(base).href.replace(/\/+$/, '')
  // What PASS would be if # began no comment: unquoted, it ends there.
  const { PASS: uncut = '' } = parseDotenv(dotenvText.replaceAll('#', '\ue000'))
  const isCut = /^[^"'`].*\ue000/s.test(uncut) && !dotenv.PASS?.includes('#')
  const file = show(resolve('.env'), [password])
  const source = (name: string) =>
    env[name] !== undefined ? 'environment' : found(name) ? file : 'demo default'
  return {
    baseUrl,
    shownUrl: show(baseUrl, [password]),
    identifier,
    password,
    httpProxy: values.HTTP_PROXY ?? '',
    httpsProxy: values.HTTPS_PROXY ?? '',
    noProxy: proxied('NO_PROXY'),
    isLocal,
    hasExtraCertificates: Boolean(env.NODE_EXTRA_CA_CERTS),
    isCut: env.PASS === undefined && isCut,
    sources: VARIABLES.map((name) => `${name} from ${source(name)}`),
    unset,
  }
}

/** Makes a run ready, and says what a person should know of it. Throws a LoginError. */
async function setUp(
  options: Options,
  env: Environment,
  { say, uncaught = new Promise(() => {}) }: Streams,
  signal: AbortSignal,
): Promise<Run> {
  const { timeoutMs, verbose } = options
  const deadline = performance.now() + timeoutMs
  // This timer holds the event loop, which a request that undici has lost does not.
  const text = `nothing complete in the ${timeoutMs / 1000} s of --timeout`
  const late = sleep(timeoutMs, { came: 'TIMEOUT', text }, { signal })
  const stopped = Promise.race([late, uncaught.then(rootCause)])
  const dotenv = await Promise.race([readDotenv(env), stopped])
  if (typeof dotenv !== 'string')
    throw mistaken('read configuration', text, 'is .env a pipe that nobody writes to?', ['.env'])
  const config = { ...readConfig(env, dotenv), ...options }

  const { baseUrl, shownUrl, sources, unset, httpProxy } = config
  const isHttps = baseUrl.startsWith('https:')
  const proxy = (isHttps && config.httpsProxy) || httpProxy
  const request_id = randomUUID()
  const host = proxy && show(new URL(proxy).host, [config.password])
  const via = host ? `the proxy ${host}, but for NO_PROXY` : 'no proxy'
  const notes = [
    verbose && `BASE_URL is ${shownUrl}; ${sources.join(', ')}; ${via}; x-request-id ${request_id}`,
    unset.length > 0 && `note: not set, so the demo default is used: ${unset.join(', ')}`,
    !isHttps && !config.isLocal && 'warning: http: the password travels unencrypted',
  ]
  for (const note of notes.filter(isText)) say(note)
  const connection = openConnection(config)
  return { config, connection, say, deadline, stopped, request_id, steps: [] }
}

// ---- main

type Say = (line: string) => Promise<unknown>
/** Where the program speaks: stdout, which may fail, and stderr. */
interface Streams {
  print: (text: string) => Promise<unknown>
  say: Say
  /** Resolves with an error that no other promise carries. */
  uncaught?: Promise<unknown>
}

/** So long may telling how it ended take at the most, once the time is up; in ms. */
const GRACE_MS = 1000

/** Runs the program, and gives its exit code within the time of --timeout. Throws nothing. */
export async function main(args: string[], env: Environment, streams: Streams): Promise<number> {
  const done = new AbortController()
  let run: Run | undefined
  let failure: Failure | undefined
  let text = ''
  for (const name of ['logout', 'json', 'timeout'].filter((name) => env[`npm_config_${name}`]))
    streams.say(`note: npm took --${name} for itself: write npm run -s login -- --${name}`)
  try {
    const options = readOptions(args)
    if (options.help) text = HELP
    else if (options.version) text = `${VERSION}\n`
    else {
      run = await setUp(options, env, streams, done.signal)
      await logIn(run)
    }
  } catch (error) {
    const hint = `this is a bug in ory-login ${VERSION}: please report it`
    const bug: Failure = { exit_code: 1, step: 'log in', error: rootCause(error).came, hint }
    failure = error instanceof LoginError ? error.failure : bug
  }
  done.abort()
  run?.connection.dispatcher.destroy()
  text ||= report(run, failure, args.includes('--json'))
  try {
    const time = Math.max((run?.deadline ?? 0) - performance.now(), GRACE_MS)
    const late = sleep(time, undefined, { ref: false })
    const printed = text ? streams.print(text).then(() => true) : true
    if (!(await Promise.race([printed, late]))) throw new Error('nobody reads what is printed')
  } catch (error) {
    const hint = 'check where stdout goes: a full disk, or a pipe that nobody reads'
    failure ??= { exit_code: 1, step: 'print result', error: rootCause(error).text, hint }
  }
  if (!failure) return 0
  const { step, request, error, hint, exit_code } = failure
  const lines = request
    ? [`${step}: ${request} (x-request-id ${run?.request_id})`, error]
    : [`${step}: ${error}`]
  const told = Promise.all([...lines, `hint: ${hint}`].map(streams.say))
  await Promise.race([told, sleep(GRACE_MS, undefined, { ref: false })])
  return exit_code
}

/** What goes to stdout: the two lines of a verified session, or JSON, and else nothing. */
function report(run: Run | undefined, failure: Failure | undefined, isJson: boolean): string {
  const { config, login, session, steps = [], request_id } = run ?? {}
  const { session_token = '' } = login ?? {}
  const secrets = [config?.password, ...partsOf(session_token)].filter(isText)
  const safe = (value: unknown) => (isText(value) ? show(value, secrets) : '')
  const start = shownOf(session_token)
  const verified = session && {
    token: repeatsSecret(start, secrets.slice(0, 1)) ? WITHHELD : `${start}…`,
    identity_id: safe(session.identity.id),
    session_id: safe(session.id),
    expires_at: safe(session.expires_at),
    logged_out: !failure && config?.logout === true,
  }
  if (!isJson)
    return verified ? `token: ${verified.token}\nidentity_id: ${verified.identity_id}\n` : ''
  const base_url = config?.shownUrl
  const value = { ok: !failure, ...verified, ...failure, base_url, request_id, steps }
  return `${JSON.stringify(value)}\n`
}

// Imported, as by the tests, is what another file started. Where that cannot be told (a file: URL,
// standard input, an ending that tsx replaced), this runs: silence would be taken for green.
const [, started = ''] = process.argv
const isFile = fs.statSync(started, { throwIfNoEntry: false })?.isFile() ?? false
if (!isFile || fs.realpathSync(started) === fs.realpathSync(fileURLToPath(import.meta.url))) {
  process.stderr.on('error', () => {}) // nobody is left to tell: the exit code must do
  const print = (text: string) =>
    new Promise<void>((resolve, reject) => {
      // Where a file can grow no further, process.stdout would lose the rest without a word.
      if (fs.fstatSync(1).isFile()) resolve(fs.writeFileSync(1, text))
      else process.stdout.write(text, (error) => (error ? reject(error) : resolve()))
    })
  const say = (line: string) =>
    new Promise((resolve) => process.stderr.write(`ory-login: ${line}\n`, resolve))
  const uncaught = new Promise((resolve) => process.on('uncaughtException', resolve))
  process.exit(await main(process.argv.slice(2), process.env, { print, say, uncaught }))
}
