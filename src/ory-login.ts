#!/usr/bin/env node
/**
 * ory-login: can a person log in to this Ory project right now?
 *
 *   1. start login flow     GET    /self-service/login/api         gives the id of a flow
 *   2. submit credentials   POST   /self-service/login?flow=<id>   gives a session token
 *   3. verify session       GET    /sessions/whoami                says whose session that is
 *      log out              DELETE /self-service/logout/api        only with --logout
 *
 * In this order: HELP, the login, what a failure means, a reply, the report, secrets, requests,
 * the set-up, main. The password is read in readConfig, put into a request in logIn, and sent in
 * sendOnce, like the token. All that is printed is a constant of this file or went through
 * fitToShow, but for the start of the token, in formatResult.
 */
import { randomUUID } from 'node:crypto'
import * as fs from 'node:fs'
import { Socket } from 'node:net'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import { parse as parseDotenv } from 'dotenv' // config() would print, and obey DOTENV_* variables
import type * as undici from 'undici'

/** Shown by --version, and sent as the user agent. */
export const VERSION = '4.0.0'

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
In a clone: npx tsx src/ory-login.ts [options]

Proves that a person can log in to an Ory project, with one real login.

  BASE_URL=https://your-slug.projects.oryapis.com IDENT=test@example.com \\
    PASS='the password' node ory-login.mjs --logout

Variables, from the environment, or else from .env in the working directory:
  BASE_URL  public API of the project (${DEMO.BASE_URL})
  IDENT     identifier of a test identity, such as its email address
  PASS      its password
  HEADERS   for a gateway in front of Ory: a "Name: value" a line
  Set both IDENT and PASS, or neither: then the demo identity is used, which
  is only ever sent to localhost (${DEMO.IDENT}, ${DEMO.PASS}).
From the environment only:
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY  proxies; localhost is asked directly
  NODE_EXTRA_CA_CERTS                PEM file of a private CA

Options:
  --timeout <seconds>  for the whole run: above 0, at most 3600 (30)
  --logout             log out once the session is verified
  --json               print one JSON value on stdout, on success and failure
  --verbose            print the effective settings and each request to stderr
  -h, --help; --version

Exit codes:
  0  verified: whoami confirmed the session that was just made
  1  the answer is not what Ory's API documents
  2  usage or configuration
  3  Ory refused this login, and waiting does not help
  4  no usable answer (network, time, 5xx, a failing webhook…): try later
`

// ---- The login, as Ory's protocol has it

// biome-ignore format: a table
export const STEPS = {
  start: { name: 'start login flow', method: 'GET', path: '/self-service/login/api',
    status: 200, expected: '200 with the id of a flow' },
  submit: { name: 'submit credentials', method: 'POST', path: '/self-service/login',
    status: 200, expected: '200 with a session_token and its session' },
  whoami: { name: 'verify session', method: 'GET', path: '/sessions/whoami',
    status: 200, expected: '200 with the active session that was just made' },
  logout: { name: 'log out', method: 'DELETE', path: '/self-service/logout/api',
    status: 204, expected: '204' },
} as const
export type Step = keyof typeof STEPS

/**
 * Logs in, and has the session verified. Throws a Failure as soon as an answer differs from
 * https://www.ory.com/docs/kratos/self-service/flows/user-login
 */
async function logIn(run: Run): Promise<void> {
  const { identifier, password } = run.config

  const flow = await send(run, 'start', {}, faultOfFlow)

  const query = `?${new URLSearchParams({ flow: textOf(flow.id) })}`
  const body = { method: 'password', identifier, password }
  const login = await send(run, 'submit', { query, body }, faultOfLogin)

  const session_token = textOf(login.session_token)
  const headers = { 'x-session-token': session_token }
  const session = await send(run, 'whoami', { headers }, (body) => faultOfSession(body, login))
  run.verified = { session_token, session }

  if (run.options.logout) await send(run, 'logout', { body: { session_token } }, () => '')
}

// What a server sends is unknown until one of these has said what is wrong with it, or ''.

function faultOfFlow({ id }: Fields): string {
  return isText(id) ? '' : 'no id of a flow'
}

function faultOfLogin({ session_token, session }: Fields): string {
  const { id, active, identity } = fields(session)
  if (!isText(session_token) || !/^[\x21-\x7e]{1,4096}$/.test(session_token))
    return 'no session_token that fits into a header'
  if (!isText(id)) return 'no session.id, so whoami could show any session'
  if (active === false) return 'a session that has ended: check session.lifespan, and clocks'
  // The identity is null where a second factor is required: whoami will say so.
  if (identity != null && !isText(fields(identity).id)) return 'no session.identity.id'
  return ''
}

/** Each check logs in as the same identity: only the session's id tells an older, cached one. */
function faultOfSession({ active, id, identity }: Fields, login: Fields): string {
  const owner = fields(identity).id
  const expected = fields(login.session)
  const { id: expectedOwner = owner } = fields(expected.identity)
  if (active !== true) return `active: ${Object(active) === active ? 'an object' : active}`
  if (!isText(owner) || !owner.trim() || /[\p{C}\p{Zl}\p{Zp}]/u.test(owner))
    return 'no identity whose id can be shown'
  if (owner !== expectedOwner) return `the identity ${owner} instead of ${expectedOwner}`
  if (id !== expected.id) return `the session ${textOf(id) || 'of no id'} instead of ${expected.id}`
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
//
// A reply becomes who answered, and two lines. The first is ours, the second is theirs:
//
//   400 submit active:password 777    <status, or the error's code> <step> <facts> <Ory's ids>
//   Held by the fraud check.          <what was said, by the server or by the error>
//
// Who answered comes first, as a status means something else from each: Ory; other, something in
// front of it or in its place; the proxy of this machine; nobody. Each has a list, whose first row
// that matches the lines counts. A dot never crosses the line break: /^400 submit.* 777/ looks at
// our line alone, /\n.*upstream/ at theirs.

export type Row = readonly [
  when: RegExp | false,
  exit: 1 | 2 | 3 | 4 | '1+' | '4+', // with a +, another try is worth it
  error: string, // in 62 characters: the report has 80 columns
  ...hints: string[], // in 68 each; $1 is what the pattern caught
]
type Who = 'ory' | 'other' | 'proxy' | 'nobody'

/** The four lists. A hint says only what this run knows, so some depend on its settings. */
// biome-ignore format: a table
export function meaningsFor(step: Step, config: Config): Record<Who, Row[]> {
  const { isHttp, isLocal, isNetwork, mistakes, proxy, sourceOf } = config
  const isStart = step === 'start'
  const endedBy = 'did another login end it (hook revoke_active_sessions)?'
  const checkHooks = 'Ory itself is fine: check its webhooks, Actions and templates'
  const seeText = 'see what Ory says under "got"'
  const seeLogs = isNetwork ? "see status.ory.com, or ask Ory's support" : "see Ory's logs"
  const checkUrl = `check the ${isNetwork ? 'slug' : 'host, port and path'} in BASE_URL`
  const checkFront = 'check what stands in front of Ory, and its logs'
  const checkProxy = `check ${proxy?.name}, or name the host in NO_PROXY (no ranges)`
  const passGate = 'let this check through, or give it what is wanted in HEADERS'
  const wantsHttps = isHttp && isStart ? 'does this port want https:// in BASE_URL?' : ''
  const wantsCert = 'does the server want a client certificate? this check has none'
  const privateCa = 'with a private CA, set NODE_EXTRA_CA_CERTS to its PEM file'

  const ory: Row[] = [
    [/^409|^.* no-text 4000001|^400 \w+\n.*Unable to serialize access/, 4,
      "a conflict in Ory's database", "if this persists, check Ory's database"],
    [/^404 start hook/, 3,
      'a webhook before login refused this login', seeText],
    [/^404 start/, 1,
      'there is no Ory project at BASE_URL', checkUrl],
    [/^.* invalid_configuration|^500 \w+\n.*misconfig|^.* 4000001\n.*verification strategy/, 3,
      'a setting of the project prevents this login', seeText],
    [/^404 submit\n.*by system administrator/, 3,
      'the password method is off in this project',
      'enable it: selfservice.methods.password'],

    // https://www.ory.com/docs/kratos/concepts/ui-user-interface#ui-message-codes
    [/^4.. submit.* (4000010|session_verified_address_required)\b/, 3,
      "this identity's address is not verified",
      'verify it, or use another test identity'],
    [/^401 submit|^400 submit.* 4010011\b/, 3,
      'this identity is disabled', 'set its state to active'],
    [/^400 submit.* 4000001\b.*\n.*I\[#/, 3, // so begins what breaks a JSON schema: I[#/traits/…]
      'the password is right, but the identity violates its schema',
      'correct its traits or the schema'],
    [/^4.. submit active:password/, 3,
      'the password is right, but a webhook refused this login', seeText],
    [/^400 submit.* (4000006|4000037)\b/, 3,
      'wrong password or unknown identifier', ...mistakes,
      `check IDENT (from ${sourceOf('IDENT')}) and PASS (from ${sourceOf('PASS')})`,
      'did it work before? see if this identity was changed or deleted',
      'is it new? it needs a password, and a schema where IDENT can log in',
      'if all is right: a failing database of Ory looks the same'],
    [/^4.. submit.* (4000003|4000038|5000002|5000003|1\d{6})\b|^422 submit/, 3,
      'this login takes more than a password',
      'use a test identity that needs no SSO, code, captcha or browser'],
    [/^.* (4000001|4000002|4010002|security_csrf_violation|session_already_available)\b/, 1,
      'something changed this request before Ory got it', seeText,
      'a path, a body, a type? or a session that is added, by HEADERS?'],
    [/^\d+ \w+\n.*(flow query parameter|original request URL)/, 1,
      'a gateway in front of Ory changed the URL of this request',
      'does it drop the query, or send a list in X-Forwarded-Proto?'],
    [/^4.. submit( no-text)? \d/, 3,
      'Ory refused this login, for a reason not known here', seeText],
    [/^(404|410) submit/, 1,
      'Ory does not know the flow that it started, or no longer',
      'do several servers need one database? or check clocks and caches'],
    [/^\d+ start hook|^\d+ submit.*\n.*(hook failed|upstream|giving up|jsonnet|file:|fetching)/, 4,
      'a webhook of this login failed, or a template', checkHooks],

    [/^200 whoami/, 1,
      'whoami does not confirm the session that was just made',
      'not active? its lifespan or a hook may end it at once',
      'a different session? check for a cache in front of Ory'],
    [/^5.. whoami|^401 whoami\n.*determine AAL/, '4+',
      'the password is right, but Ory failed to verify the session', seeLogs],
    [/^401 whoami/, '1+',
      'Ory rejected the session token it had just issued',
      'does a gateway strip the header X-Session-Token?', endedBy,
      "if not, check Ory's database: it may fail, or a replica be behind"],
    [/^403 whoami.* session_aal2_required\b/, 3,
      'the password is right, but a second factor is required',
      'use a test identity without a second factor'],
    [/^(400|403) logout/, 1,
      'Ory no longer knows this session, or received no body',
      endedBy, 'does a gateway drop the body of a DELETE?'],

    [/^5.*\n.*(no such table|no column|Unknown column|locate the|not exist|doesn't exist)/, 4,
      'Kratos is newer than its database: SQL migrations did not run',
      'run kratos migrate sql with this version of Kratos'],
    [/^5|^.* error\.code:5/, 4,
      'Ory failed at this step', seeLogs],
    [/^/, 1,
      "Ory's answer is not as documented", seeText],
  ]

  const other: Row[] = [
    [/^(401|407|511)|\n.*(Access credentials are|action was forbidden|SSL certificate was)/, 1,
      'a gateway in front of Ory wants credentials of its own', passGate],
    [isHttp && /^400 start.*\n.*(HTTPS|SSL|TLS)/, 1,
      'BASE_URL probably needs https://', 'if https:// fails too, check the port'],
    [/^421|\n.*(Invalid Hostname|CNAME Cross-User|(Error|error code:) 10(00|01|14|16)\b)/, 1,
      'a gateway does not serve the host name in BASE_URL',
      'check it; for a custom domain, see its CNAME and the Ory Console'],
    [/^.* firewall|^(403|406|451)|\n.*Request Rejected/, 4,
      'something refused this request before it reached Ory', passGate,
      isStart ? 'or does BASE_URL lead to a website, a bucket, another program?' : ''],
    [/^429/, '4+',
      'too many requests: a rate limit',
      'run less often; CI runners share addresses and their limits',
      'does this check run seldom? then people may be refused, too'],
    [/^(408|425|502|503|504|52\d|530)/, '4+',
      'a gateway answered, but Ory did not',
      isStart && isNetwork ? checkUrl : 'is Ory running behind it? see the logs of both',
      'with 525 or 526: check the certificate of the server behind it'],
    [RegExp(`^30. start\\n(http${isHttp ? 's?' : 's'}://[^/]+)/self-service/login/api$`), 1,
      'Ory answers at another address than BASE_URL', 'set BASE_URL to $1'],
    [/^30[12378] start/, 1,
      'BASE_URL redirects to a website or an access gateway', passGate,
      'or set BASE_URL to the public API (the admin API redirects, too)'],
    [/^(404|2..) start|^\d+ start.*\n.*(any rules|multiple rules|Missing Auth)/, 1,
      "what answers at BASE_URL is not Ory's API",
      'did it work before? see if the route to Ory is gone', checkUrl],
    [/^(404|405|2..|30[12378])|\n.*(any rules|multiple rules)/, 1,
      `${STEPS[step].method} ${STEPS[step].path} does not reach Ory`,
      'route this method and path to Ory, like the rest of its API'],
    [/^5/, 4,
      'something in front of Ory failed', checkFront],
    [/^/, 1,
      'something other than Ory answered', checkFront, wantsHttps],
  ]

  const ofProxy: Row[] = [
    [/^407/, 4,
      'the proxy wants a user and password', checkProxy,
      `set them in ${proxy?.name}: http://user:password@host:port`],
    [/^403/, 4,
      'the proxy does not allow this host or port', checkProxy],
    [/^\d/, '4+',
      'the proxy answered, but did not connect to Ory', checkProxy,
      isStart ? checkUrl : seeLogs],
    [/^ERR_SSL_/, 4,
      'what answers through the proxy does not speak TLS', checkProxy,
      'does its URL begin with https://? few proxies speak it',
      'does it want a login in a browser?'],
    [/^/, '4+',
      'no usable answer came from the proxy', checkProxy],
  ]

  const nobody: Row[] = [
    [/^\d+ \w+ incomplete/, '4+',
      'the answer could not be read to its end', checkFront],
    [/^TIMEOUT start no-connection|^(ETIMEDOUT|E(HOST|NET)\w+|EADDR\w+|EPERM|EACCES) start/, '4+',
      'no connection could be made to the host in BASE_URL',
      'check the host and port, DNS, TLS, firewalls, VPN and IPv6'],
    [/^TIMEOUT start/, 4,
      'the server accepted the connection, but did not answer',
      'check the port in BASE_URL, and what listens there'],
    [/^TIMEOUT/, 4,
      'Ory began this login, but did not answer this step in time',
      'check webhooks, password hashing and database; or raise --timeout',
      'does a gateway drop the body of a POST?'],
    [/^ECONNREFUSED start/, '4+',
      'nothing listens at the host and port of BASE_URL',
      isLocal ? 'is Ory running? in a container, localhost is the container' : 'is Ory running?'],
    [/^(ENOTFOUND|EINVAL|EAI_AGAIN|EAI_FAIL) start/, '4+',
      'the host name in BASE_URL was not found from this machine',
      'check the network, the VPN, the spelling, and the DNS record',
      'is it known only in a cluster? is HTTPS_PROXY missing here?',
      'is the name server slow? set RES_OPTIONS=timeout:5'],
    [/^ECONNRESET start\n.*before secure TLS/, '4+',
      'the connection was cut in the TLS handshake',
      'is this host name served here? or does a firewall cut it?'],
    [/^(ECONNRESET|ECONNABORTED|EPIPE|UND_ERR_SOCKET) start|^\w+ start\n.*Invalid EOF/, '4+',
      'the connection was cut before an answer',
      wantsHttps || 'is Ory, or a gateway in front of it, restarting? see its logs',
      'is it a forwarded port? check what it forwards to', wantsCert],
    [/^(E[A-Z]+|EAI_[A-Z]+|UND_ERR_SOCKET) (submit|whoami|logout)|^\w+ \w+\n.*Invalid EOF/, '4+',
      'the connection to Ory was lost after a good start',
      'check the logs and the memory of Ory (hashing may use it up)'],

    [/^CERT_(HAS_EXPIRED|NOT_YET_VALID)/, 4,
      "the server's certificate has expired or is not valid yet",
      "renew it, or correct this machine's clock"],
    [/^ERR_TLS_CERT_ALTNAME_INVALID/, 4,
      "the server's certificate is for a different name", 'check the host in BASE_URL'],
    [/^UNABLE_TO_VERIFY_LEAF_SIGNATURE/, 4,
      'an intermediate certificate may be missing',
      'let the server send its whole chain (often called fullchain)', privateCa],
    [/^(\w*_CERT|CERT|UNABLE_TO|INVALID_CA|INVALID_PURPOSE|UNSPECIFIED)/, 4,
      "the server's certificate is not trusted on this machine",
      'a self-signed default certificate means this host has none yet', privateCa],
    [/^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)/, 4,
      'this port does not speak TLS', 'check the port in BASE_URL'],
    [/^(ERR_SSL_|EPROTO)/, 4,
      'the TLS handshake failed',
      'is it a new custom domain, or a wrong host name in BASE_URL?', wantsCert,
      'if not, allow TLS 1.2 or later, a common cipher, and HTTP/1.1'],
    [/^(HTTPParserError|UND_ERR_HEADERS_OVERFLOW|UND_ERR_RES_\w+|BODY_TOO_LARGE) /, 1,
      'the reply is not valid HTTP, or too large for Ory',
      'is it another service, or does something in front of Ory alter it?'],
    [/\n.*\bbad port\b/, 2,
      'fetch refuses to use the port in BASE_URL', 'give Ory another port'],
    [/^/, 4,
      'the request failed',
      'see its cause under "got"; if there is none, a proxy login (407)?'],
  ]
  return { ory, other, proxy: ofProxy, nobody }
}

// ---- A reply

/** What came of a request: an answer; or, with status 0, an error in its place. */
export type Reply = {
  status: number
  code: string // of the error, such as ECONNREFUSED, or the status that a proxy refused with
  headers: undici.Headers
  text: string // the body, or what the error says
  fact: string // incomplete, no-connection, firewall
  json?: object | undefined // the body, or its first line
  next?: object | undefined // the rest
}

/** Who answered, and the two lines. `fault` says what is wrong with the body of a right status. */
export function readReply(step: Step, reply: Reply, fault: string, config: Config) {
  const { status, code, fact, headers, text, json, next } = reply
  const who = whoAnswered(step, reply, config)
  const { texts, ids } = readJson(who, json, next)
  const { active, error } = fields(json)
  const { code: innerCode } = fields(error)

  const facts = [
    fact,
    isText(fields(next).id) && 'hook',
    active === 'password' && status >= 400 && 'active:password', // set once Ory has compared it
    typeof innerCode === 'number' && innerCode !== status && `error.code:${innerCode}`,
    who === 'ory' && !fault && !texts && 'no-text',
  ].filter(isText)
  const target = status > 300 && headers.get('location')?.replace(/[?#].*/, '')
  const ofJson = json && (fault || texts || (who === 'ory' && 'no text'))
  const said = target || ofJson || wordsOf(reply)
  const words = (who === 'nobody' || who === 'proxy' ? text : said).slice(0, 2000)
  const ray = who === 'other' && headers.get('cf-ray')
  return {
    who,
    ids,
    ours: [status || code, step, ...facts, ...ids].join(' '),
    theirs: `${words}${ray ? ` (cf-ray ${ray})` : ''}`.replace(/\s+/g, ' '),
  }
}

/**
 * Ory's answers are JSON: with what it documents, with a flow (ui), or with an error whose code is
 * a number; 429 and 503 are never Ory's. Ory Oathkeeper and Google word errors in the same way.
 */
function whoAnswered(step: Step, reply: Reply, { proxy }: Config): Who {
  const { status, code, fact, headers, text, json } = reply
  // Through a proxy this machine dials the proxy alone, but TLS is Ory's.
  const isOfDialling =
    /^(TIMEOUT|E[A-Z]+|EAI_[A-Z]+|UND_ERR_SOCKET|HTTPParserError|ERR_SSL_(WRONG|PACKET)_\w+)$/
  const isProxys = step === 'start' && code !== 'EPROTO' && isOfDialling.test(code)
  if (proxy && status === 0 && (isProxys || /^\d/.test(code))) return 'proxy'
  if (status === 0 || fact === 'incomplete') return 'nobody'
  if (status === 429 || status === 503 || fact || headers.has('www-authenticate')) return 'other'

  const { error, ui, session, session_token, active, identity } = fields(json)
  if ([ui, session, session_token, active, identity].some((part) => part != null)) return 'ory'
  if (text.startsWith('PANIC: ')) return 'ory'
  const { code: innerCode, status: name, reason, message } = fields(error)
  if (typeof innerCode !== 'number' || innerCode < 400) return 'other'
  if (/^[A-Z_]+$/.test(textOf(name))) return 'other' // Google's, such as PERMISSION_DENIED
  const isOathkeepers =
    /Access credentials are|any rules|multiple rules|^The request(ed \w+)? (could|was f)/
  const texts = [reason, message].filter(isText)
  return texts.length > 0 && texts.every((each) => isOathkeepers.test(each)) ? 'other' : 'ory'
}

function wordsOf({ status, text, json }: Reply): string {
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
  // Level by level and without recursion: a body can be nested 100,000 deep.
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

// ---- The report
//
// On stdout: two lines of a verified session, one JSON value, --help or --version; else nothing.
// On stderr: notes, last the report. Plain text, in 80 columns but for what a server or a URL says.

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

  constructor(report: Omit<Failure, keyof Error>) {
    super(report.error)
    Object.assign(this, report)
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
  const row = rows.find(([when]) => when && lines.match(when)) ?? []
  const [when = /^/, exit = 4, error = '', ...hints] = row
  const [, caught = ''] = lines.match(when || '') ?? []
  const got = safe(`${ours.replace(` ${step}`, '')}: ${theirs}`)
  const isWithheld = got === WITHHELD
  const isLogout = step === 'logout'
  const isMaybeProxys = step === 'start' && (who === 'other' || who === 'nobody')
  const failure = new Failure({
    exit_code: Number.parseInt(`${exit}`, 10),
    step: name,
    answered_by: who,
    request: safe(`${method} ${baseUrl}${path}${proxy ? ` through the proxy ${proxy.host}` : ''}`),
    ...(reply.status && { status: reply.status }),
    ory_ids: isWithheld ? [] : ids,
    error: isLogout ? 'the login is verified, but logging out failed' : error,
    expected,
    got: isWithheld ? `${reply.status || reply.code}: ${got}` : got,
    hints: [
      isLogout && error,
      proxy && isMaybeProxys && `this may come from the proxy in ${proxy.name}`,
      isWithheld && "the text repeats a secret; find it in Ory's logs by the log id",
      ...hints.map((hint) => hint.replace('$1', () => safe(caught))),
    ].filter(isText),
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
    line('log id', status ? `x-request-id ${requestId}` : ''), // only a server can have logged it
  ].join('')
}

function formatResult(run: Run | undefined, failure: Failure | undefined, isJson: boolean): string {
  const { safe = String, config, verified, request_id, steps = [] } = run ?? {}
  const { session_token = '', session = {} } = verified ?? {}
  // Shows at most 24 characters of a token, and hides at least 15.
  const start = session_token.slice(0, Math.max(0, Math.min(24, session_token.length - 15)))
  const others = [config?.password ?? '', ...Object.values(config?.headers ?? {})]
  const isSecret = others.some((secret) => repeatsSecret(start, secret))
  const token = isSecret ? WITHHELD : `${toLine(start)}…`
  const identity_id = safe(textOf(fields(session.identity).id))
  if (!isJson) return session_token && `token: ${token}\nidentity_id: ${identity_id}\n`
  const result = session_token && {
    token,
    identity_id,
    session_id: safe(textOf(session.id)),
    expires_at: safe(textOf(session.expires_at)),
    logged_out: !failure && run?.options.logout,
  }
  const base_url = config && safe(config.baseUrl)
  const json = { ok: !failure, ...(result || {}), ...failure, base_url, request_id, steps }
  return `${JSON.stringify(json)}\n`
}

// ---- Secrets
//
// A text repeats a secret if it has the letters and digits of the secret in order: twelve in a row,
// or all of them. Where the secret has another character, up to 24 letters and digits may stand in
// its place, as escapes write it (%3C, &lt;, \u003c, one within another): "p4ss&lt;word" repeats
// p4ss<word.

const WITHHELD = '(withheld: it repeats a secret)'

/** Whether a text repeats a secret, or a telling part of it, however it is escaped. */
export function repeatsSecret(text: string, secret: string): boolean {
  const known = secret.slice(0, 1000).normalize()
  const characters = [...known.matchAll(/([^\da-z]*)([\da-z])/gi)]
  // With fewer than six, escaped spellings cannot be recognised, so only plain text is shown.
  const isPlain = /^[\w .,:;'()/-]*$/.test(text)
  if (characters.length < 6)
    return (secret.length > 3 && text.includes(secret)) || (secret.length > 5 && !isPlain)

  // In any script: twelve letters or digits in a row.
  const inRow = (value: string) => value.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
  const seen = inRow(text.normalize())
  const runs = Array.from(inRow(known), (_, start) => inRow(known).slice(start, start + 12))
  if (runs.some((run) => run.length === 12 && seen.includes(run))) return true

  // For each letter of the text: how many characters of the secret, in order, end there with the
  // present one. The one before stands within `reach`.
  const letters =
    text
      .normalize('NFD')
      .toLowerCase()
      .match(/[\da-z]/g) ?? []
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
  const part = text.slice(0, 2000) // a megabyte of escape sequences takes long to clean
  const clean = stripVTControlCharacters(part).replace(/[\p{C}\p{Z}]+/gu, ' ')
  const isKey = /ory_(pat|apikey|wak|st|lo|at|rt|ac)_\w/.test(clean) // an Ory key, no matter whose
  const isSecret = secrets.some((each) => repeatsSecret(clean, each) || repeatsSecret(part, each))
  return isKey || isSecret ? WITHHELD : toLine(clean.trim())
}

/** Cuts a clean text, and takes the commands of Azure Pipelines (##) out of it. */
const toLine = (text: string): string =>
  text.replace(/##+/g, (run) => [...run].join(' ')).replace(/^(.{249}).{2,}$/u, '$1…')

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
    const isRight = reply.status === status && !reply.fact
    const fault = isRight ? (reply.next ? "more data after Ory's answer" : faultOf(body)) : ''
    if (isRight && !fault) return body

    const isLate = reply.code === 'TIMEOUT'
    const { connection } = run
    const isOpen = !(connection instanceof Client) || connection.stats.connected
    if (isLate && !isOpen) reply.fact = 'no-connection'
    if (before && isLate) reply.text += `; the try before got ${before}`
    const { failure, isRetryable } = explain(run, step, reply, fault)
    // A password that was judged is not sent again, even if the reason is lost.
    const isJudged = reply.fact === 'incomplete' && step === 'submit' && reply.status >= 400
    if (!isRetryable || isJudged || isLate || record.attempts === 3) throw failure
    const wait = Math.round(waitMs(record.attempts, reply))
    const due = `in ${Math.ceil(wait / 100) / 10} s`
    if (performance.now() + wait >= run.deadline) {
      failure.hints.unshift(`--timeout leaves no time for the next try, which is due ${due}`)
      throw failure
    }
    run.note(`${step}: got ${came}; trying again ${due} (${record.attempts + 1} of 3)`)
    await sleep(wait)
    before = failure.got ?? ''
    if (reply.code) run.connection = openConnection(run.config)
  }
}

/**
 * How long to wait before the next try, in ms: what the server asks, and at least a backoff. Some
 * send x-ratelimit-reset with any status, or as a time since 1970: it counts at 429, to an hour.
 */
export function waitMs(attempt: number, { status, headers }: Pick<Reply, 'status' | 'headers'>) {
  const after = headers.get('retry-after') ?? ''
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
async function sendOnce(run: Run, step: Step, parts: Parameters<typeof send>[2]): Promise<Reply> {
  const { query = '', headers, body } = parts
  const { method, path } = STEPS[step]
  const reply = noAnswer('', '')
  try {
    const response = await fetch(`${run.config.baseUrl}${path}${query}`, {
      method,
      headers: {
        ...run.config.headers,
        accept: 'application/json',
        'accept-encoding': 'identity', // undici can throw past us where a large one is cut
        'user-agent': `ory-login/${VERSION}`, // Ory lists it with the session
        'x-request-id': run.request_id,
        ...(body && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body ? JSON.stringify(body) : null,
      redirect: 'manual', // followed, it could take the password or the token elsewhere
      dispatcher: run.connection,
    })
    reply.status = response.status
    reply.headers = response.headers
    const limit = 2 ** 20 // Ory's bodies have some thousand
    for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      reply.text += part
      if (reply.text.length > limit) return noAnswer('BODY_TOO_LARGE', `over ${limit} characters`)
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
  // Two addresses that refuse give an AggregateError, without a text of its own.
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error]
  const text = errors.map((each) => fields(each).reason ?? fields(each).message).join(', ')
  // Of a proxy, undici says "Proxy response (403) …" or "Proxy … Required (407)".
  const [, status] = /^Proxy \D+\((\d{3})\)/.exec(text) ?? []
  return { code: status ?? (textOf(fields(error).code) || error.name), text }
}

function openConnection({ baseUrl, proxy }: Config): undici.Client | undici.ProxyAgent {
  const connect = {
    rejectUnauthorized: true, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
    timeout: 0, // --timeout alone limits a run
    autoSelectFamilyAttemptTimeout: 3000, // Node's 250 ms are too short for a far host
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
  new Failure({ exit_code: 2, step: 'read settings', error, hints })

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
      throw usageError(
        'an argument is not an option',
        hint,
        'BASE_URL, IDENT and PASS are variables',
      )
  }
  throw usageError('--timeout takes seconds, more than 0 and at most 3600', hint)
}

function readDotenv(env: NodeJS.ProcessEnv): string | undefined {
  const isMissing = (name: string) => env[name] === undefined
  if (![...VARIABLES, 'HEADERS'].some(isMissing)) return ''
  try {
    const stat = fs.statSync('.env', { throwIfNoEntry: false })
    if (!stat) return undefined
    if (!stat.isFile()) throw new Error('it is not a file') // a pipe or a device may never end
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
  [/^BASE_URL=["'`\u2018-\u201f]/, 'must not be in quotes'],
  [/^BASE_URL=.*([<>{}]|\$\w)/, 'must not contain a placeholder or a variable'],
  [/^BASE_URL=.*[\p{C}\p{Z}]/su, 'must not contain white space'],
  [/^BASE_URL=.*[?#]/, 'must not have a query or a fragment'],
  [/^BASE_URL=(.*:\/\/.*:\/\/|https?:\/\/https?:)/, 'must have one scheme'],
  [/^BASE_URL=[^/]*\/\/[^/]*@/, 'must not contain a user name or a password'],
  [/^BASE_URL=[^/]*\/\/[^/]*[^\p{L}\p{N}._[\]:/-]/u,
    'must have a host of letters, digits, dots and hyphens'],
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
  [/=\s*(undefined|null|None|\*+|\$[({].*[)}]|\{.*\})\s*$/s, 'is a placeholder, not filled in'],
  [/=\s*(op:\/\/|encrypted:|@Microsoft\.KeyVault)/, 'names a secret that was not read'],
  [/=\s*ory_\w+_/, "is a key of Ory's, not of a person"],
  [/^IDENT=[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i, 'is the id of an identity, it seems'],
]

/** As curl and undici's EnvHttpProxyAgent, which does not tell what it chose. */
function readProxy(env: NodeJS.ProcessEnv, { protocol, hostname, port }: URL) {
  const [lower, usualPort] = protocol === 'https:' ? ['https_proxy', 443] : ['http_proxy', 80]
  const name = env[lower] === undefined ? lower.toUpperCase() : lower
  const url = env[name]
  const host = hostname.replace(/\.$/, '')
  const spellings = [host, host.replace(/[[\]]/g, ''), `${host}:${port || usualPort}`]
  const isExempt = (entry: string) => {
    const suffix = entry.toLowerCase().replace(/^\*?\.|\.$/g, '')
    return entry === '*' || spellings.some((each) => `.${each}`.endsWith(`.${suffix}`))
  }
  const exempt = (env.no_proxy || env.NO_PROXY || '').split(/[,\s]+/).filter(Boolean)
  if (!url || exempt.some(isExempt)) return undefined
  try {
    decodeURIComponent(url) // as undici decodes user and password
    if (!/^https?:\/\/([^/?#\\@:]+:[^/?#\\@]+@)?[^/?#\\@]+\/?$/i.test(url)) throw new TypeError()
    return { name, url, host: new URL(url).host }
  } catch {
    const hint = 'write it like http://host:port or http://user:password@host:port'
    throw usageError(`${name} must be the URL of an HTTP proxy`, hint)
  }
}

function readHeaders(text: string): Record<string, string> {
  const isOurs = /^(x-session-token|x-request-id|cookie|origin|host|user-agent|te|upgrade|expect)$/i
  const isHttps = /^(accept|connection|content|keep|proxy|trailer|transfer)\b/i
  const headers = new Headers()
  for (const line of text.split(/[\r\n]+/).filter((line) => line.trim())) {
    const [, name = '', value] = /^\s*([\w-]+):\s*([!-\xff][\t -\xff]*)$/.exec(line) ?? []
    if (!value) throw usageError('HEADERS must have a "Name: value" on each line', 'see --help')
    if (isOurs.test(name) || isHttps.test(name))
      throw usageError('HEADERS must not have a header that the login needs itself', 'see README')
    headers.append(name, value)
  }
  return Object.fromEntries(headers)
}

/** It holds the password, so it is never printed as a whole. */
export type Config = ReturnType<typeof readConfig>

/** Reads the environment, else .env, else the demo's. Throws a Failure. */
export function readConfig(env: NodeJS.ProcessEnv, dotenvText: string | undefined) {
  const file = dotenvText ?? ''
  const dotenv = parseDotenv(file)
  // On Windows, env ignores case.
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
  if (!/^https?:\/\//i.test(values.BASE_URL))
    throw usageError('BASE_URL must begin with http:// or https://', example)
  if (!URL.canParse(values.BASE_URL))
    throw usageError('BASE_URL must be a URL, with a port of at most 65535', example)

  const url = new URL(values.BASE_URL)
  // This machine needs no proxy, and alone gets the demo identity.
  const isLocal = /^(.+\.)?localhost\.?$|^127\.[\d.]+$|^0\.0\.0\.0$|^\[::1?\]$/.test(url.hostname)
  const isHttp = url.protocol === 'http:'
  const proxy = isLocal ? undefined : readProxy(env, url)
  const unset = VARIABLES.filter((name) => sourceOf(name) === 'the demo')
  const missing = unset.filter((name) => name !== 'BASE_URL')
  const noFile = dotenvText === undefined && 'there is no .env in the working directory'
  if (missing.length === 1 || (missing[0] && !isLocal))
    throw usageError(`${list.format(missing)} must be set`, noFile || 'see --help')

  const cuts = file.matchAll(/^\s*(?:export\s+)?(IDENT|PASS)\s*[=:]\s*[^\s"'`#].*#/gm)
  const isSwapped = /^[^@]*\n[^@\s]+@[^@\s]+\.\w+$/.test(`${values.IDENT}\n${PASS}`)
  const mistakes = MISTAKES.flatMap(([when, mistake]) =>
    VARIABLES.slice(1)
      .filter((name) => when.test(`${name}=${values[name]}`))
      .map((name) => `${name} ${mistake}`),
  )
  if (missing[0]) mistakes.push('the demo identity was sent: does this Ory have it?')
  for (const [, name = ''] of cuts)
    if (sourceOf(name) === '.env') mistakes.push(`in .env, ${name} is cut at its #: quote it`)
  if (isSwapped) mistakes.push('IDENT and PASS look swapped')

  const notes: string[] = []
  if (unset[0]) notes.push(`not set, so the demo default is used: ${unset.join(', ')}`)
  if (sourceOf('BASE_URL') === '.env' && sourceOf('PASS') === 'the environment')
    notes.push('BASE_URL is from .env, but PASS is from the environment')
  if (isHttp && !isLocal) notes.push('BASE_URL is http://: the password is sent unencrypted')
  if (isHttp && proxy) notes.push(`the proxy in ${proxy.name} sees the password, too`)
  if (env.NODE_TLS_REJECT_UNAUTHORIZED === '0')
    notes.push('NODE_TLS_REJECT_UNAUTHORIZED has no effect here')
  return {
    baseUrl: url.href.replace(/\/+$/, ''),
    isHttp,
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

type Options = ReturnType<typeof readOptions>
type Streams = {
  print: (text: string) => Promise<unknown> // to stdout, which may fail
  say: (text: string) => Promise<unknown> // to stderr
  uncaught?: Promise<unknown> // resolves with an exception that nothing caught
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
    failure = error instanceof Failure ? error : bugReport(error)
  }
  run?.connection.destroy()

  // --json counts where readOptions threw as well.
  text ||= formatResult(run, failure, args.includes('--json'))
  const time = Math.max((run?.deadline ?? 0) - performance.now(), 1000) // a second of grace
  const late = sleep(time, 'nothing reads it', { ref: false })
  const printed = text && print(text).then(() => '')
  const fault = await Promise.race([printed, late]).catch((error) => causeOf(error).text)
  if (fault)
    failure ??= new Failure({
      exit_code: 1,
      step: 'print result',
      error: 'stdout cannot be written',
      hints: [fault, 'check where stdout goes: a full disk, or a pipe that nobody reads'],
    })
  if (!failure) return 0

  const report = `ory-login: error: ${describe(failure, run?.request_id)}`
  const data = report.replaceAll('%', '%25').replaceAll('\n', '%0A')
  // An annotation, for the page of the red job in GitHub Actions.
  const annotation = env.GITHUB_ACTIONS === 'true' ? `\n::error title=ory-login::${data}` : ''
  await Promise.race([say(report + annotation), late])
  return failure.exit_code
}

type Run = ReturnType<typeof newRun>
function newRun(options: Options, config: Config, streams: Streams) {
  const { say, uncaught = new Promise(() => {}) } = streams
  const { baseUrl, headers, password, proxy, sourceOf } = config
  const request_id = randomUUID()
  const secrets = [password, ...Object.values(headers)] // a token joins them as soon as it comes
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
  const failed = uncaught.then((error) =>
    noAnswer('UNCAUGHT', Object.values(causeOf(error)).join(': ')),
  )
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
    steps: [] as object[], // for --json
    verified: { session_token: '', session: fields({}) }, // once whoami has confirmed it
  }
}

/** The error's text is left out: it could quote a secret. */
const bugReport = (error: unknown): Failure =>
  new Failure({
    exit_code: 1,
    step: 'log in',
    error: `ory-login ${VERSION} itself failed (${causeOf(error).code})`,
    hints: ['with the locked package versions, this is a bug: report it'],
  })

// It runs when it is loaded, however that was done: silence would look like success. Only who sets
// this symbol before, in the same process, gets the functions alone.
if (!Reflect.has(globalThis, Symbol.for('ory-login: functions only'))) {
  process.exitCode = 1 // an end that nobody planned must not be green
  process.stderr.on('error', () => {}) // the exit code must be enough
  // As process 1 of a container, it would ignore these.
  for (const name of process.pid === 1 ? (['SIGHUP', 'SIGINT', 'SIGTERM'] as const) : [])
    process.on(name, () => process.exit(128 + constants.signals[name]))
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
  const streams = { print, say, uncaught }
  const code = await main(process.argv.slice(2), process.env, streams).catch(async (error) => {
    await say(`ory-login: error: ${bugReport(error).error}`)
    return 1
  })
  process.exit(code)
}
