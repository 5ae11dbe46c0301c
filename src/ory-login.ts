#!/usr/bin/env node
/**
 * ory-login: can a person log in to this Ory project right now?
 *
 *   1. start login flow     GET    /self-service/login/api         gives the id of a flow
 *   2. submit credentials   POST   /self-service/login?flow=<id>   gives a session token
 *   3. verify session       GET    /sessions/whoami                says whose session that is
 *      log out              DELETE /self-service/logout/api        only with --logout
 *
 * In this order: help, the login, what a failure means, a reply, the report, secrets, requests,
 * the set-up, main. The password is read in readConfig, put into a request in logIn, and sent in
 * sendOnce, like the token. Text from the network is printed through fitToShow, but for the start
 * of the token, in resultOf.
 */
import { randomUUID } from 'node:crypto'
import * as fs from 'node:fs'
import { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import { parse as parseDotenv } from 'dotenv' // config() would print, and obey DOTENV_* variables
import type * as undici from 'undici'

export const VERSION = '4.0.0' // sent as the user agent, too

if (process.versions.node.localeCompare('20.18.1', 'en', { numeric: true }) < 0) {
  console.error(`ory-login: error: Node.js 20.18.1 or later is needed, not ${process.version}`)
  process.exit(2)
}
const { Client, fetch, Headers, ProxyAgent } = await import('undici') // older ones cannot load it

const DEMO = {
  BASE_URL: 'http://127.0.0.1:4433',
  IDENT: 'demo@example.com',
  PASS: 'demo-only-password',
}

const HELP = `Usage: node ory-login.mjs [options]
Proves that a person can log in to an Ory project, with one real login.

  BASE_URL=https://your-slug.projects.oryapis.com IDENT=test@example.com \\
    PASS="$SECRET" node ory-login.mjs --logout

Variables, from the environment, or else from .env in this folder:
  BASE_URL  public API of the project (${DEMO.BASE_URL})
  IDENT     identifier of a test identity (${DEMO.IDENT})
  PASS      its password (${DEMO.PASS})
  HEADERS   for a gateway in front of Ory: a "Name: value" a line
  The demo's identity is only used where both are unset, and BASE_URL is local.
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY and NODE_EXTRA_CA_CERTS, but not from .env

Options:
  --timeout <seconds>  for the whole run: above 0, at most 3600 (30)
  --logout             log out once the session is verified
  --json               print one JSON value, on success and failure
  --verbose            print settings and requests to stderr
  -h, --help; --version

Exit codes:
  0  verified: whoami confirmed the session that was just made
  1  the answer is not what Ory's API documents
  2  usage or configuration
  3  Ory refused this login, and waiting does not help
  4  no usable answer (network, time, 5xx, a failing webhook…): try later
`

// ---- The login: https://www.ory.com/docs/kratos/self-service/flows/user-login

// biome-ignore format: a table
export const STEPS = {
  start: { name: 'start login flow', method: 'GET', path: '/self-service/login/api',
    status: 200, expected: '200 with the id of a flow' },
  submit: { name: 'submit credentials', method: 'POST', path: '/self-service/login',
    status: 200, expected: '200 with a session_token and its session' },
  whoami: { name: 'verify session', method: 'GET', path: '/sessions/whoami',
    status: 200, expected: '200 with the session just made, active' },
  logout: { name: 'log out', method: 'DELETE', path: '/self-service/logout/api',
    status: 204, expected: '204' },
} as const
export type Step = keyof typeof STEPS

/** Logs in, and has the session verified. Throws a Failure at the first answer that differs. */
async function logIn(run: Run) {
  const { identifier, password } = run.config
  const flow = await send(run, 'start', {}, ({ id }) => (isText(id) ? '' : 'no id of a flow'))

  const query = `?${new URLSearchParams({ flow: textOf(flow.id) })}`
  const body = { method: 'password', identifier, password }
  const login = await send(run, 'submit', { query, body }, faultOfLogin)

  const session_token = textOf(login.session_token)
  const headers = { 'x-session-token': session_token }
  const session = await send(run, 'whoami', { headers }, (body) => faultOfSession(body, login))
  run.result = resultOf(run, session_token, session)

  if (run.options.logout) await send(run, 'logout', { body: { session_token } }, () => '')
}

/** What is wrong with a login, or ''. */
function faultOfLogin({ session_token, session }: Fields) {
  const { id, active, identity } = fields(session)
  if (!isText(session_token) || !/^[!-"$-~]{1,4096}$/.test(session_token))
    return 'no session_token that fits into a header'
  if (!isText(id)) return 'no session.id, so whoami could show any session'
  if (active === false) return 'a session that has ended: see its lifespan, and clocks'
  // The identity is null where a second factor is required: whoami will say so.
  if (identity != null && !isText(fields(identity).id)) return 'no session.identity.id'
  return ''
}

/** Each check logs in as the same identity: only the session's id tells an older, cached one. */
function faultOfSession({ active, id, identity }: Fields, login: Fields) {
  const owner = fields(identity).id
  const expected = fields(login.session)
  const { id: expectedOwner = owner } = fields(expected.identity)
  if (active !== true) return 'a session that is not active'
  if (!isText(owner) || !owner.trim() || /[\p{C}\p{Zl}\p{Zp}]/u.test(owner))
    return 'no identity whose id can be shown'
  if (owner !== expectedOwner) return `another identity: ${owner}`
  if (id !== expected.id) return `another session: ${textOf(id)}`
  return ''
}

type Fields = Record<string, unknown>
const fields = (value: unknown): Fields => Object(value)
/** A text that is not empty, and can be encoded: a lone surrogate (Cs) cannot. */
const isText = (value: unknown): value is string =>
  typeof value === 'string' && /^\P{Cs}+$/u.test(value)
const textOf = (value: unknown): string =>
  isText(value) || typeof value === 'number' ? String(value) : ''

// ---- What a failure means

// A reply becomes who answered, and two lines. The first is ours, the second is theirs:
//   400 submit active:password 777    <status, or the error's code> <step> <facts> <Ory's ids>
//   Held by the fraud check.          <what was said, by the server or by the error>
// Each who has a list, whose first row that matches the lines counts. A dot never crosses the line
// break: /^400 submit.* 777/ looks at our line alone, /\n.*upstream/ at theirs.

export type Row = readonly [
  when: RegExp,
  exit: 1 | 2 | 3 | 4 | '1+' | '4+', // with a +, another try is worth it
  error: string, // in 62 characters: the report has 80 columns
  ...hints: string[], // in 68 each
]
/** other: something in front of Ory, or in its place; proxy: that of this machine. */
type Who = 'ory' | 'other' | 'proxy' | 'nobody'

/** The four lists. A hint says only what this run knows, so some depend on its settings. */
// biome-ignore format: a table
export function meaningsFor(step: Step, config: Config): Record<Who, Row[]> {
  const { baseUrl, isLocal, isNetwork, mistakes, proxy, sourceOf } = config
  const { method, path } = STEPS[step]
  const isStart = step === 'start'
  const isSubmit = step === 'submit'
  const endedBy = 'did another login end it (revoke_active_sessions)?'
  const seeText = 'see what Ory says under "got"'
  const seeLogs = isNetwork ? "see status.ory.com, or ask Ory's support" : "see Ory's logs"
  const checkUrl = `check the ${isNetwork ? 'slug' : 'host, port and path'} in BASE_URL`
  const dropsBody = `does a gateway drop the body of a ${method}?`
  const checkFront = 'check what stands in front of Ory, and its logs'
  const checkProxy = `check ${proxy?.name}, or put Ory's host in NO_PROXY`
  const passGate = 'let this check through, or send what it wants in HEADERS'
  const isHttp = isStart && baseUrl.startsWith('http:')
  const wantsHttps = isHttp ? 'does this port want https:// in BASE_URL?' : ''
  const wantsCert = isHttp ? '' : 'does it want a client certificate? none is sent'
  const privateCa = 'with a private CA, set NODE_EXTRA_CA_CERTS to its PEM file'

  const ory: Row[] = [
    [/^409|^.* no-text 4000001|^400 \w+\n.*Unable to serialize access/, 4,
      "a conflict in Ory's database", seeLogs],
    [/^.* invalid_configuration|^(404|500|.* 4000001)\b.*\n.*(misconfig|strategy|by system)/, 3,
      'a setting of the project prevents this login', seeText],

    // https://www.ory.com/docs/kratos/concepts/ui-user-interface#ui-message-codes
    [/^401 submit|^4.. submit.* (4000010|4010011|\w+_address_required)\b/, 3,
      'this identity is disabled, or its address is not verified',
      'activate or verify it, or use another test identity'],
    [/^400 submit.* 4000001\b.*\n.*I\[#/, 3, // I[#/traits/…]
      'the password is right, but the identity violates its schema',
      'correct its traits or the schema'],
    [/^404 start hook|^4.. submit active:password/, 3,
      'a webhook refused this login', seeText],
    [/^404 start/, 1,
      'there is no Ory project at BASE_URL', checkUrl],
    [/^400 submit.* (4000006|4000037)\b/, 3,
      'wrong password or unknown identifier', ...mistakes,
      `check IDENT (from ${sourceOf('IDENT')}) and PASS (from ${sourceOf('PASS')})`,
      'did it work before? was this identity changed or deleted?',
      'is it new? it needs a password, and a schema where IDENT can log in',
      `or Ory's database fails: ${seeLogs}`],
    [/^4.. submit.* (4000038|500000[23]|1\d{6})\b|^422 submit|^.* session_aal2_/, 3,
      'this login takes more than a password',
      'use an identity without a second factor, SSO, code or captcha'],
    [/^.* (400000[1-3]|4010002|\w+_csrf_violation|\w+_available)\b|\n.*(flow query|request URL)/, 1,
      'something changed this request before Ory got it', seeText,
      'body, query, cookie? a token in HEADERS? two X-Forwarded-Proto?'],
    [/^4.. submit( no-text)? \d/, 3,
      'Ory refused this login, for a reason not known here', seeText],
    [/^(404|410) submit/, 1,
      'the login flow is unknown to Ory, or expired',
      'do all servers share one database? does a cache repeat old flows?'],
    [/^\d+ start hook|^\d+ submit.*\n.*(hook |upstream|giving up|jsonnet|incorrect C|fetching)/, 4,
      'a webhook or a template of this login failed',
      'Ory works: check webhooks, Actions, templates'],

    [/^200 whoami/, 1,
      'whoami does not confirm the session just made',
      'check its lifespan, hooks, and any cache in front of Ory'],
    [/^5.. whoami|^401 whoami\n.*determine AAL/, '4+',
      'the password is right, but Ory failed to verify the session', seeLogs],
    [/^401 whoami/, '1+',
      'Ory rejected the session token it had just issued',
      'does a gateway strip X-Session-Token? is a database replica behind?', endedBy],
    [/^(400|403) logout/, 1,
      'Ory no longer knows this session, or received no body', endedBy, dropsBody],

    [/^5.*\n.*(no such table|(no|Unknown) column|locate the|(relation|column|Table) .*exist)/, 4,
      'Kratos seems newer than its database: did migrations run?',
      "run 'kratos migrate sql' with the version that runs now"],
    [/^5|^.* error\.code:5/, 4,
      'Ory failed at this step', seeLogs],
    [/^/, 1,
      "Ory's answer is not as documented", 'see "got": what it says, or lacks'],
  ]

  const other: Row[] = [
    [/^.* firewall|\n.*Request Rejected/, 4,
      'a firewall in front of Ory blocked this request', passGate],
    [/^(401|407|511)|\n.*(Access credentials are|action was forbidden|SSL certificate was)/, 1,
      'a gateway in front of Ory wants credentials of its own', passGate],
    [/^421|\n.*(Invalid Hostname|CNAME Cross-User|(Error|error code:) 10(00|01|14|16)\b)/, 1,
      'a gateway does not serve the host name in BASE_URL',
      'check that name; for a custom domain, its CNAME'],
    [/^429/, '4+',
      'too many requests: a rate limit',
      'run less often: CI runners share a limit',
      'is it run rarely? then people may be refused, too'],
    [/^30[12378] start/, 1,
      'BASE_URL redirects to another address',
      "is it Ory's API? then set BASE_URL to it, but keep https://", passGate],
    [/^(404|405|2..|30[12378])|\n.*(any rules|multiple rules|Missing Auth)/, 1,
      isStart
        ? "what answers at BASE_URL is not Ory's API"
        : `${method} ${path} does not reach Ory`,
      'did it work before? see if the route to Ory is gone', isStart ? checkUrl : ''],
    [/^(403|406|451)/, 4,
      'something other than Ory refused this request', passGate,
      isStart ? 'or does BASE_URL lead to a website or a bucket?' : ''],
    [/^(408|425|502|503|504|52\d|530)/, '4+',
      'a gateway answered, but Ory did not',
      'is Ory up behind it? 525, 526: check the certificate there',
      isStart && isNetwork ? checkUrl : ''],
    [/^5/, 4,
      'something in front of Ory failed', checkFront],
    [/^/, 1,
      'something other than Ory answered', checkFront, wantsHttps],
  ]

  const ofProxy: Row[] = [
    [/^407/, 4,
      'the proxy wants a user and password', checkProxy,
      'its URL can hold them: http://user:password@host:port'],
    [/^403/, 4,
      'the proxy does not allow this host or port', checkProxy],
    [/^ERR_SSL_/, 4,
      'what answers through the proxy does not speak TLS', checkProxy,
      'does it want a login in a browser? is its URL https by mistake?'],
    [/^/, '4+',
      'no connection to Ory through the proxy', checkProxy, isStart ? checkUrl : seeLogs],
  ]

  const nobody: Row[] = [
    [/^\d+ \w+ incomplete/, '4+',
      'the answer was cut off', checkFront],
    [/^TIMEOUT start no-connection|^(ETIMEDOUT|E(HOST|NET)\w+|EADDR\w+|EPERM|EACCES) start/, '4+',
      'no connection could be made to the host in BASE_URL',
      'check host and port, DNS, TLS, firewalls, VPN and IPv6'],
    [/^TIMEOUT start/, 4,
      'the server accepted the connection, but did not answer',
      'is Ory or its database stuck? is the port right?'],
    [/^TIMEOUT/, 4,
      'Ory began this login, but did not answer this step in time',
      `check ${isSubmit ? 'webhooks, hashing and ' : ''}its database; or raise --timeout`,
      isSubmit ? dropsBody : ''],
    [/^ECONNREFUSED start/, '4+',
      'the host in BASE_URL refused the connection',
      'is Ory running at this port?',
      isLocal ? 'in a container, localhost is the container' : ''],
    [/^(ENOTFOUND|EINVAL|EAI_AGAIN|EAI_FAIL) start/, '4+',
      'the host name in BASE_URL was not found',
      'check spelling, DNS, network and VPN',
      'is it known only in a cluster? is HTTPS_PROXY missing?',
      'is the name server slow? set RES_OPTIONS=timeout:5'],
    [/^(ECONNRESET|ECONNABORTED|EPIPE|UND_ERR_SOCKET) start|^\w+ start\n.*Invalid EOF/, '4+',
      'the connection was cut before an answer',
      wantsHttps || 'is Ory, or what is in front of it, restarting?',
      'does a firewall cut it? is it a forwarded port?', wantsCert],
    [/^(E(AI_)?[A-Z]+|UND_ERR_SOCKET) (submit|whoami|logout)|^\w+ \w+\n.*Invalid EOF/, '4+',
      'the connection was lost after a good start',
      seeLogs, 'did hashing use up its memory?'],

    [/^CERT_(HAS_EXPIRED|NOT_YET_VALID)/, 4,
      'the certificate has expired or is not valid yet', 'renew it, or correct the clock here'],
    [/^ERR_TLS_CERT_ALTNAME_INVALID/, 4,
      'the certificate is for a different name', 'check the host in BASE_URL'],
    [/^UNABLE_TO_VERIFY_LEAF_SIGNATURE/, 4,
      'an intermediate certificate may be missing',
      'let the server send the whole chain', privateCa],
    [/^(\w*_CERT|CERT|UNABLE_TO|INVALID_CA|INVALID_PURPOSE|UNSPECIFIED)/, 4,
      'the certificate is not trusted on this machine',
      'self-signed? the real one may not be issued yet', privateCa],
    [/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)/, 4,
      'this port does not speak TLS', 'check the port in BASE_URL'],
    [/^(ERR_SSL_|EPROTO)/, 4,
      'the TLS handshake failed',
      'is the custom domain new? is the host in BASE_URL right?', wantsCert,
      'allow TLS 1.2 or later, a common cipher, and HTTP/1.1'],
    [/^(HTTPParserError|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_\w+|BODY_TOO_LARGE) /, 1,
      'the answer is not valid HTTP, or is too large',
      'is it another service, or altered on its way?'],
    [/\n.*\bbad port\b/, 2,
      'fetch refuses to use the port in BASE_URL', 'give Ory another port'],
    [/^/, 4,
      'the request failed',
      'see "got"; if it is vague, did a gateway answer 407?'],
  ]
  return { ory, other, proxy: ofProxy, nobody }
}

// ---- A reply

/** What came of a request: an answer; or, with status 0, an error in its place. */
export type Reply = {
  status: number
  code: string // of the error, or the status that a proxy refused with
  headers: undici.Headers
  text: string // the body, or what the error says
  fact: string // incomplete, no-connection, firewall
  json?: object | undefined // the body, or its first line
  next?: object | undefined // the rest
}

/** Who answered, and the two lines. `fault`: what is wrong with the body of a right status. */
export function readReply(step: Step, reply: Reply, fault: string, config: Config) {
  const { status, code, fact, headers, text, json, next } = reply
  const who = whoAnswered(step, reply, config)
  const { texts, ids } = readJson(who, json, next)
  const { active, error } = fields(json)
  const { code: innerCode } = fields(error)

  const facts = [
    fact,
    isText(fields(next).id) && 'hook',
    active === 'password' && status >= 400 && 'active:password', // Ory has compared it
    typeof innerCode === 'number' && innerCode !== status && `error.code:${innerCode}`,
    who === 'ory' && !fault && !texts && 'no-text',
  ].filter(isText)
  const target = status > 300 && headers.get('location')?.replace(/[?#].*/, '')
  const ofJson = json && (fault || texts || (who === 'ory' && 'no text'))
  const said = target || ofJson || wordsOf(reply)
  const words = (who === 'nobody' || who === 'proxy' ? text : said).slice(0, 2000)
  const ray = who === 'other' && headers.get('cf-ray')
  const ours = [status || code, step, ...facts, ...ids].join(' ')
  const theirs = `${words}${ray ? ` (cf-ray ${ray})` : ''}`.replace(/\s+/g, ' ')
  return { who, ids, ours, theirs }
}

// Ory's answers are JSON: what it documents, a flow (ui), or an error whose code is a number; 429
// and 503 are never Ory's. Oathkeeper and Google word errors in the same way.
function whoAnswered(step: Step, reply: Reply, { proxy }: Config): Who {
  const { status, code, fact, headers, text, json } = reply
  // Through a proxy this machine dials the proxy alone, but TLS is Ory's.
  const dialFaults =
    /^(TIMEOUT|E(AI_)?[A-Z]+|UND_ERR_SOCKET|HTTPParserError|ERR_SSL_(WRONG|PACKET)_\w+)$/
  const isDialling = step === 'start' || /REFUSED|NOTFOUND/.test(code)
  const isProxys = isDialling && code !== 'EPROTO' && dialFaults.test(code)
  if (proxy && status === 0 && (isProxys || /^\d/.test(code))) return 'proxy'
  if (status === 0 || fact === 'incomplete') return 'nobody'
  if (status === 429 || status === 503 || fact || headers.has('www-authenticate')) return 'other'

  const { error, ui, session, session_token, active, identity } = fields(json)
  const parts = status < 400 ? [ui, session, session_token, active, identity] : [ui]
  if (parts.some((part) => part != null)) return 'ory'
  if (text.startsWith('PANIC: ')) return 'ory'
  const { code: innerCode, status: name, reason, message } = fields(error)
  if (typeof innerCode !== 'number' || innerCode < 400) return 'other'
  // Ory says 'Not Found', Google PERMISSION_DENIED, and many another nothing.
  if (!/[a-z]/.test(textOf(name))) return 'other'
  const isOathkeepers =
    /Access credentials are|any rules|multiple rules|^The request(ed \w+)? (could|was f)/
  const texts = [reason, message].filter(isText)
  return texts.length > 0 && texts.every((each) => isOathkeepers.test(each)) ? 'other' : 'ory'
}

function wordsOf({ status, text, json }: Reply) {
  const part = text.slice(0, 8192)
  const [, title = ''] = /<(?:title|h\d|message)[^<>]*>([^<]+)/i.exec(part) ?? []
  const words = part.replace(/<(script|style).*?<\/\1>|<[^>]*>/gis, ' ').trim()
  if (words === '') return 'an empty body'
  if (title.trim()) return `a page titled "${title.trim()}"`
  if (status < 300) return json ? 'JSON' : 'no JSON' // a 2xx could hold a token
  return words
}

/** The texts of JSON, where their name is a telling one, and the ids of Ory's messages. */
function readJson(who: Who, ...documents: unknown[]) {
  const isTelling = /^(title|detail|\w*(message|msg|description)|error|reason|faultstring|text)$/i
  const texts = new Set<string>()
  const ids = new Set<string>()
  const parts = documents.map((document): [string, unknown] => ['', document])
  // Without recursion: a body can be nested 100,000 deep.
  for (const [parent, part] of parts)
    for (const [key, value] of Object.entries(fields(part)).slice(0, 1000)) {
      const name = Array.isArray(part) ? parent : key
      if (name === 'id' && /^(error|messages)$/.test(parent)) ids.add(textOf(value))
      if (isText(value) && isTelling.test(name)) texts.add(value.trim())
      // What was typed into a field, and its label, say nothing of the failure.
      const isPart = Object(value) === value && !/^(attributes|meta)$/.test(name)
      if (isPart && parts.length < 1000) parts.push([name, value])
    }
  const isId = (id: string) => who === 'ory' && /^[\w-]{1,60}$/.test(id)
  const sentences = [...texts].join('; ').replace(/([.!?]);/g, '$1')
  return { texts: sentences, ids: [...ids].filter(isId).slice(0, 8) }
}

// ---- The report: on stderr, below any notes

/** What is wrong, the evidence, and what to do; its fields are what --json prints. */
class Failure extends Error {
  exit_code!: number
  step!: string
  error!: string
  hints!: string[]
  answered_by?: Who // from here on: of a request
  request?: string
  status?: number
  ory_ids?: string[]
  expected?: string
  got?: string

  constructor(exit_code: number, step: string, error: string, hints: string[], request = {}) {
    super(error)
    Object.assign(this, { exit_code, step, error, hints, ...request })
  }
}

/** Words the failure of a request. All text from outside goes through safe(). */
export function explain(run: Pick<Run, 'config' | 'safe'>, step: Step, reply: Reply, fault = '') {
  const { config, safe } = run
  const { baseUrl, proxy } = config
  const { name, method, path, expected } = STEPS[step]
  const { who, ids, ours, theirs } = readReply(step, reply, fault, config)
  const lines = `${ours}\n${theirs}`
  const rows = meaningsFor(step, config)[who]
  const [, exit = 4, error = '', ...hints] = rows.find(([when]) => when.test(lines)) ?? []
  const got = safe(`${ours.replace(` ${step}`, '')}: ${theirs}`)
  const isWithheld = got === WITHHELD
  const isMaybeProxys = step === 'start' && (who === 'other' || who === 'nobody')
  const allHints = [
    step === 'logout' && error,
    proxy && isMaybeProxys && `this may come from the proxy in ${proxy.name}`,
    isWithheld && 'the text holds a secret: see the logs, by log id',
    ...hints,
  ].filter(isText)
  const exit_code = Number.parseInt(`${exit}`, 10)
  const first = step === 'logout' ? 'the login is verified, but logging out failed' : error
  const failure = new Failure(exit_code, name, first, allHints, {
    answered_by: who,
    request: safe(`${method} ${baseUrl}${path}${proxy ? ` through the proxy ${proxy.host}` : ''}`),
    status: reply.status || undefined,
    ory_ids: isWithheld ? [] : ids,
    expected,
    got: isWithheld ? `${reply.status || reply.code}: ${got}` : got,
  })
  return { failure, isRetryable: typeof exit === 'string' }
}

/** The report for a person. */
export function describe(failure: Failure, requestId = ''): string {
  const { step, request, status, error, expected, got, hints } = failure
  const line = (label: string, text = '') => text && `\n  ${label.padEnd(10)}${text}`
  return [
    error,
    line('step', request && `${step}: ${request}`),
    line('expected', expected),
    line('got', got),
    ...hints.map((hint) => line('hint', hint)),
    line('log id', status ? `x-request-id ${requestId}` : ''),
  ].join('')
}

/** What is shown of a verified session: at most 24 characters of its token, without the last 15. */
function resultOf({ config, safe }: Run, token: string, session: Fields) {
  const start = token.slice(0, -15).slice(0, 24)
  const others = [config.password, ...Object.values(config.headers)]
  const isSecret = others.some((secret) => repeatsSecret(start, secret))
  return {
    token: isSecret ? WITHHELD : `${start}…`,
    identity_id: safe(textOf(fields(session.identity).id)),
    session_id: safe(textOf(session.id)),
    expires_at: safe(textOf(session.expires_at)),
  }
}

function formatResult(run?: Run, failure?: Failure, isJson = false) {
  const { request_id, steps = [], result = {} } = run ?? {}
  const { token, identity_id } = result
  if (!isJson) return token ? `token: ${token}\nidentity_id: ${identity_id}\n` : ''
  const logged_out = token && !failure && run?.options.logout
  const base_url = run?.safe(run.config.baseUrl)
  const json = { ok: !failure, ...result, logged_out, ...failure, base_url, request_id, steps }
  return `${JSON.stringify(json)}\n`
}

// ---- Secrets

// A text repeats a secret if it has the letters and digits of the secret in order: twelve in a row,
// or all of them. Where the secret has another character, up to 24 letters and digits may stand in
// its place, as escapes write it (%3C, &lt;, \u003c): "p4ss&lt;word" repeats p4ss<word.

const WITHHELD = '(withheld: it repeats a secret)'

/** Whether a text repeats a secret, or a telling part of it, however it is escaped. */
export function repeatsSecret(text: string, secret: string): boolean {
  const known = secret.slice(0, 1000).normalize()
  const characters = [...known.matchAll(/([^\da-z]*)([\da-z])/gi)]
  // With fewer than six, escaped spellings cannot be recognised, so only plain text is shown.
  const isPlain = /^[\w .,:;'()/-]*$/.test(text)
  if (characters.length < 6)
    return (secret.length > 3 && text.includes(secret)) || (secret.length > 5 && !isPlain)

  // In any script: twelve in a row.
  const inRow = (value: string) => value.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
  const seen = inRow(text.normalize())
  const runs = Array.from(inRow(known), (_, start) => inRow(known).slice(start, start + 12))
  if (runs.some((run) => run.length === 12 && seen.includes(run))) return true

  // How many characters of the secret, in order, end at each letter of the text.
  const plain = text.normalize('NFD').toLowerCase()
  const letters = [...plain.replace(/[^\da-z]/g, '')]
  let ending: number[] = []
  return characters.some(([, others = '', character = '']) => {
    const reach = 1 + 24 * [...others].length
    const most = (end: number) => Math.max(0, ...ending.slice(Math.max(0, end - reach), end))
    const next = character.toLowerCase()
    ending = letters.map((letter, end) => (letter === next ? 1 + most(end) : 0))
    return ending.includes(Math.min(12, characters.length))
  })
}

/** Makes any text fit to be shown, in one line of 250 characters; or withholds it whole. */
export function fitToShow(text: string, secrets: readonly string[]): string {
  const part = text.slice(0, 2000) // a megabyte takes long to clean
  const clean = stripVTControlCharacters(part).replace(/[\p{C}\p{Z}]+/gu, ' ')
  const isKey = /ory_(pat|apikey|wak|st|lo|at|rt|ac)_\w/.test(clean)
  const isSecret = secrets.some((each) => repeatsSecret(clean, each) || repeatsSecret(part, each))
  if (isKey || isSecret) return WITHHELD
  const harmless = clean.trim().replace(/##+/g, (run) => [...run].join(' ')) // of Azure Pipelines
  return harmless.replace(/^(.{249}).{2,}$/u, '$1…')
}

// ---- Requests

/** Sends a request, again where that is worth it, and returns what Ory documents, or throws. */
async function send(
  run: Run,
  step: Step,
  parts: { query?: string; headers?: Record<string, string>; body?: object },
  faultOf: (body: Fields) => string,
): Promise<Fields> {
  const { name, status } = STEPS[step]
  const record = { name, status: null as number | null, attempts: 0, duration_ms: 0 }
  run.steps.push(record)
  let before = '' // what the previous attempt got
  for (;;) {
    const began = performance.now()
    const passed = () => Math.round(performance.now() - began)
    // It also holds the event loop, which a request that undici has lost does not.
    const timer = setInterval(() => run.note(`${step}: no answer after ${passed()} ms`), 5000)
    const reply = await Promise.race([sendOnce(run, step, parts), run.stopped])
    clearInterval(timer)
    const came = reply.status || reply.code
    if (run.options.verbose) run.note(`${step}: ${came} in ${passed()} ms`)
    record.status = reply.status || null
    record.attempts++
    record.duration_ms += passed()

    const body = fields(reply.json)
    if (isText(body.session_token)) run.secrets.push(body.session_token)
    const isRight = reply.status === status && reply.fact !== 'incomplete'
    const fault = isRight ? (reply.next ? "more data after Ory's answer" : faultOf(body)) : ''
    if (isRight && !fault) return body

    const isLate = reply.code === 'TIMEOUT'
    const isOpen = !(run.connection instanceof Client) || run.connection.stats.connected
    if (isLate && !isOpen) reply.fact = 'no-connection'
    if (before && isLate) reply.text += `; the try before got ${before}`
    const { failure, isRetryable } = explain(run, step, reply, fault)
    // A password that was judged is not sent again, even if the reason is lost.
    const isJudged = reply.fact === 'incomplete' && step === 'submit' && reply.status >= 400
    if (!isRetryable || isJudged || isLate || record.attempts === 3) throw failure
    const wait = Math.round(waitMs(record.attempts, reply))
    const due = `in ${Math.ceil(wait / 100) / 10} s`
    if (performance.now() + wait >= run.deadline) {
      failure.hints.unshift(`the next try, ${due}, would exceed --timeout`)
      throw failure
    }
    run.note(`${step}: got ${came}; trying again ${due} (${record.attempts + 1} of 3)`)
    await sleep(wait)
    before = failure.got ?? ''
    if (reply.code) run.connection = openConnection(run.config)
  }
}

/** How long to wait before the next try, in ms: what the server asks, and at least a backoff. */
export function waitMs(attempt: number, { status, headers }: Pick<Reply, 'status' | 'headers'>) {
  const after = headers.get('retry-after') ?? ''
  // Some send it with any status, or as a time since 1970: it counts at 429, to an hour.
  const resets = (status === 429 && headers.get('x-ratelimit-reset')?.split(',')) || []
  const toMs = (text: string) => (/^\s*\d+\s*$/.test(text) ? Number(text) * 1000 : 0)
  const untilReset = resets.map(toMs).filter((ms) => ms <= 3_600_000)
  // A date is meant by the clock of its sender.
  const sent = Date.parse(headers.get('date') ?? '') || Date.now()
  const untilDate = after.endsWith(' GMT') ? Date.parse(after) - sent : 0
  const backoff = attempt * (status === 429 ? 1000 : 250)
  const longest = Math.max(backoff, untilDate || 0, ...after.split(',').map(toMs), ...untilReset)
  return longest + (Math.random() * backoff) / 2
}

/** After a 421, fetch sends the request again by itself. */
async function sendOnce(run: Run, step: Step, parts: Parameters<typeof send>[2]) {
  const { query = '', headers, body } = parts
  const { method, path } = STEPS[step]
  const reply = noAnswer('', '')
  try {
    const response = await fetch(`${run.config.baseUrl}${path}${query}`, {
      method,
      headers: {
        ...run.config.headers,
        accept: 'application/json',
        'accept-encoding': 'identity', // else undici can throw past us
        'user-agent': `ory-login/${VERSION}`, // Ory lists it with the session
        'x-request-id': run.request_id,
        ...(body && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body ? JSON.stringify(body) : null,
      redirect: 'manual', // a redirect could take secrets elsewhere
      dispatcher: run.connection,
    })
    reply.status = response.status
    reply.headers = response.headers
    for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      reply.text += part
      if (reply.text.length > 2 ** 20) return noAnswer('BODY_TOO_LARGE', 'over 1 MiB')
    }
    return readBody(reply)
  } catch (error) {
    const { code, text } = causeOf(error)
    return reply.status ? { ...reply, code, text, fact: 'incomplete' } : noAnswer(code, text)
  }
}

const noAnswer = (code: string, text: string): Reply => {
  return { status: 0, code, headers: new Headers(), text, fact: '' }
}

/** Reads a body: Ory answers a JSON object, or two, as when a webhook stops a start. */
export function readBody(reply: Reply): Reply {
  const { headers, text } = reply
  const parse = (part: string): object | undefined => {
    try {
      return Object(JSON.parse(part))
    } catch {
      return undefined
    }
  }
  const [line = '', ...rest] = text.split('\n')
  const whole = parse(text)
  const json = whole ?? parse(line)
  const next = whole ? undefined : json && (parse(rest.join('\n')) ?? {})
  const isFirewalls =
    /-mitigated|x-amzn-waf-action/.test([...headers.keys()].join()) || text.includes('_Incapsula_')
  const isCut = !json && /^\s*\{/.test(text) && !headers.has('content-length')
  if (isCut) return { ...reply, text: 'its JSON breaks off', fact: 'incomplete' }
  return { ...reply, json, next, fact: isFirewalls ? 'firewall' : '' }
}

/** The deepest cause: fetch itself says "fetch failed" or "terminated". */
function causeOf(error: unknown): { code: string; text: string } {
  if (!(error instanceof Error)) return { code: 'unknown', text: String(error) }
  if (error.cause) return causeOf(error.cause)
  // That of two addresses which refuse has no text of its own.
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error]
  const text = errors.map((each) => fields(each).reason ?? fields(each).message).join(', ')
  // Of a proxy, undici says "Proxy response (403) …" or "Proxy … Required (407)".
  const [, status] = /^Proxy \D+\((\d{3})\)/.exec(text) ?? []
  return { code: status ?? (textOf(fields(error).code) || error.name), text }
}

function openConnection({ baseUrl, proxy }: Config) {
  const connect = {
    rejectUnauthorized: true, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
    timeout: 0, // --timeout alone limits a run
    autoSelectFamilyAttemptTimeout: 3000, // 250 ms are too short for a far host
  }
  const open = (origin: string | URL, options?: object) => {
    const client = new Client(origin, { connect, ...options, headersTimeout: 0, bodyTimeout: 0 })
    // Else a proxy that hangs up is dialled again thousands of times a second.
    return client.on('connectionError', (_origin, _targets, error) => void client.destroy(error))
  }
  if (!proxy) return open(new URL(baseUrl).origin)
  const tls = { proxyTls: connect, requestTls: connect }
  return new ProxyAgent({ uri: proxy.url, ...tls, proxyTunnel: false, factory: open })
}

// ---- The set-up

const usageError = (error: string, ...hints: string[]) =>
  new Failure(2, 'read settings', error, hints)

function readOptions(args: string[]) {
  const flag = { type: 'boolean', default: false } as const
  const timeout = { type: 'string', default: '30' } as const
  const help = { ...flag, short: 'h' } as const
  const options = { timeout, logout: flag, json: flag, verbose: flag, help, version: flag }
  const hint = `options: --${Object.keys(options).join(', --')}`
  try {
    const { values } = parseArgs({ args, options })
    const seconds = /^\d*\.?\d+$/.test(values.timeout) ? Number(values.timeout) : 0
    if (seconds > 0 && seconds <= 3600) return { ...values, seconds }
  } catch (error) {
    // Node's message quotes the argument, which could be a password.
    if (!String(error).includes("Option '--timeout"))
      throw usageError('bad argument (BASE_URL, IDENT and PASS are variables)', hint)
  }
  throw usageError('--timeout takes seconds, above 0 and at most 3600', hint)
}

function readDotenv(env: NodeJS.ProcessEnv) {
  const isMissing = (name: string) => env[name] === undefined
  try {
    if (![...VARIABLES, 'HEADERS'].some(isMissing) || !fs.existsSync('.env')) return ''
    if (!fs.statSync('.env').isFile()) throw new Error('it is not a file')
    const text = fs.readFileSync('.env', 'utf8')
    if (text.includes('\0')) throw new Error('it has NUL bytes, as UTF-16 does')
    return text
  } catch (error) {
    if (!VARIABLES.some(isMissing)) return ''
    throw usageError(`.env cannot be read: ${causeOf(error).text}`, 'make it a UTF-8 file')
  }
}

const VARIABLES = ['BASE_URL', 'IDENT', 'PASS'] as const

/** What must not be, as patterns over NAME=value. */
// biome-ignore format: a table
const FAULTS: readonly [when: RegExp, fault: string, hint?: string][] = [
  [/^\w+=\s*$/, 'must not be empty',
    'are secrets missing in CI? in .env, is a # outside of quotes?'],
  [/\ufffd/, 'must be in UTF-8', 'save .env as UTF-8, or use a UTF-8 locale'],
  [/^BASE_URL=(["'`\u2018-\u201f]|.*([<>{}?#\p{C}\p{Z}]|\$\w))/su,
    'must not have quotes, placeholders, spaces, ? or #'],
  [/^BASE_URL=[^/]*\/\/[^/]*[^\p{L}\p{N}._[\]:/-]/u,
    'must have a plain host name, and no user or password'],
  [/^BASE_URL=.*\/(self-service|sessions)(\/|$)/, 'must end before /self-service or /sessions'],
]
/** What is rarely meant, but taken as it is: told once Ory has refused it. */
// biome-ignore format: a table
const MISTAKES: readonly [when: RegExp, mistake: string][] = [
  [/=.*(\p{DI}|\S\u00a0+\S)/su, 'contains an invisible character'],
  [/=.*\S[\r\n]+\S/s, 'contains a line break (in .env, \\n in double quotes)'],
  [/=.*\\["'`]/s, 'has a backslash before a quote'],
  [/^PASS=(\s|.*\s$)/s, 'begins or ends with white space'],
  [/=\s*["'`\u2018-\u201f\u00ab\u00bb]/, 'begins with a quote'],
  [/=\s*(undefined|null|None|\*+|\$\w+|%\w+%|\$[({].*[)}]|\{.*\})\s*$/s,
    'is a placeholder, not filled in'],
  [/=\s*(op:|vault:|arn:|ENC\[|encrypted:|@Microsoft\.)/, 'names a secret that was not read'],
  [/^PASS=[^@\s]+@[^@\s]+\.\w+$/, 'is an email address, it seems'],
  [/=\s*ory_\w+_/, 'is an Ory key, not a password'],
  [/^IDENT=[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i, 'is the id of an identity, it seems'],
]

/** As curl and undici's EnvHttpProxyAgent, which does not tell what it chose. */
function readProxy(env: NodeJS.ProcessEnv, { protocol, hostname, port }: URL) {
  const [lower, usualPort] = protocol === 'https:' ? ['https_proxy', 443] : ['http_proxy', 80]
  const name = env[lower] === undefined ? lower.toUpperCase() : lower
  const url = env[name]
  const host = hostname.replace(/\.$/, '')
  const spellings = [host, host.replace(/[[\]]/g, ''), `${host}:${port || usualPort}`]
  const exempt = (env.no_proxy || env.NO_PROXY || '').toLowerCase().split(/[,\s]+/)
  const isExempt = exempt.some((entry) => {
    const suffix = entry.replace(/^\*?\.|\.$/g, '')
    return entry === '*' || spellings.some((each) => `.${each}`.endsWith(`.${suffix}`))
  })
  if (!url || isExempt) return undefined
  try {
    decodeURIComponent(url) // as undici decodes user and password
    if (!/^https?:\/\/([^/?#\\@:]+:[^/?#\\@]+@)?[^/?#\\@]+\/?$/i.test(url)) throw new TypeError()
    return { name, url, host: new URL(url).host }
  } catch {
    const hint = 'write it like http://host:port or http://user:password@host:port'
    throw usageError(`${name} must be the URL of an HTTP proxy`, hint)
  }
}

function readHeaders(text: string) {
  const isOurs = /^(x-session-token|x-request-id|cookie|origin|host|user-agent|te|upgrade|expect)$/i
  const isHttps = /^(accept|connection|content|keep|proxy|trailer|transfer)\b/i
  const headers = new Headers()
  for (const line of text.split(/[\r\n]+/).filter((line) => line.trim())) {
    const [, name = '', value] = /^\s*([\w-]+):\s*([!-\xff][\t -\xff]*)$/.exec(line) ?? []
    if (!value) throw usageError('HEADERS must have a "Name: value" on each line')
    if (isOurs.test(name) || isHttps.test(name))
      throw usageError('HEADERS must not have Cookie, Host or what the login sets')
    headers.append(name, value)
  }
  return Object.fromEntries(headers)
}

/** It holds the password, so it is never printed as a whole. */
export type Config = ReturnType<typeof readConfig>

/** Reads the environment (by name: Windows ignores case), .env, the demo's; throws a Failure. */
export function readConfig(env: NodeJS.ProcessEnv, file: string) {
  const dotenv = parseDotenv(file)
  const read = (name: keyof typeof DEMO) => env[name] ?? dotenv[name] ?? DEMO[name]
  const PASS = read('PASS')
  const values = { BASE_URL: read('BASE_URL').trim(), IDENT: read('IDENT').trim(), PASS }
  const sourceOf = (name: string) => {
    if (env[name] !== undefined) return 'the environment'
    return dotenv[name] === undefined ? 'the demo' : '.env'
  }
  const list = new Intl.ListFormat('en-GB')
  const example = 'write it like https://your-slug.projects.oryapis.com'
  for (const [when, fault, hint = example] of FAULTS) {
    const names = VARIABLES.filter((name) => when.test(`${name}=${values[name]}`))
    if (names[0]) throw usageError(`${list.format(names)} ${fault}`, hint)
  }
  if (!/^https?:\/\//i.test(values.BASE_URL) || !URL.canParse(values.BASE_URL))
    throw usageError('BASE_URL must be an http:// or https:// URL, with a valid port', example)

  const url = new URL(values.BASE_URL)
  // This machine needs no proxy, and alone gets the demo identity.
  const isLocal = /^(.+\.)?localhost\.?$|^127\.[\d.]+$|^0\.0\.0\.0$|^\[::1?\]$/.test(url.hostname)
  const isHttp = url.protocol === 'http:'
  const proxy = isLocal ? undefined : readProxy(env, url)
  const unset = VARIABLES.filter((name) => sourceOf(name) === 'the demo')
  const missing = unset.filter((name) => name !== 'BASE_URL')
  const noFile = file ? 'see --help' : 'there is no .env here, or it is empty'
  if (missing.length === 1 || (missing[0] && !isLocal))
    throw usageError(`${list.format(missing)} must be set`, noFile)

  const mistakes: string[] = []
  for (const [when, mistake] of MISTAKES)
    for (const name of ['IDENT', 'PASS'] as const)
      if (when.test(`${name}=${values[name]}`)) mistakes.push(`${name} ${mistake}`)
  if (missing[0]) mistakes.push('the demo identity was sent: does this Ory have it?')
  const cuts = file.matchAll(/^\s*(?:export\s+)?(IDENT|PASS)\s*[=:]\s*[^\s"'`#].*#/gm)
  for (const [, name = ''] of cuts)
    if (sourceOf(name) === '.env') mistakes.push(`in .env, ${name} is cut at its #: quote it`)

  const notes: string[] = []
  if (unset[0]) notes.push(`not set, so the demo default is used: ${unset.join(', ')}`)
  if (sourceOf('BASE_URL') === '.env' && sourceOf('PASS') === 'the environment')
    notes.push('BASE_URL is from .env, but PASS is from the environment')
  if (isHttp && !isLocal) notes.push('BASE_URL is http://: the password is sent unencrypted')
  if (isHttp && proxy) notes.push(`the proxy in ${proxy.name} sees the password, too`)
  return {
    baseUrl: url.href.replace(/\/+$/, ''),
    isLocal,
    isNetwork: url.hostname.endsWith('.oryapis.com'),
    identifier: values.IDENT,
    password: PASS,
    headers: readHeaders(env.HEADERS ?? dotenv.HEADERS ?? ''),
    proxy,
    sourceOf,
    mistakes,
    notes,
  }
}

// ---- main

type Streams = {
  print: (text: string) => Promise<unknown> // to stdout, which may fail
  say: (text: string) => Promise<unknown> // to stderr
  uncaught?: Promise<unknown> // with what nothing caught
}

/** Runs the program, and returns its exit code within the time of --timeout. */
export async function main(args: string[], env: NodeJS.ProcessEnv, streams: Streams) {
  const { print, say } = streams
  let run: Run | undefined
  let failure: Failure | undefined
  let text = ''
  try {
    for (const name of ['logout', 'json', 'timeout'].filter((name) => env[`npm_config_${name}`]))
      say(`ory-login: note: npm took --${name}: use npx tsx src/ory-login.ts --${name}`)
    const options = readOptions(args)
    text = options.help ? HELP : options.version ? `${VERSION}\n` : ''
    if (!text) {
      run = newRun(options, readConfig(env, readDotenv(env)), streams)
      await logIn(run)
    }
  } catch (error) {
    // The error's text is left out: it could quote a secret.
    const bug = `ory-login ${VERSION} itself failed (${causeOf(error).code})`
    const hint = 'if it happens again, report it: this is a bug'
    failure = error instanceof Failure ? error : new Failure(1, 'log in', bug, [hint])
  }
  run?.connection.destroy()

  // --json counts where readOptions threw as well.
  text ||= formatResult(run, failure, args.includes('--json'))
  const time = Math.max((run?.deadline ?? 0) - performance.now(), 1000) // a second of grace
  const late = sleep(time, 'nothing reads it', { ref: false })
  const printed = text && print(text).then(() => '')
  const fault = await Promise.race([printed, late]).catch((error) => causeOf(error).text)
  const hints = [fault, 'is the disk full? does nobody read the pipe?']
  if (fault) failure ??= new Failure(1, 'print result', 'stdout cannot be written', hints)
  if (!failure) return 0

  const report = `ory-login: error: ${describe(failure, run?.request_id)}`
  const data = report.replaceAll('%', '%25').replaceAll('\n', '%0A')
  // For the page of the red job.
  const annotation = env.GITHUB_ACTIONS === 'true' ? `\n::error title=ory-login::${data}` : ''
  await Promise.race([say(report + annotation), late])
  return failure.exit_code
}

type Run = ReturnType<typeof newRun>
function newRun(options: ReturnType<typeof readOptions>, config: Config, streams: Streams) {
  const { say, uncaught = new Promise(() => {}) } = streams
  const { baseUrl, headers, password, proxy, sourceOf } = config
  const request_id = randomUUID()
  // A token joins them as soon as it comes. A short value such as 'https' is no secret.
  const secrets = [password, ...Object.values(headers).filter((value) => value.length > 7)]
  const safe = (text: string) => fitToShow(text, secrets)
  const note = (text: string) => say(`ory-login: note: ${text}`)
  if (options.verbose) {
    const through = proxy ? `the proxy ${safe(proxy.host)} (${proxy.name})` : 'no proxy'
    note(`BASE_URL ${safe(baseUrl)}, from ${sourceOf('BASE_URL')}; ${through}`)
    note(`HEADERS: ${Object.keys(headers).join(', ') || 'none'}`)
    note(`x-request-id ${request_id}`)
  }
  for (const text of config.notes) note(text)
  const ms = options.seconds * 1000
  const late = noAnswer('TIMEOUT', `no complete answer within --timeout (${options.seconds} s)`)
  const failed = uncaught.then((error) => noAnswer('UNCAUGHT', String(error)))
  return {
    config,
    options,
    connection: openConnection(config),
    request_id, // Ory logs it
    secrets,
    safe,
    note,
    deadline: performance.now() + ms,
    stopped: Promise.race([sleep(ms, late, { ref: false }), failed]),
    steps: [] as object[],
    result: {} as Record<string, string>, // once whoami has confirmed it
  }
}

// It runs when it is loaded, however that was done: silence would look like success. Who sets
// this symbol before, in the same process, gets the functions alone.
if (!Reflect.has(globalThis, Symbol.for('ory-login: functions only'))) {
  process.exitCode = 1 // an end that nobody planned must not be green
  process.stderr.on('error', () => {}) // the exit code must be enough
  // As process 1 of a container, it would ignore these.
  const signals = process.pid === 1 ? { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } : {}
  for (const [name, code] of Object.entries(signals)) process.on(name, () => process.exit(code))
  // A DNS look-up holds the process: glibc gives up on a silent server after 1 s.
  process.env.RES_OPTIONS ??= 'timeout:1 attempts:1'
  const print = (text: string) =>
    new Promise<void>((resolve, reject) => {
      // On a full disk, or with an odd stdout, write() loses text without an error.
      if (!(process.stdout instanceof Socket)) resolve(fs.writeFileSync(1, text))
      else process.stdout.write(text, (error) => (error ? reject(error) : resolve()))
    })
  const say = (text: string) => new Promise((resolve) => process.stderr.write(`${text}\n`, resolve))
  const uncaught = new Promise((resolve) => process.on('uncaughtException', resolve))
  const running = main(process.argv.slice(2), process.env, { print, say, uncaught })
  const failed = () => say(`ory-login: error: ory-login ${VERSION} itself failed`)
  process.exit(await running.catch(() => failed().then(() => 1)))
}
