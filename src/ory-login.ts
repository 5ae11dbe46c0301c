/**
 * ory-login: can a person log in to this Ory project right now?
 *
 *   start login flow     GET    /self-service/login/api         gives the id of a flow
 *   submit credentials   POST   /self-service/login?flow=<id>   gives a session_token
 *   verify session       GET    /sessions/whoami                gives active and identity.id
 *   log out              DELETE /self-service/logout/api        (only with --logout)
 * HELP below is this program's contract; Ory's is https://www.ory.sh/docs/kratos/self-service/flows/user-login
 */
import { existsSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import { parse as parseDotenv } from 'dotenv' // its config() would print, and obey DOTENV_* variables
import { type Dispatcher, EnvHttpProxyAgent, fetch, type Headers, Pool, type RequestInit } from 'undici'

export const VERSION = '1.0.0'
const EXIT = { verified: 0, unexpected: 1, usage: 2, refused: 3, unanswered: 4 } as const
type Verdict = Exclude<keyof typeof EXIT, 'verified'>
/** For the demo alone: loopback, and made up. */
const DEFAULTS = { BASE_URL: 'http://127.0.0.1:4433', IDENT: 'demo@example.com', PASS: 'demo-only-password' }
// biome-ignore format: a table
const OPTIONS = {
  help: { type: 'boolean', short: 'h' }, version: { type: 'boolean' }, timeout: { type: 'string', default: '30' },
  logout: { type: 'boolean' }, json: { type: 'boolean' }, verbose: { type: 'boolean' },
} as const
const HELP = `Usage: ory-login [options]

Proves that a person can log in to an Ory project: starts a native flow, submits a password, and verifies the session.

Variables, from the environment, else from .env in the working directory, else the demo defaults:
  BASE_URL  public API of the project, such as https://your-slug.projects.oryapis.com (${DEFAULTS.BASE_URL})
  IDENT     identifier of a test identity, such as its email address (${DEFAULTS.IDENT})
  PASS      its password (${DEFAULTS.PASS})

Options:
  --timeout <seconds>  for the whole run, more than 0 and at most 3600 (${OPTIONS.timeout.default})
  --logout             end the session once it is verified, so that none is left behind
  --json               print one JSON value on stdout, for success and for failure
  --verbose            report each request on stderr
  -h, --help; --version

Exit codes:
  0  verified: whoami confirmed an active session of the identity that logged in
  1  the answer is not what Ory's API promises
  2  usage or configuration
  3  Ory refused this login
  4  no usable answer: network, TLS, proxy, time, rate limit, or a 5xx
`

const HEADERS = { accept: 'application/json', 'user-agent': `ory-login/${VERSION}` } // Ory lists it with the session
const LIMITS = { requestMs: 10_000, bodyBytes: 2 ** 20, attempts: 3 }
/** The failures that pass, by status or code. Nothing else is tried again: refused credentials are sent once. */
const PASSING = /^(429|(PROXY )?(502|503|504|ECONNREFUSED|ECONNRESET|EPIPE|UND_ERR_SOCKET|EAI_AGAIN))$/

/** The steps, and what Ory promises for each. */
// biome-ignore format: a table
const STEPS = {
  start:  { name: 'start login flow',   method: 'GET',    path: '/self-service/login/api',  status: 200, promise: 'a JSON object with the id of a flow' },
  submit: { name: 'submit credentials', method: 'POST',   path: '/self-service/login',      status: 200, promise: 'a JSON object with a session_token' },
  whoami: { name: 'verify session',     method: 'GET',    path: '/sessions/whoami',         status: 200, promise: 'an active session of the identity that logged in' },
  logout: { name: 'log out',            method: 'DELETE', path: '/self-service/logout/api', status: 204, promise: 'nothing' },
}
type Step = keyof typeof STEPS
/** What came in place of a promise, as "<step> <status or code> <ids> : <text>": what it means, what to do. First match. */
type Meaning = readonly [pattern: RegExp, verdict: Verdict, meaning: string, hint: string]
// biome-ignore format: a table, one row a line
const MEANINGS: readonly Meaning[] = [
  [/^\w+ 429 /, 'unanswered', 'the rate limit of this project is reached', 'wait, and run less often: on Ory Network login submits share a limit with registration, recovery and settings'],
  [/^\w+ 5\d\d /, 'unanswered', 'Ory, or something before it, is down; this says nothing about the credentials', 'try again later, look at the status and the logs of the project, and check the slug in BASE_URL'],
  [/^start 307 /, 'unexpected', 'a redirect, as the admin port of Ory Kratos gives', 'set BASE_URL to the public port (4433 by default), not the admin port (4434)'],
  [/^\w+ 3\d\d /, 'unexpected', 'a redirect, which is not followed: it could take the password elsewhere', 'set BASE_URL to where the public API itself answers, with https if it redirects there'],
  [/^start 404 /, 'unexpected', 'there is no Ory project at BASE_URL', 'check BASE_URL for a wrong slug, a wrong path prefix, or the address of another service'],
  [/^start 4.*\bsession_already_available\b/, 'unexpected', 'Ory saw a cookie or a token that was not sent from here', 'check for a proxy before Ory that adds cookies or headers'],
  [/^submit 4.*\b4000006\b/, 'refused', 'wrong password or unknown identifier; Ory does not say which', 'check IDENT and PASS, and that the identity exists in this project'],
  [/^submit 4.*\b4000002\b/, 'refused', 'Ory found a field of the login empty', 'check IDENT and PASS, and for a proxy before Ory that changes requests'],
  [/^submit 4.*\b4000037\b/, 'refused', 'no account has this identifier', 'check IDENT, and that the identity exists in this project and has a password'],
  [/^submit 4.*\b(4000010|session_verified_address_required)\b/, 'refused', 'the address of this identity is not verified', 'verify it, or use a test identity whose address is verified'],
  [/^submit 4.*\b(4010011|account was disabled|identity is disabled)\b/, 'refused', 'this identity is disabled', 'set the state of the test identity to active, or use another one'],
  [/^submit 4.*\b(4010002|disabled by system administrator)\b/, 'refused', 'the password method is off in this project', 'enable it (selfservice.methods.password.enabled), or test a project that has it'],
  [/^submit 4.*\b4000038\b/, 'refused', 'the captcha failed: no program can solve it', 'switch the captcha off in the project that is tested'],
  [/^submit 4.*\berror\.code 5/, 'unanswered', 'a hook or another part of the server failed during this login', 'look at the logs of Ory, and at the webhooks and actions that run after a login'],
  [/^submit (422|4.*\bbrowser_location_change_required)\b/, 'unexpected', 'this login can only go on in a browser', 'use an identity that logs in with a password alone: this checks native clients'],
  [/^submit (410|4.*\bself_service_flow_expired)\b/, 'unexpected', 'the flow expired before it was submitted', "check the servers' clocks, and the lifespan of login flows (selfservice.flows.login.lifespan)"],
  [/^submit 404 .*Unable to locate the resource/, 'unexpected', 'the server that got the submit does not know the flow', 'if several servers answer at BASE_URL, give them one database'],
  [/^submit 4.*\b4000001\b/, 'unexpected', 'Ory did not take the request as a native login', "read Ory's text: a proxy before Ory may add a cookie or an Origin header, or change the body"],
  [/^whoami 200 .*\bactive: true\b/, 'unexpected', 'whoami names no identity, or another than the one that logged in', 'check for a cache or a proxy before Ory that mixes sessions up'],
  [/^whoami 200 /, 'unexpected', 'the session is not active, or there is none', 'check the session settings of the project, and for a cache or a proxy before Ory that answers in its place'],
  [/^whoami 401 /, 'unexpected', 'the session token that Ory has just given was refused', 'check for a proxy before Ory that strips X-Session-Token, and that all servers share one database'],
  [/^whoami 403 .*\bsession_aal2_required\b/, 'refused', 'the password is right, but this identity has a second factor', 'use a test identity without a second factor'],
  // No answer: the code is that of the real cause, after PROXY where it was the proxy that failed.
  [/^\w+ PROXY 40[37] /, 'unanswered', 'the proxy refuses; Ory was not reached', 'check user and password in HTTPS_PROXY or HTTP_PROXY, or name the host of BASE_URL in NO_PROXY'],
  [/^\w+ PROXY /, 'unanswered', 'the proxy cannot be reached or does not connect; Ory was not reached', 'check HTTPS_PROXY and HTTP_PROXY, or name the host of BASE_URL in NO_PROXY'],
  [/^\w+ ECONNREFUSED /, 'unanswered', 'nothing listens there', 'check host and port in BASE_URL, and that Ory is running'],
  [/^\w+ (ECONNRESET|EPIPE|UND_ERR_SOCKET) /, 'unanswered', 'the connection was cut before the answer was complete', 'check what stands between here and Ory; if the port speaks TLS, BASE_URL needs https'],
  [/^\w+ EAI_AGAIN /, 'unanswered', 'the host name cannot be looked up at the moment', 'check the network and its DNS, and try again'],
  [/^\w+ ENOTFOUND /, 'unanswered', 'there is no host of this name', 'check the host name in BASE_URL, and the slug in it'],
  [/^\w+ (TIMEOUT|ETIMEDOUT|UND_ERR_\w+_TIMEOUT|EHOSTUNREACH|ENETUNREACH) /, 'unanswered', 'no answer came in time', 'check host, port, DNS, firewalls and VPN, and whether Ory is overloaded; --timeout gives the whole run more time'],
  [/^\w+ CERT_(HAS_EXPIRED|NOT_YET_VALID) /, 'unanswered', "the server's certificate has expired, or does not hold yet", 'renew it, and check the clock of this machine'],
  [/^\w+ ERR_TLS_CERT_ALTNAME_INVALID /, 'unanswered', "the server's certificate is for another name", 'check the host name in BASE_URL; if it is right, the server needs a certificate for it'],
  [/^\w+ (\w*CERT|UNABLE_TO_)/, 'unanswered', "the server's certificate is not trusted here", 'if a private authority issued it, put the path of its PEM file into NODE_EXTRA_CA_CERTS'],
  [/^\w+ (ERR_SSL_\w+|EPROTO) /, 'unanswered', 'the TLS handshake failed, as it does where a plain http port is asked for https', 'check the port in BASE_URL, and whether it should begin with http://'],
  [/^\w+ (HTTPParserError|UND_ERR_(HEADERS_OVERFLOW|RES\w+)|Z\w+|ERR_(ASSERTION|_ERROR\w+)|BODY_TOO_LARGE|Error : too many content-encodings) ?/, 'unexpected', 'what came is no sound HTTP answer', 'check host and port in BASE_URL: another service may listen there'],
  [/^\w+ Error : bad port/, 'usage', 'fetch refuses to use the port in BASE_URL', 'serve Ory at a port that is not listed at https://fetch.spec.whatwg.org/#bad-port'],
  [/^\w+ \D/, 'unanswered', 'the request failed', 'check BASE_URL and the network between here and Ory'],
]
const ELSE: Meaning = [/^/, 'unexpected', "this is not what Ory's API promises", 'check what answers at BASE_URL']
/** What an error means that is no answer to a step, by what the program was doing. */
const TROUBLES = {
  'read options': ['usage', 'see ory-login --help'],
  'read configuration': ['usage', 'set BASE_URL, IDENT and PASS in the environment or in a readable .env; see --help'],
  'choose proxy': ['usage', 'HTTP_PROXY and HTTPS_PROXY should look like http://host:port, or be unset'],
  'log in': ['unexpected', `this is a bug in ory-login ${VERSION}: please report it`],
  'print result': ['unexpected', 'check where stdout goes: a full disk, or a pipe that was closed'],
} as const

type Environment = Readonly<Record<string, string | undefined>>
type Say = (text: string) => void
type Config = ReturnType<typeof readConfig>
/** What came for a request: an answer; or, without a status, the code and the text of the real cause. */
type Received = { came: string; text: string; status?: number; headers?: Headers; body?: unknown }
type Outcome = Received & { attempts: number; remark: string }
type Sent = { flow?: string; token?: string; body?: object }

/** A run under way, and what --json tells of it. */
interface Run {
  config: Config
  connection: ReturnType<typeof openConnection>
  deadline: number // in ms, on the clock of performance.now()
  secrets: string[] // what no output may hold
  say: Say
  steps: { name: string; status: number | null; attempts: number; duration_ms: number }[]
  verified?: { token: string; identity_id: string; session_id: string; expires_at: string; logged_out: boolean }
}

/** What a failure has to say, one line each and without secrets; the request is method and URL, without its query. */
type Failure = { verdict: Verdict; step: string; ory_ids: string[]; error: string; hint: string } & {
  request?: string
  status?: number | undefined
}

/** A step did not get what Ory promises. */
class LoginError extends Error {
  readonly failure: Failure
  constructor(failure: Failure) {
    super(failure.error)
    this.failure = failure
  }
}

/** Makes one line of any text: no control, escape or bidirectional characters, nothing that a CI runner obeys. */
const tidy = (text: string): string =>
  stripVTControlCharacters(text.trim().slice(0, 4000)).replace(/[\p{C}\p{Z}]+|#(?=#)/gu, ' ') // slow on long ones

/** What is left of a text when what JSON and URLs do to it, more than once, is undone; without case and spaces. */
function essence(text: string): string {
  let plain = text
  for (let round = 0; round < 4; round++)
    plain = plain
      .replace(/(?<!\\)\\+u([\da-f]{4})/gi, (_, unit) => String.fromCharCode(Number.parseInt(unit, 16)))
      .replace(/(?:%[\da-f]{2})+/gi, (bytes) => Buffer.from(bytes.replaceAll('%', ''), 'hex').toString())
      .replaceAll('\\', '')
  return plain.toLowerCase().replace(/[\p{C}\p{Z}/+]/gu, '')
}

/** Replaces secrets as they are and in their usual spellings; and the whole text where one is left in any other. */
function hide(text: string, secrets: readonly string[]): string {
  const inUrl = (secret: string) => new URLSearchParams({ [secret]: '' }).toString().slice(0, -1).replaceAll('+', '%20')
  const spellings = secrets
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), inUrl(secret)])
    .flatMap((secret) => [secret, tidy(secret), secret.toLowerCase(), secret.toUpperCase()])
  const longestFirst = [...new Set(spellings)].sort((one, other) => other.length - one.length)
  const hidden = longestFirst.reduce((rest, secret) => (secret.trim() ? rest.replaceAll(secret, '***') : rest), text)
  const left = essence(hidden)
  const essences = secrets.flatMap((secret) => [essence(secret), essence(JSON.stringify(secret).slice(1, -1))])
  return essences.some((secret) => secret.length > 3 && left.includes(secret)) ? '***' : hidden
}

/** Makes text from outside fit to be shown, in one short line. Tidying can join the parts of a secret: it is hidden twice. */
const clean = (text: string, secrets: readonly string[]): string =>
  hide(tidy(hide(text, secrets)), secrets)
    .replace(/ory_[a-z]{2}_\w+/g, '***') // what looks like a token, known or not
    .replace(/^(.{249}).{2,}$/u, '$1…')

// What a server sends is unknown until a predicate has looked at it. Half a surrogate pair (Cs) is no text.
const isText = (value: unknown): value is string => typeof value === 'string' && /^\P{Cs}+$/u.test(value)
const field = (value: unknown, key: string): unknown => Object(value)[key]
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
const isFlow = (body: unknown): body is { id: string } => isText(field(body, 'id'))
/** The token must be what a header carries as it is. The identity is null when a second factor is due. */
function isLogin(body: unknown): body is { session_token: string; session?: { identity?: { id: string } | null } } {
  const token = field(body, 'session_token')
  const identity = field(field(body, 'session'), 'identity') ?? null
  return isText(token) && /^[\x21-\x7e]+$/.test(token) && (identity === null || isText(field(identity, 'id')))
}

/** An active session, of the identity that logged in where that is known, with an id that can be shown as it is. */
const isSessionOf =
  (identityId: string | undefined, secrets: readonly string[]) =>
  (body: unknown): body is { active: true; identity: { id: string }; id: unknown; expires_at: unknown } => {
    const id = field(field(body, 'identity'), 'id')
    return field(body, 'active') === true && isText(id) && id === clean(id, secrets) && id === (identityId ?? id)
  }

/** Reads the options. Throws an Error for whatever is not one. */
function readOptions(args: string[]) {
  const { values, positionals } = parseArgs({ args, options: OPTIONS, allowPositionals: true })
  const seconds = /^\d*\.?\d+$/.test(values.timeout) ? Number(values.timeout) : 0
  if (positionals.length > 0) throw new Error('there is an argument that is no option') // unquoted: maybe a password
  if (!(seconds > 0 && seconds <= 3600)) throw new Error('--timeout takes seconds, more than 0 and at most 3600')
  return { ...values, timeoutMs: seconds * 1000 }
}

/** What is wrong with a BASE_URL. Its value is never repeated: people paste secrets into the wrong variable. */
// biome-ignore format: a table
const URL_FAULTS: readonly [isFault: (text: string) => boolean, fault: string][] = [
  [(text) => /[<>]/.test(text), 'still holds a placeholder such as <slug>'],
  [(text) => !/^https?:\/\//i.test(text), 'does not begin with http:// or https://'],
  [(text) => /[\p{C}\p{Z}]/u.test(text), 'holds white space or control characters'],
  [(text) => !URL.canParse(text), 'is not a URL'],
  [(text) => new URL(text).username + new URL(text).password !== '', 'holds a user name or a password'],
  [(text) => /[?#]/.test(text), 'has a query or a fragment'],
]

/** Makes the configuration: each variable from the environment, else .env, else the demo default. Throws an Error. */
function readConfig(env: Environment, dotenv: Environment, options: ReturnType<typeof readOptions>) {
  const names = Object.keys(DEFAULTS)
  const found = (name: string) => env[name] ?? dotenv[name] // one by one: on Windows env knows them in any case
  const blank = names.filter((name) => found(name)?.trim() === '')
  if (blank.length > 0) throw new Error(`set but empty, as by a missing CI secret: ${blank.join(', ')}`)
  const base = (found('BASE_URL') ?? DEFAULTS.BASE_URL).trim()
  const fault = URL_FAULTS.find(([isFault]) => isFault(base))?.[1]
  if (fault) throw new Error(`BASE_URL ${fault}; it should look like https://your-slug.projects.oryapis.com`)
  const { href, protocol, hostname } = new URL(base)
  const baseUrl = href.replace(/\/+$/, '')
  const isExposed = protocol === 'http:' && !/^(localhost|.+\.localhost|127\.[\d.]+|\[::1\])$/.test(hostname)
  const unset = names.filter((name) => found(name) === undefined)
  const identifier = (found('IDENT') ?? DEFAULTS.IDENT).trim()
  const password = found('PASS') ?? DEFAULTS.PASS
  const shownUrl = hide(baseUrl, password.length < 8 ? [] : [password])
  // Hints to add where this configuration makes them likely and the pattern fits, as in MEANINGS.
  const refused = /^submit 4.*\b40000(02|06)\b/
  const doubts: [isLikely: boolean, pattern: RegExp, hint: string][] = [
    [password !== password.trim(), refused, 'PASS begins or ends with white space, which counts'],
    ['PASS' in dotenv && !('PASS' in env), refused, 'in .env, # cuts PASS unless it is in single quotes'],
    [true, /^logout /, 'the login was verified, but its session is left behind until it expires'],
    [base === DEFAULTS.BASE_URL, /^\w+ [A-Z]/, 'npm run demo shows a login without any server'],
  ]
  return { ...options, baseUrl, shownUrl, identifier, password, unset, isExposed, doubts }
}

/**
 * Opens the one connection of a run, through the proxy that the environment names for it, if any. What fails on the
 * way to the proxy is marked: undici would not say whose it was, and would dial for ever a proxy that hangs up.
 * Throws an Error where a proxy variable is no URL.
 */
function openConnection(env: Environment) {
  const proxies = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY']
  const wrong = proxies.find((name) => env[name] && !/^https?:\/\/./i.test(env[name]))
  if (wrong) throw new Error(`${wrong} is not an http:// or https:// URL`)
  const requestTls = { rejectUnauthorized: true } // whatever NODE_TLS_REJECT_UNAUTHORIZED says
  const end = new AbortController()
  const connect = { signal: end.signal, ...requestTls }
  const dialing = new Set<string>() // proxies that have not connected us yet
  const clientFactory = ({ origin, host }: URL): Pool => {
    const proxy = new Pool(origin, { connect })
    const tunnel = proxy.connect.bind(proxy)
    const mark = (cause: unknown) => Object.assign(new Error(`proxy ${host}`, { cause }), { code: 'PROXY' })
    proxy.connect = async (request: Dispatcher.ConnectOptions) => {
      dialing.add(host)
      const opened = await tunnel(request).catch((error) => Promise.reject(mark(error)))
      dialing.delete(host)
      if (opened.statusCode === 200) return opened
      opened.socket.on('error', () => {}).destroy() // its status says it all
      throw mark(Object.assign(new Error('it refused to connect'), { code: String(opened.statusCode) }))
    }
    return proxy
  }
  const dispatcher = new EnvHttpProxyAgent({ connections: 1, connect, requestTls, clientFactory })
  const close = async () => {
    const destroyed = dispatcher.destroy() // first, or undici dials again
    end.abort() // or a TLS handshake that hangs would hold the process
    await destroyed
  }
  return { dispatcher, dialing, close }
}

/** Finds the real cause behind fetch's "fetch failed" and "terminated": the deepest. */
function rootCause(error: unknown): Received {
  if (!(error instanceof Error)) return { came: 'unknown', text: String(error) }
  const code = 'code' in error && isText(error.code) ? error.code : error.name
  if (error.cause) {
    const { came, text } = rootCause(error.cause)
    return code === 'PROXY' ? { came: `PROXY ${came}`, text: `${error.message}: ${text}` } : { came, text }
  }
  // A name with two addresses, both refused, gives an AggregateError without a text of its own.
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error]
  return { came: code, text: errors.map((each) => (each instanceof Error ? each.message : each)).join(', ') }
}

/** Gives undefined, which no JSON text stands for, where the bytes are no JSON in sound UTF-8. */
function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
}

/** Sends a request once, and gives what came. The limit of a body counts its bytes after decompression. */
async function exchange(run: Run, url: string, request: RequestInit): Promise<Received> {
  const { dispatcher, dialing } = run.connection
  const timeLeft = Math.max(0, Math.ceil(run.deadline - performance.now()))
  const limit = Math.min(LIMITS.requestMs, timeLeft)
  const signal = AbortSignal.timeout(limit)
  try {
    // A redirect is an answer like any other: followed, it could take the password or the token to another origin.
    const { status, headers, body } = await fetch(url, { ...request, redirect: 'manual', dispatcher, signal })
    const chunks: Uint8Array[] = []
    let size = 0
    for await (const chunk of body ?? []) {
      size += chunk.length
      if (size > LIMITS.bodyBytes) return { came: 'BODY_TOO_LARGE', text: `more than ${LIMITS.bodyBytes} bytes` }
      chunks.push(chunk)
    }
    const bytes = Buffer.concat(chunks)
    return { came: String(status), text: bytes.toString(), status, headers, body: parseJson(bytes) }
  } catch (error) {
    if (!signal.aborted) return rootCause(error)
    const whose = limit < timeLeft ? 'one request gets' : `were left of --timeout ${run.config.timeout}`
    const text = `nothing complete in the ${limit / 1000} s that ${whose}`
    const [proxy] = dialing
    return proxy ? { came: 'PROXY TIMEOUT', text: `proxy ${proxy}: ${text}` } : { came: 'TIMEOUT', text }
  }
}

/** Sends a request, again where the failure passes and the wait fits into the time left. It knows nothing of Ory. */
async function send(run: Run, url: string, request: RequestInit): Promise<Outcome> {
  for (let attempts = 1; ; attempts++) {
    const received = await exchange(run, url, request)
    const remark = attempts > 1 ? `, at attempt ${attempts} of ${LIMITS.attempts}` : ''
    if (!PASSING.test(received.came) || attempts === LIMITS.attempts) return { ...received, attempts, remark }
    // What the server asks, in seconds or as a date, else a backoff with jitter.
    const asked = received.headers?.get('retry-after') ?? received.headers?.get('x-ratelimit-reset') ?? ''
    const askedMs = /^\d+$/.test(asked) ? Number(asked) * 1000 : Date.parse(asked) - Date.now()
    const wait = Number.isNaN(askedMs) ? 250 * 2 ** attempts * (0.5 + Math.random() / 2) : Math.max(0, askedMs)
    const next = `attempt ${attempts + 1} of ${LIMITS.attempts} is due in ${Math.ceil(wait / 100) / 10} s`
    if (performance.now() + wait >= run.deadline)
      return { ...received, attempts, remark: `; ${next}, and --timeout leaves no time for that` }
    run.say(`note: got ${received.came}; ${next}`)
    await sleep(wait)
  }
}

/** Finds the ids and the text of an answer, wherever Ory puts them: of form fields the messages, never the values. */
function readAnswer({ status = 0, headers, text, body }: Received, url: string, secrets: readonly string[]) {
  const error = field(body, 'error')
  const ui = field(body, 'ui')
  const messages = [ui, ...list(field(ui, 'nodes'))].flatMap((part) => list(field(part, 'messages')))
  const ids = [field(error, 'id'), headers?.get('ory-error-id'), ...messages.map((message) => field(message, 'id'))]
  const [code, active] = [field(error, 'code'), field(body, 'active')]
  const location = hide(headers?.get('location') ?? '', secrets) // before a URL respells it
  const target = URL.canParse(location, url) ? new URL(location, url) : undefined
  const texts = [
    target && status >= 300 && status < 400 && `it points to ${target.origin}${target.pathname}`,
    typeof code === 'number' && code !== status && `error.code ${code}`,
    [field(error, 'reason'), field(error, 'message'), error, field(body, 'message')].find(isText),
    ...messages.map((message) => field(message, 'text')),
    active !== undefined && Object(active) !== active && `active: ${JSON.stringify(active)}`, // an object may be endless
  ].filter(isText)
  // Where Ory says nothing, the text itself, but not that of a JSON value or of a 200: it could hold a token.
  const other = body === undefined && status !== 200 ? text : body === undefined ? 'no JSON' : 'JSON without that'
  const isId = (id: unknown) => isText(id) || typeof id === 'number'
  return { ids: [...new Set(ids.filter(isId).map(String))], text: texts.join(': ') || other || 'nothing' }
}

/** Words what came in place of what a step promises: what it means, and what to do. */
function explain({ config, secrets }: Run, step: Step, received: Outcome): Failure {
  const { name, method, path, status, promise } = STEPS[step]
  const url = config.baseUrl + path
  const hidden = [...secrets, field(received.body, 'session_token')].filter(isText)
  const { ids, text } = readAnswer(received, url, hidden)
  const seen = tidy(`${step} ${[received.came, ...ids].join(' ')} : ${text}`)
  const [, verdict, meaning, hint] = MEANINGS.find(([pattern]) => pattern.test(seen)) ?? ELSE
  const doubts = config.doubts
    .filter(([isLikely, pattern]) => isLikely && pattern.test(seen))
    .map(([, , doubt]) => doubt)
  const ory_ids = ids.slice(0, 8).map((id) => clean(id, hidden))
  const got = clean([received.came, ...ory_ids].join(' '), hidden)
  return {
    verdict,
    step: name,
    request: `${method} ${config.shownUrl}${path}`,
    status: received.status,
    ory_ids,
    error: `${meaning}: expected ${status} with ${promise}, got ${got}: ${clean(text, hidden)}${received.remark}`,
    hint: [hint, ...doubts].join('; '),
  }
}

/** Takes one step: sends its request, reports it, and gives the body that Ory promises. Throws a LoginError else. */
async function take<Body>(run: Run, step: Step, is: (body: unknown) => body is Body, sent: Sent = {}): Promise<Body> {
  const { name, method, path, status } = STEPS[step]
  const { flow, token, body } = sent
  const url = run.config.baseUrl + path
  const type = body && { 'content-type': 'application/json' }
  const headers = { ...HEADERS, ...type, ...(token && { 'x-session-token': token }) }
  const request = { method, headers, body: body ? JSON.stringify(body) : null }
  const began = performance.now()
  const received = await send(run, flow ? `${url}?flow=${encodeURIComponent(flow)}` : url, request)
  const { came, attempts } = received
  const duration_ms = Math.round(performance.now() - began)
  run.steps.push({ name, status: received.status ?? null, attempts, duration_ms })
  if (run.config.verbose)
    run.say(`${name}: ${method} ${run.config.shownUrl}${path}: ${came} in ${duration_ms} ms, attempts: ${attempts}`)
  if (received.status === status && is(received.body)) return received.body
  throw new LoginError(explain(run, step, received))
}

/** Logs in and has the session verified. Throws a LoginError for the first step that does not keep Ory's promise. */
async function logIn(run: Run): Promise<void> {
  const { identifier, password, logout } = run.config
  const flow = await take(run, 'start', isFlow)
  const credentials = { method: 'password', identifier, password }
  const login = await take(run, 'submit', isLogin, { flow: flow.id, body: credentials })
  const token = login.session_token
  run.secrets.push(token)
  const secrets = [token, password].filter((secret) => secret.length >= 8) // shorter ones occur by chance
  const session = await take(run, 'whoami', isSessionOf(login.session?.identity?.id, secrets), { token })
  run.verified = {
    token: `${hide(token.slice(0, Math.max(0, Math.min(24, token.length - 15))), secrets)}…`,
    identity_id: session.identity.id,
    session_id: isText(session.id) ? clean(session.id, secrets) : '',
    expires_at: isText(session.expires_at) ? clean(session.expires_at, secrets) : '',
    logged_out: false,
  }
  if (!logout) return
  await take(run, 'logout', (body): body is undefined => body === undefined, { body: { session_token: token } })
  run.verified.logged_out = true
}

/** Runs the program and gives its exit code. `print` gets the result and throws where it fails, `say` the lines besides. */
export async function main(args: string[], env: Environment, print: Say, say: Say): Promise<number> {
  const secrets = [env.PASS].filter(isText)
  let doing: keyof typeof TROUBLES = 'read options'
  let run: Run | undefined
  let failure: Failure | undefined
  const fail = (error: unknown): Failure => {
    if (error instanceof LoginError) return error.failure
    const [verdict, hint] = TROUBLES[doing]
    const problem = clean(rootCause(error).text.replace(/\.\s.*/s, ''), secrets)
    return { verdict, step: doing, ory_ids: [], error: problem, hint }
  }
  try {
    const options = readOptions(args)
    if (options.help || options.version) {
      doing = 'print result'
      print(options.help ? HELP : `${VERSION}\n`)
      return EXIT.verified
    }
    doing = 'read configuration'
    const dotenv = statSync('.env', { throwIfNoEntry: false }) ? parseDotenv(readFileSync('.env')) : {}
    const config = readConfig(env, dotenv, options)
    secrets.push(config.password, config.identifier)
    if (config.unset.length > 0) say(`note: not set, so the demo default is used: ${config.unset.join(', ')}`)
    if (config.isExposed) say('warning: BASE_URL is plain http, so the password travels unencrypted')
    doing = 'choose proxy'
    const connection = openConnection(env)
    doing = 'log in'
    run = { config, connection, deadline: performance.now() + config.timeoutMs, secrets, say, steps: [] }
    await logIn(run).finally(connection.close)
  } catch (error) {
    failure = fail(error)
  }
  try {
    doing = 'print result'
    const { verdict, request: _, ...told } = failure ?? {}
    const { verified, steps = [] } = run ?? {}
    const json = { ok: !failure, ...verified, ...(verdict && { exit_code: EXIT[verdict] }), ...told, steps }
    if (args.includes('--json')) print(`${JSON.stringify(json)}\n`)
    else if (verified) print(`token: ${verified.token}\nidentity_id: ${verified.identity_id}\n`)
  } catch (error) {
    failure ??= fail(error)
  }
  if (!failure) return EXIT.verified
  const { verdict, step, request, error, hint } = failure
  const lines = request ? [`${step}: ${request}`, error] : [`${step}: ${error}`]
  for (const line of [...lines, `hint: ${hint}`]) say(line)
  return EXIT[verdict]
}

// Run, and not imported. Only real paths tell, through symlinks and spaces; tsx also takes the path without its ending.
const started = [process.argv[1], `${process.argv[1]}.ts`].find((path) => path && existsSync(path))
if (started && realpathSync(started) === realpathSync(fileURLToPath(import.meta.url))) {
  process.stderr.on('error', () => {}) // nobody is left to tell: the exit code must do
  const print = (text: string) => writeFileSync(1, text) // at once and whole, or it throws, as on a full disk
  const say = (line: string) => process.stderr.write(`ory-login: ${line}\n`)
  process.exitCode = await main(process.argv.slice(2), process.env, print, say)
}
