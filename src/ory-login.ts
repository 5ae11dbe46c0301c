/**
 * ory-login: can a person log in to this Ory project right now?
 *
 * It takes the native login that Ory documents, over the public API at BASE_URL, one step after the other:
 *
 *   start login flow     GET  /self-service/login/api         gives the flow's id
 *   submit credentials   POST /self-service/login?flow=<id>   gives a session_token
 *   verify session       GET  /sessions/whoami                gives active and identity.id
 *
 * Exit code 0 means that whoami confirmed the session and that both lines of the result reached stdout. Every other
 * exit code comes with the step, what was expected, what came, and what to do about it on stderr.
 * Ory's contract: https://www.ory.sh/docs/kratos/self-service/flows/user-login
 */
import { readFileSync, realpathSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import { parse as parseDotenv } from 'dotenv'
import { Agent, type Dispatcher, fetch, type Headers, type RequestInit } from 'undici'

export const VERSION = '1.0.0'

/** The exit code of each verdict. */
export const EXIT = { verified: 0, unexpected: 1, usage: 2, refused: 3, unanswered: 4 } as const

/** What a variable is when neither the environment nor .env has it: made up, and good for the demo alone. */
const DEFAULTS = { BASE_URL: 'http://127.0.0.1:4433', IDENT: 'demo@example.com', PASS: 'demo-only-password' }

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
  timeout: { type: 'string', default: '30' },
} as const

const HELP = `Usage: ory-login [options]

Checks that a person can log in to an Ory project (Ory Network or Ory Kratos) with a password: starts a native
login flow, submits the credentials, and asks whoami whether the session is real.

Variables, from the environment, else from .env in the working directory, else the demo defaults:
  BASE_URL  public API of the project, such as https://your-slug.projects.oryapis.com (${DEFAULTS.BASE_URL})
  IDENT     identifier of a test identity, such as its email address (${DEFAULTS.IDENT})
  PASS      its password (${DEFAULTS.PASS})

Options:
  --timeout <seconds>  for the whole run, more than 0 and at most 3600 (${OPTIONS.timeout.default})
  -h, --help           print this
  --version            print the version

Exit codes:
  0  verified: whoami confirmed an active session of the identity that logged in
  1  the answer is not what Ory's API promises
  2  usage or configuration
  3  Ory refused this login
  4  no usable answer: network, TLS, proxy, time, rate limit, or a 5xx
`

const REQUEST_LIMIT_MS = 10_000
const BODY_LIMIT_BYTES = 2 ** 20

/** The steps, and what Ory promises for each. */
// biome-ignore format: a table
const STEPS = {
  start:  { name: 'start login flow',   method: 'GET',  path: '/self-service/login/api', status: 200, promises: 'a JSON object with the id of a flow' },
  submit: { name: 'submit credentials', method: 'POST', path: '/self-service/login',     status: 200, promises: 'a JSON object with a session_token' },
  whoami: { name: 'verify session',     method: 'GET',  path: '/sessions/whoami',        status: 200, promises: 'an active session of the identity that logged in' },
}

/** What a pattern finds in "<step> <status or code of the failure> <Ory's ids> <text>", what it means, what to do. */
type Meaning = readonly [pattern: RegExp, verdict: Verdict, means: string, hint: string]

/** What can come in place of what a step promises; the first row that fits counts. */
// biome-ignore format: a table
const MEANINGS: readonly Meaning[] = [
  // Whatever the step, Ory or something before it cannot answer now, or sends us away.
  [/^\w+ 429 /, 'unanswered', 'the rate limit of this project is reached',
    'wait, and run less often: Ory Network counts login submits together with registration, recovery and settings'],
  [/^\w+ 407 /, 'unanswered', 'a proxy asks for credentials',
    'put them into the URL in HTTPS_PROXY or HTTP_PROXY, or name the host of BASE_URL in NO_PROXY'],
  [/^start 5\d\d /, 'unanswered', 'Ory, or something before it, is down',
    'try again later, and look at the status of the project; on Ory Network, check the slug in BASE_URL too'],
  [/^\w+ 5\d\d /, 'unanswered', 'Ory, or something before it, is down; this says nothing about the credentials',
    'try again later, and look at the status and the logs of the project'],
  [/^start 307 /, 'unexpected', 'this is a redirect, as the admin port of Ory Kratos answers',
    'set BASE_URL to the public port (4433 by default), not the admin port (4434)'],
  [/^\w+ 3\d\d /, 'unexpected', 'this is a redirect, never followed because it could take the password elsewhere',
    'set BASE_URL to the address where the public API itself answers, with https if it redirects there'],
  // start login flow
  [/^start 200 /, 'unexpected', 'something answers at BASE_URL, but not as Ory does',
    'check that BASE_URL is the public API of an Ory project, and what stands before it'],
  [/^start 404 /, 'unexpected', 'there is no Ory project at BASE_URL',
    'check BASE_URL for a wrong slug, a wrong path prefix, or the address of another service'],
  [/^start 4\d\d .*session_already_available/, 'unexpected', 'Ory saw a cookie or a token that this program did not send',
    'check for a proxy before Ory that adds cookies or headers to requests'],
  // submit credentials
  [/^submit 200 /, 'unexpected', 'the login succeeded, but without a session token that can be used',
    'check what stands between here and Ory: it may have changed the answer'],
  [/^submit 4\d\d .*\b4000006\b/, 'refused', 'wrong password or unknown identifier (Ory does not say which)',
    'check IDENT and PASS, and that the identity exists in this project'],
  [/^submit 4\d\d .*\b4000002\b/, 'refused', 'Ory found a field of the login empty',
    'check IDENT and PASS, and for a proxy before Ory that changes requests'],
  [/^submit 4\d\d .*\b4000037\b/, 'refused', 'Ory knows no account with this identifier',
    'check IDENT, and that the identity exists in this project and has a password'],
  [/^submit 4\d\d .*\b(4000010|session_verified_address_required)\b/, 'refused', 'the address of this identity is not verified',
    'verify the address of the test identity, or use an identity whose address is verified'],
  [/^submit 4\d\d .*\b(4010011|account was disabled|identity is disabled)\b/, 'refused', 'this identity is disabled',
    'set the state of the test identity to active, or use another one'],
  [/^submit 4\d\d .*\b(4010002|disabled by system administrator)\b/, 'refused', 'the password method is off in this project',
    'enable it (selfservice.methods.password.enabled), or test a project that has it'],
  [/^submit 4\d\d .*\b4000038\b/, 'refused', 'the captcha failed: a program cannot solve it',
    'switch the captcha off in the project that is tested'],
  [/^submit 4\d\d .*\berror\.code 5/, 'unanswered', 'a hook or another part of the server failed during this login',
    'look at the logs of Ory, and at the webhooks and actions that run after a login'],
  [/^submit (422 |4.*browser_location_change_required)/, 'unexpected', 'this login can only go on in a browser',
    'use an identity that logs in with a password alone: this program checks native clients'],
  [/^submit (410 |4.*self_service_flow_expired)/, 'unexpected', 'the flow expired before it was submitted',
    'check the clocks of the servers, and the lifespan of login flows (selfservice.flows.login.lifespan)'],
  [/^submit 404 .*Unable to locate the resource/, 'unexpected', 'the server that got the submit does not know the flow',
    'if several servers answer at BASE_URL, give them one database'],
  [/^submit 4\d\d .*\b4000001\b/, 'unexpected', 'Ory did not take the request as a native login',
    "read Ory's text: a proxy before Ory may add a cookie or an Origin header, or change the body"],
  // verify session
  [/^whoami 200 .*\bactive: true\b/, 'unexpected', 'whoami names no identity, or another than the one that logged in',
    'check for a cache or a proxy before Ory that mixes sessions up'],
  [/^whoami 200 /, 'unexpected', 'the session is not active',
    'check the session settings of the project, and for a cache or a proxy before Ory that answers in its place'],
  [/^whoami 401 /, 'unexpected', 'the session token that Ory has just given was refused',
    'check for a proxy before Ory that strips the X-Session-Token header, and that all servers share one database'],
  [/^whoami 403 .*session_aal2_required/, 'refused', 'the password is right, but this identity has a second factor',
    'use a test identity without a second factor'],
  // No answer at all: the code is that of the real cause.
  [/^\w+ ECONNREFUSED /, 'unanswered', 'nothing listens there',
    'check host and port in BASE_URL, and that Ory is running'],
  [/^\w+ (ECONNRESET|EPIPE|UND_ERR_SOCKET) /, 'unanswered', 'the connection was cut before the answer was complete',
    'try again, and check what stands between here and Ory; if the port speaks TLS, BASE_URL needs https'],
  [/^\w+ EAI_AGAIN /, 'unanswered', 'the host name cannot be looked up at the moment',
    'check the network and its DNS, and try again'],
  [/^\w+ ENOTFOUND /, 'unanswered', 'there is no host of this name',
    'check the host name in BASE_URL, and the slug in it'],
  [/^\w+ (E?TIME\w*|UND_ERR_\w+_TIMEOUT|EHOSTUNREACH|ENETUNREACH) /, 'unanswered', 'no answer came in time',
    'check host, port, firewalls and VPN, and whether Ory is overloaded; --timeout gives the whole run more time'],
  [/^\w+ CERT_HAS_EXPIRED /, 'unanswered', "the server's certificate has expired",
    'renew the certificate of the server, and check the clock of this machine'],
  [/^\w+ ERR_TLS_CERT_ALTNAME_INVALID /, 'unanswered', "the server's certificate is for another name",
    'check the host name in BASE_URL; if it is right, the server needs a certificate for it'],
  [/^\w+ (\w*CERT|UNABLE_TO_)/, 'unanswered', "the server's certificate is not trusted here",
    'if a private authority issued it, put the path of its PEM file into NODE_EXTRA_CA_CERTS'],
  [/^\w+ (ERR_SSL_|EPROTO )/, 'unanswered', 'the TLS handshake failed, as it does when a plain http port is asked for https',
    'check the port in BASE_URL, and whether it should begin with http://'],
  [/^\w+ (HTTPParserError|UND_ERR_HEADERS_OVERFLOW|Z_\w+|ERR_ASSERTION|BODY_TOO_LARGE) /, 'unexpected', 'what came is no sound HTTP answer',
    'check host and port in BASE_URL: another service may listen there'],
  [/^\w+ Error bad port/, 'usage', 'BASE_URL has a port that fetch refuses to use',
    'serve Ory at a port that is not on the list at https://fetch.spec.whatwg.org/#bad-port'],
  [/^\w+ \D/, 'unanswered', 'the request failed', 'check BASE_URL and the network between here and Ory'],
]
const NOT_ORY: Meaning = [
  /(?:)/,
  'unexpected',
  "this is not what Ory's API promises",
  'check BASE_URL, what stands before Ory, and the logs of Ory',
]

type Verdict = Exclude<keyof typeof EXIT, 'verified'>
type Step = keyof typeof STEPS
type Environment = Readonly<Record<string, string | undefined>>

/** What a run is to do, and with what. */
export interface Config {
  /** Without a slash at its end. */
  baseUrl: string
  identifier: string
  password: string
  timeoutMs: number
  /** For the person, before anything is sent. */
  notes: string[]
  /** More to say about what this configuration makes likely, by the same patterns as MEANINGS. */
  hints: (readonly [pattern: RegExp, hint: string])[]
}

/** A run under way. */
interface Run {
  config: Config
  dispatcher: Dispatcher
  /** When the run must be over, on the clock of performance.now(). */
  deadline: number
  /** What no output may hold. */
  secrets: string[]
}

/** An answer; or, where there was none, the code and the text of the real cause. */
type Received =
  | { status: number; headers: Headers; text: string; body: unknown }
  | { status?: undefined; code: string; text: string }

/** What a failure has to say: texts without secrets, one line each. */
export interface Failure {
  verdict: Verdict
  step: string
  /** Method and URL, without its query. */
  request?: string
  status?: number | undefined
  ory_ids?: string[]
  message: string
  hint: string
}

/** Every failure that was foreseen. */
export class LoginError extends Error {
  readonly failure: Failure

  constructor(failure: Failure) {
    super(failure.message)
    this.failure = failure
  }
}

/** Makes one line of any text: no control, escape or bidirectional characters, nothing that a CI runner obeys. */
const tidy = (text: string): string =>
  stripVTControlCharacters(text)
    .replace(/[\p{C}\p{Z}]+/gu, ' ')
    .replace(/#(?=#)/g, '# ')
    .trim()

/** Replaces secrets as they are, in JSON, and in a URL. */
function hide(text: string, secrets: readonly string[]): string {
  const form = (secret: string) => new URLSearchParams([[secret, '']]).toString().slice(0, -1)
  return secrets
    .flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret), form(secret)])
    .flatMap((spelling) => [spelling, tidy(spelling)])
    .filter((spelling) => spelling !== '')
    .sort((a, b) => b.length - a.length)
    .reduce((hidden, spelling) => hidden.replaceAll(spelling, '***'), text)
}

/**
 * Makes text from outside fit to be shown: one short line without secrets. They are hidden before and after it is
 * tidied, since an escape sequence could split one; what looks like a token of Ory's is hidden even if not known.
 */
export function clean(text: string, secrets: readonly string[]): string {
  const line = hide(tidy(hide(text, secrets)), secrets).replace(/ory_[a-z]{2}_\w+/g, '***')
  return line.length > 300 ? `${line.slice(0, 299)}…` : line
}

/** Shows the first 24 characters of a token at most, and never the last 15. */
const truncate = (token: string, secrets: readonly string[]): string =>
  `${hide(token.slice(0, Math.max(0, Math.min(24, token.length - 15))), secrets)}…`

// What is sent by the server is unknown until one of these has looked at it; the fields keep Ory's spelling.
const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const field = (value: unknown, key: string): unknown => (isObject(value) ? value[key] : undefined)
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

const isFlow = (body: unknown): body is { id: string } => isText(field(body, 'id'))

interface Login {
  session_token: string
  /** Its identity is null when a second factor is due. */
  session?: { identity?: { id: string } | null } | null
}

function isLogin(body: unknown): body is Login {
  const identity = field(field(body, 'session'), 'identity') ?? null
  const token = field(body, 'session_token')
  // Visible ASCII is what a header carries as it is.
  return isText(token) && /^[\x21-\x7e]+$/.test(token) && (identity === null || isText(field(identity, 'id')))
}

/** Is it an active session of the identity that logged in, with an id that can be shown as it is? */
const isSessionOf =
  ({ session }: Login, secrets: readonly string[]) =>
  (body: unknown): body is { active: true; identity: { id: string } } => {
    const id = field(field(body, 'identity'), 'id')
    return (
      field(body, 'active') === true && isText(id) && id === clean(id, secrets) && id === (session?.identity?.id ?? id)
    )
  }

const codeOf = (error: unknown): string =>
  error instanceof Error ? ('code' in error && isText(error.code) ? error.code : error.name) : 'unknown'

const usageError = (step: string, message: string, hint: string): LoginError =>
  new LoginError({ verdict: 'usage', step, message, hint })

/** Reads the options. Throws a LoginError for whatever is not one; what that quotes holds no secret. */
function readOptions(args: string[], secrets: readonly string[]) {
  try {
    const { values } = parseArgs({ args, options: OPTIONS })
    const seconds = /^\d*\.?\d+$/.test(values.timeout) ? Number(values.timeout) : 0
    if (seconds > 0 && seconds <= 3600) return { ...values, timeoutMs: seconds * 1000 }
  } catch (error) {
    const said = error instanceof Error ? error.message.split(/\.\s/)[0] : ''
    const isPositional = codeOf(error) === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL' // not quoted: it may be a password
    const message = isPositional || !said ? 'there is an argument that is no option' : clean(said, secrets)
    throw usageError('usage', message, 'ory-login --help lists the options; variables say the rest')
  }
  throw usageError('usage', '--timeout has no usable value', 'give seconds, more than 0 and at most 3600; see --help')
}

/** Reads .env by dotenv's rules. Its config() would print, and obey DOTENV_* variables of its own. */
function readDotenv(): Environment {
  try {
    return parseDotenv(readFileSync('.env'))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return {}
    throw usageError('configuration', `.env cannot be read: ${codeOf(error)}`, 'make it a readable file, or remove it')
  }
}

/** What is wrong with a BASE_URL. Its value is never repeated: people paste secrets into the wrong variable. */
// biome-ignore format: a table
const URL_FAULTS: readonly [isFault: (text: string) => boolean, fault: string][] = [
  [(text) => /[<>]/.test(text), 'still holds a placeholder such as <slug>'],
  [(text) => !/^https?:\/\//i.test(text), 'does not begin with http:// or https://'],
  [(text) => /[\p{C}\p{Z}]/u.test(text), 'holds white space or control characters'],
  [(text) => !URL.canParse(text), 'is not a URL'],
  [(text) => new URL(text).username + new URL(text).password !== '', 'holds a user name or a password'],
  [(text) => text.includes('?'), 'has a query'],
  [(text) => text.includes('#'), 'has a fragment'],
]

/**
 * Makes the configuration, each variable from the environment, else from .env, else the demo default.
 * Throws a LoginError for variables that are set but blank, and for a BASE_URL that cannot be one.
 */
export function readConfig(env: Environment, dotenv: Environment, timeoutMs: number): Config {
  const found = (name: string) => env[name] ?? dotenv[name]
  const names = Object.keys(DEFAULTS)
  const blank = names.filter((name) => found(name)?.trim() === '')
  const missing = names.filter((name) => found(name) === undefined)
  const base = (found('BASE_URL') ?? DEFAULTS.BASE_URL).trim()
  const password = found('PASS') ?? DEFAULTS.PASS
  if (blank.length > 0) {
    const hint = 'give each a value; in CI, check that this job has the secret. Unset it to get the demo default'
    throw usageError('configuration', `set but empty: ${blank.join(', ')}`, hint)
  }
  const fault = URL_FAULTS.find(([isFault]) => isFault(base))?.[1]
  if (fault) {
    const hint = 'it should look like https://your-slug.projects.oryapis.com or http://127.0.0.1:4433'
    throw usageError('configuration', `BASE_URL ${fault}`, hint)
  }
  const { href, protocol, hostname } = new URL(base)
  const isLoopback = /^(localhost|.+\.localhost|127\.[\d.]+|\[::1\])$/.test(hostname)
  const notes = []
  if (missing.length > 0) notes.push(`note: not set, so the demo default is used: ${missing.join(', ')}`)
  if (protocol === 'http:' && !isLoopback)
    notes.push('warning: the password travels unencrypted: BASE_URL is plain http')
  const hints: Config['hints'] = []
  const refused = /^submit 4\d\d .*\b40000(02|06)\b/
  if (password !== password.trim()) hints.push([refused, 'PASS begins or ends with white space, which counts'])
  if (password !== env.PASS && password === dotenv.PASS)
    hints.push([refused, 'PASS came from .env, where an unquoted # cuts the value: put it in single quotes'])
  if (missing.includes('BASE_URL')) hints.push([/^\w+ [A-Z]/, 'npm run demo shows a login without any server'])
  const identifier = (found('IDENT') ?? DEFAULTS.IDENT).trim()
  return { baseUrl: href.replace(/\/+$/, ''), identifier, password, timeoutMs, notes, hints }
}

/** Reads a body up to the limit, which counts what comes out of decompression. */
async function readBody(body: AsyncIterable<Uint8Array> | null): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength
    if (bytes > BODY_LIMIT_BYTES) {
      throw Object.assign(new Error(`more than ${BODY_LIMIT_BYTES} bytes`), { code: 'BODY_TOO_LARGE' })
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Gives undefined, which no JSON text stands for, where the bytes are no JSON in sound UTF-8. */
function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
}

/** Finds the real cause behind fetch's "fetch failed" and "terminated": the deepest. */
function rootCause(error: unknown): { code: string; text: string } {
  if (error instanceof Error && error.cause) return rootCause(error.cause)
  // A name with two addresses, both refused, gives an AggregateError without a text of its own.
  const errors = error instanceof AggregateError ? error.errors : [error]
  return { code: codeOf(error), text: errors.map((each) => String(field(each, 'message') ?? each)).join(', ') }
}

/** Sends one request and gives what it received, a failure too. It knows nothing of Ory. */
async function send({ config, deadline, dispatcher }: Run, url: string, request: RequestInit): Promise<Received> {
  const timeLeft = Math.max(0, Math.ceil(deadline - performance.now()))
  const limit = Math.min(REQUEST_LIMIT_MS, timeLeft)
  const signal = AbortSignal.timeout(limit)
  try {
    // A redirect is an answer like any other: followed, it could take the password or the token to another origin.
    const response = await fetch(url, { ...request, redirect: 'manual', dispatcher, signal })
    const bytes = await readBody(response.body)
    return { status: response.status, headers: response.headers, text: bytes.toString(), body: parseJson(bytes) }
  } catch (error) {
    if (!signal.aborted) return rootCause(error)
    const which = limit < timeLeft ? 'that one request gets' : `left of --timeout ${config.timeoutMs / 1000}`
    return { code: 'TIMEOUT', text: `not complete after the ${limit / 1000} s ${which}` }
  }
}

/** Finds the ids and the text of an answer, wherever Ory puts them; of form fields the messages, never the values. */
function readAnswer(received: Exclude<Received, { code: string }>, url: string): { ids: string[]; text: string } {
  const { status, headers, body } = received
  const error = field(body, 'error')
  const ui = field(body, 'ui')
  const messages = [ui, ...list(field(ui, 'nodes'))].flatMap((part) => list(field(part, 'messages')))
  const ids = [field(error, 'id'), headers.get('ory-error-id'), ...messages.map((message) => field(message, 'id'))]

  const location = headers.get('location') ?? ''
  const target = URL.canParse(location, url) ? new URL(location, url) : undefined
  const code = field(error, 'code')
  const texts = [
    String(status).startsWith('3') && target && `it points to ${target.origin}${target.pathname}`,
    typeof code === 'number' && code !== status && `error.code ${code}`,
    [field(error, 'reason'), field(error, 'message'), error, field(body, 'message')].find(isText),
    ...messages.map((message) => field(message, 'text')),
  ].filter(isText)
  if (texts.length === 0 && body === undefined) texts.push(status === 200 ? 'a body that is not JSON' : received.text)
  // Of JSON that says nothing about itself only the keys: a value could be a secret.
  if (texts.length === 0) {
    const keys = Object.entries(body ?? {}).map(([key, value]) =>
      typeof value === 'boolean' ? `${key}: ${value}` : key,
    )
    texts.push(isObject(body) ? `a JSON object with ${keys.join(', ') || 'nothing in it'}` : 'JSON that is no object')
  }
  return {
    ids: [...new Set(ids.filter((id) => isText(id) || typeof id === 'number').map(String))],
    text: texts.join(': '),
  }
}

/**
 * Judges what a step received: gives the body that Ory promises, or throws the LoginError that says what came instead,
 * what it means and what to do.
 */
export function judge<Body>(
  { config, secrets }: Pick<Run, 'config' | 'secrets'>,
  step: Step,
  received: Received,
  isPromised: (body: unknown) => body is Body,
): Body {
  const { name, method, path, status, promises } = STEPS[step]
  if (received.status === status && isPromised(received.body)) return received.body

  const url = config.baseUrl + path
  const isAnswer = received.status !== undefined
  const { ids, text } = isAnswer ? readAnswer(received, url) : { ids: [], text: received.text }
  const came = [isAnswer ? received.status : received.code, ...ids].join(' ')
  const seen = tidy(`${step} ${came} ${text}`)
  const [, verdict, means, hint] = MEANINGS.find(([pattern]) => pattern.test(seen)) ?? NOT_ORY
  const hidden = isAnswer ? [...secrets, field(received.body, 'session_token')].filter(isText) : secrets
  throw new LoginError({
    verdict,
    step: name,
    request: clean(`${method} ${url}`, hidden),
    status: received.status,
    ory_ids: ids.slice(0, 8).map((id) => clean(id, hidden)),
    message: `${means}: expected ${status} with ${promises}, got ${clean(came, hidden)}: ${clean(text, hidden)}`,
    hint: [hint, ...config.hints.filter(([pattern]) => pattern.test(seen)).map(([, more]) => more)].join('; '),
  })
}

/** Takes one step: sends its request, and judges what came. */
async function take<Body>(
  run: Run,
  step: Step,
  isPromised: (body: unknown) => body is Body,
  { query = '', body, headers }: { query?: string; body?: object; headers?: Record<string, string> } = {},
): Promise<Body> {
  const { method, path } = STEPS[step]
  const received = await send(run, run.config.baseUrl + path + query, {
    method,
    headers: {
      accept: 'application/json',
      'user-agent': `ory-login/${VERSION}`, // Ory lists it with the session
      ...(body && { 'content-type': 'application/json' }),
      ...headers,
    },
    body: body ? JSON.stringify(body) : null,
  })
  return judge(run, step, received, isPromised)
}

/** Logs in and has the session verified. Throws a LoginError for the first step that does not keep Ory's promise. */
async function logIn(run: Run): Promise<{ token: string; identity_id: string }> {
  const { identifier, password } = run.config
  const flow = await take(run, 'start', isFlow)
  const login = await take(run, 'submit', isLogin, {
    query: `?flow=${encodeURIComponent(flow.id)}`, // not the flow's ui.action, which may be another host
    body: { method: 'password', identifier, password },
  })
  run.secrets.push(login.session_token)
  const secrets = [login.session_token, password].filter((secret) => secret.length >= 8) // shorter ones occur by chance
  const session = await take(run, 'whoami', isSessionOf(login, secrets), {
    headers: { 'x-session-token': login.session_token },
  })
  return { token: truncate(login.session_token, secrets), identity_id: session.identity.id }
}

/** Does a whole run over one connection, and leaves nothing that would keep the process alive. */
async function run(config: Config, secrets: string[]): ReturnType<typeof logIn> {
  const end = new AbortController()
  const dispatcher = new Agent({ connections: 1, connect: { signal: end.signal } })
  try {
    return await logIn({ config, dispatcher, deadline: performance.now() + config.timeoutMs, secrets })
  } finally {
    const destroyed = dispatcher.destroy() // first, or undici dials again
    end.abort() // or a TLS handshake that hangs would hold the process
    await destroyed
  }
}

/** Prints on stdout and waits until it is out. Throws a LoginError where it cannot be, as on a full disk. */
async function print(stdout: Writable, text: string): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      stdout.once('error', reject)
      stdout.write(text, (error) => (error ? reject(error) : resolve()))
    })
  } catch (error) {
    const message = `stdout cannot be written: ${codeOf(error)}`
    const hint = 'check where stdout goes: a full disk, or a pipe that was closed'
    throw new LoginError({ verdict: 'unexpected', step: 'print result', message, hint })
  }
}

/** Words a failure for the terminal. */
const word = ({ step, request, message, hint }: Failure): string[] =>
  request ? [`${step}: ${request}`, message, `hint: ${hint}`] : [`${step}: ${message}`, `hint: ${hint}`]

/** Runs the program and gives its exit code. Nothing but the two lines of a verified login, or help, goes to stdout. */
export async function main(args: string[], env: Environment, stdout: Writable, stderr: Writable): Promise<number> {
  const secrets = [env.PASS].filter(isText)
  const say = (line: string) => stderr.write(`ory-login: ${line}\n`)
  stderr.on('error', () => {}) // nobody is left to tell: the exit code must do
  try {
    const options = readOptions(args, secrets)
    if (options.help || options.version) {
      await print(stdout, options.help ? HELP : `${VERSION}\n`)
      return EXIT.verified
    }
    const config = readConfig(env, readDotenv(), options.timeoutMs)
    secrets.push(config.password, config.identifier, config.identifier.toLowerCase())
    config.notes.forEach(say)
    const { token, identity_id } = await run(config, secrets)
    await print(stdout, `token: ${token}\nidentity_id: ${identity_id}\n`)
    return EXIT.verified
  } catch (error) {
    const bug: Failure = {
      verdict: 'unexpected',
      step: 'internal error',
      message: clean(String(error), secrets),
      hint: `this is a bug in ory-login ${VERSION}: please report it with these lines`,
    }
    const failure = error instanceof LoginError ? error.failure : bug
    word(failure).forEach(say)
    return EXIT[failure.verdict]
  }
}

// Run, and not imported. Only the real paths tell: a symlink or a space in the path makes shorter tests false.
if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2), process.env, process.stdout, process.stderr)
}
