#!/usr/bin/env node
/**
 * ory-login: can a person log in to this Ory project right now?
 *
 *   1. start login flow     GET    /self-service/login/api         gives the id of a flow
 *   2. submit credentials   POST   /self-service/login?flow=<id>   gives a session token
 *   3. verify session       GET    /sessions/whoami                says whose session that is
 *      log out              DELETE /self-service/logout/api        only with --logout
 *
 * In this order: HELP; the login; what a failure means; the report; secrets; requests; the set-up;
 * main. Ory's own account: https://www.ory.com/docs/kratos/self-service/flows/user-login
 */
import { randomUUID } from 'node:crypto'
import * as fs from 'node:fs'
import { Socket } from 'node:net'
import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs, stripVTControlCharacters } from 'node:util'
import { parse as parseDotenv } from 'dotenv' // config() would print, and obey DOTENV_* variables
import { Client, fetch, Headers, ProxyAgent } from 'undici'

/** Shown by --version, and sent as the user agent. */
export const VERSION = '3.0.0'

/** Only for the demo: a loopback address and a made-up identity. */
const DEMO = {
  BASE_URL: 'http://127.0.0.1:4433',
  IDENT: 'demo@example.com',
  PASS: 'demo-only-password',
}

const HELP = `Usage: node ory-login.mjs [options]
       npm run -s login -- [options]         (in a clone)
       npx tsx src/ory-login.ts [options]    (in a clone)

Proves that a person can log in to an Ory project: starts a native login
flow, submits a password, and asks whoami whether the session is real.

  BASE_URL=https://your-slug.projects.oryapis.com IDENT=test@example.com \\
    PASS='the password' node ory-login.mjs --logout

Variables, from the environment, or else from .env in the working directory:
  BASE_URL  public API of the project (${DEMO.BASE_URL})
  IDENT     identifier of a test identity, such as its email address
  PASS      its password
  Set both IDENT and PASS, or neither: then the demo identity is used, which
  is only ever sent to localhost (${DEMO.IDENT}, ${DEMO.PASS}).
From the environment only:
  HTTPS_PROXY, HTTP_PROXY, NO_PROXY  proxies, and the hosts that need none;
                                     localhost is always asked directly
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
  4  no usable answer: network, TLS, proxy, time, rate limit, 5xx, a failing
     webhook; try again later
`

// ---- The login, as Ory's protocol has it

/** The steps, and what Ory documents for each. */
// biome-ignore format: a table
const STEPS = {
  start:  { name: 'start login flow', method: 'GET', path: '/self-service/login/api',
            status: 200, expected: '200 with the id of a flow' },
  submit: { name: 'submit credentials', method: 'POST', path: '/self-service/login',
            status: 200, expected: '200 with a session_token and its session' },
  whoami: { name: 'verify session', method: 'GET', path: '/sessions/whoami',
            status: 200, expected: '200 with the active session that was just made' },
  logout: { name: 'log out', method: 'DELETE', path: '/self-service/logout/api',
            status: 204, expected: '204' },
} as const
export type Step = keyof typeof STEPS

/** Logs in and has the session verified. Throws a LoginError as soon as an answer differs. */
async function logIn(run: Run): Promise<void> {
  const { identifier, password } = run.config

  // Step 1: https://www.ory.com/docs/reference/api#tag/frontend/operation/createNativeLoginFlow
  const flow = await callOry(run, 'start', {}, readFlow)

  // Step 2: https://www.ory.com/docs/reference/api#tag/frontend/operation/updateLoginFlow
  const query = `?${new URLSearchParams({ flow: flow.id })}`
  const body = { method: 'password', identifier, password }
  const login = await callOry(run, 'submit', { query, body }, readLogin)
  const { session_token } = login
  run.session_token = session_token

  // Step 3: https://www.ory.com/docs/reference/api#tag/frontend/operation/toSession
  const headers = { 'x-session-token': session_token }
  run.session = await callOry(run, 'whoami', { headers }, (body) => readSession(body, login))

  // https://www.ory.com/docs/reference/api#tag/frontend/operation/performNativeLogout
  if (run.options.logout) await callOry(run, 'logout', { body: { session_token } }, () => ({}))
}

// What a server sends is unknown until one of these has read it: each returns what Ory documents
// for a step, or a text that says what is wrong with it.

function readFlow(body: unknown): { id: string } | string {
  const { id } = fields(body)
  return isText(id) ? { id } : 'no id of a flow'
}

type Login = { session_token: string; session_id: string; identity_id: string | null }
function readLogin(body: unknown): Login | string {
  const { session_token, session } = fields(body)
  const { id: session_id, identity } = fields(session)
  // The identity is null where a second factor is due.
  const identity_id = identity == null ? null : (fields(identity).id ?? '')
  if (!isText(session_token) || !/^[\x21-\x7e]{1,4096}$/.test(session_token))
    return 'no session_token that fits into a header'
  if (!isText(session_id)) return 'no session.id, so whoami could show any session'
  if (identity_id !== null && !isText(identity_id)) return 'no session.identity.id'
  return { session_token, session_id, identity_id }
}

type Session = { session_id: string; identity_id: string; expires_at: string }
/** Each check logs in as the same identity: only the session's id reveals an older, cached one. */
function readSession(body: unknown, login: Login): Session | string {
  const { active, id, identity, expires_at } = fields(body)
  const { id: identity_id } = fields(identity)
  const expectedId = login.identity_id ?? identity_id
  if (active !== true) return `active: ${Object(active) === active ? 'an object' : active}`
  if (!isText(identity_id) || !identity_id.trim() || /[\p{C}\p{Zl}\p{Zp}]/u.test(identity_id))
    return 'no identity whose id can be shown'
  if (identity_id !== expectedId) return `the identity ${identity_id} instead of ${expectedId}`
  const { session_id } = login
  if (id !== session_id) return `the session ${textOf(id) || 'of no id'} instead of ${session_id}`
  return { session_id, identity_id, expires_at: textOf(expires_at) }
}

/** Any value as something with fields: null, a text or a number has none that is read. */
const fields = (value: unknown): Record<string, unknown> => Object(value)
/** A text that is not empty. A lone surrogate (Cs) cannot be encoded, so it does not count. */
const isText = (value: unknown): value is string =>
  typeof value === 'string' && /^\P{Cs}+$/u.test(value)
const textOf = (value: unknown): string =>
  isText(value) || typeof value === 'number' ? String(value) : ''

// ---- What a failure means: a reply becomes one line, and one list is read over that line
//
//   <who> <step> <status, or the error's code> <facts, Ory's ids>: <what was said>
//
//   ory submit 400 4000006: The provided credentials are invalid, check for spelling mistakes…
//   ory submit 400 active:password 777: Held by the fraud check.
//   other start 404: a page titled "404 Not Found"
//   nobody whoami ECONNRESET: read ECONNRESET
//
// From the status on, a line is what people see as `got`: to add a row, turn the status, facts, ids
// and words of a `got` into a pattern.

/**
 * Who answered is decided first, since a status means something different from each: Ory; other,
 * something in its place or in front of it, such as a gateway, a firewall or a website; the proxy
 * of this machine; or nobody. --json has it as answered_by, so that the right team is alerted.
 */
type Who = 'ory' | 'other' | 'proxy' | 'nobody'

export type Line = {
  who: Who
  step: Step
  came: string // the HTTP status; where no answer came, the error's code, such as ECONNREFUSED
  facts: string[] // that words do not tell: active:password, error.code:…, then:flow, firewall
  ids: string[] // of Ory's error and messages
  said: string // by the server; or by us, of a body that is not as documented
  newBaseUrl: string // what BASE_URL should be, where a redirect tells it
}

/**
 * A row is for lines in which each field of its pattern matches. `says` may match anywhere in what
 * was said; the others must match all of `came`, of one fact or of one id.
 */
type Pattern = { came?: RegExp; fact?: RegExp; id?: RegExp; says?: RegExp }
type Row = readonly [
  when: Pattern | readonly Pattern[], // of several, one must match
  exit: 1 | 2 | 3 | 4 | '1, retry' | '4, retry', // the exit code, and if another try is worth it
  error: string, // at most 62 characters, since the report has 80 columns
  ...hints: string[], // at most 68 characters each
]

/**
 * The list, in sections by who answered and at which step. The first row that matches counts, so
 * the special stands before the general; the last row of each who is for all that is left.
 * Ory's message ids: https://www.ory.com/docs/kratos/concepts/ui-user-interface#ui-message-codes
 */
// biome-ignore format: a table
export const sectionsFor = (line: Line, config: Config): readonly
  (readonly [who: Who, step: Step | 'after the start' | 'any step', ...rows: Row[]])[] => [
  ['ory', 'start', // then:flow means: Ory sent an error and then a flow, as a webhook makes it do
    [{ came: /404/, fact: /then:flow/ }, 3, 'a webhook before login refused this login',
      'check the webhooks and Ory Actions before login'],
    [{ fact: /then:flow/ }, 4, 'a webhook before login failed',
      'Ory itself is fine: check the webhooks and Ory Actions before login'],
    [{ came: /404/ }, 1, 'there is no Ory project at BASE_URL',
      'check BASE_URL for a wrong slug or a wrong path prefix'],
  ],
  ['ory', 'submit',
    // Messages go by their ids, and before all words: a webhook can choose what its message says.
    [{ id: /4000010|session_verified_address_required/ }, 3,
      "this identity's address is not verified",
      'verify it, or use a test identity whose address is verified'],
    [[{ id: /4010011/ }, { came: /401/ }], 3, 'this identity is disabled',
      'set its state to active, or use another test identity'],
    // So begins what Kratos says of a value that breaks a JSON schema: I[#/traits/email] S[#/…]
    [{ id: /4000001/, says: /I\[#/ }, 3,
      'the password is right, but the identity violates its schema',
      'correct its traits or the schema; until then its logins will fail'],
    [{ id: /4000001/, says: /^JSON without an error message$/ }, 4, "a conflict in Ory's database",
      "try again later; if this persists, check Ory's database"],
    [{ fact: /active:password/, id: /.+/ }, 3,
      'the password is right, but a webhook refused this login',
      'see its text under "got": change the webhook, or the test identity'],
    [{ id: /4000006|4000037/ }, 3, 'wrong password or unknown identifier (Ory does not say which)',
      ...config.mistakes,
      `check IDENT (from ${config.sources.IDENT}) and PASS (from ${config.sources.PASS})`,
      'did it work before? see if this identity was changed or deleted',
      "if all is right, check Ory's logs: a failing database looks the same"],
    [{ id: /4000001|4000002|4010002|security_csrf_violation/ }, 1,
      'the login request reached Ory changed',
      'does a proxy change its path, body or content type, or add cookies?'],
    [[{ id: /4000003|4000038|500000[23]|1\d{6}/ }, { came: /422/ }], 3,
      'this login takes more than a password',
      'use a test identity that needs no SSO, code, captcha or browser'],
    [{ id: /\d+/ }, 3, 'Ory refused this login, for a reason this check does not know',
      'see what Ory says under "got"'],
    [{ says: /flow query parameter is missing/ }, 1, 'the login request reached Ory changed',
      'does a proxy in front of Ory drop the query?'],
    [{ says: /by system administrator/ }, 3, 'the password method is off in this project',
      'enable it (selfservice.methods.password), or test another project'],
    [{ came: /410/ }, 1, 'the flow expired before it was submitted',
      'look for a cache or a wrong clock; check flows.login.lifespan'],
    [{ came: /404/ }, 1, 'the server that received the password does not know this flow',
      'if several servers answer at BASE_URL, give them one database'],
    [[{ id: /invalid_configuration/ }, { says: /misconfiguration prevents/ }], 3,
      'a setting of the project prevents this login',
      'is a verified address required, but this identity has no address?',
      'does it lack a password, and is the password migration hook off?'],
    [{ says: /migration hook failed/ }, 4, 'the password migration hook failed; Ory itself is fine',
      'check this hook and its logs: Ory could not judge the password'],
    [{ says: /webhook|third-party upstream|giving up after/ }, 4, 'a webhook after login failed',
      'Ory and the password are fine: check the webhooks and Ory Actions'],
  ],
  ['ory', 'whoami',
    [{ came: /200/ }, 1, 'whoami does not confirm the session that was just made',
      'not active? check whether its lifespan or a hook ends it at once',
      'a different session? check for a cache in front of Ory'],
    [{ came: /401/ }, '1, retry', 'Ory rejected the session token it had just issued',
      'does a proxy in front of Ory strip the header X-Session-Token?',
      'did another login end the session (hook revoke_active_sessions)?',
      "if not, check Ory's database: it may fail, or a replica may lag"],
    [{ id: /session_aal2_required/ }, 3, 'the password is right, but a second factor is due',
      'use a test identity without a second factor'],
    [{ came: /5../ }, '4, retry', 'the password is right, but Ory failed to verify the session',
      "try again later, and check Ory's logs"],
  ],
  ['ory', 'logout',
    [{ came: /400|403/ }, 1, 'Ory no longer knows this session, or received no body',
      'did another login end it (hook revoke_active_sessions)?',
      'does a proxy in front of Ory drop the body of a DELETE?'],
  ],
  ['ory', 'any step',
    [[{ came: /409/ }, { says: /Unable to serialize access/ }], 4, "a conflict in Ory's database",
      "try again later; if this persists, check Ory's database"],
    [[{ says: /no such table|has no column|Unable to locate the (table|column)/ },
      { says: /(relation|column) \S{1,99} does not exist/ }], 4,
      'Kratos is newer than its database: SQL migrations did not run',
      'run kratos migrate sql with this version of Kratos'],
    [[{ came: /5../ }, { fact: /error\.code:5../ }], 4, 'Ory failed at this step',
      "this says nothing about the password: try later, see Ory's logs"],
    [{}, 1, "Ory's answer is not as documented", 'see what Ory says under "got"',
      'does a proxy in front of Ory change requests or answers?'],
  ],

  ['other', 'any step', // what means the same at each step; what is left comes after other, logout
    [{ says: /^JSON that breaks off$/ }, '4, retry', 'the answer was cut: its JSON is incomplete',
      'check what stands in front of Ory, and its logs'],
    [[{ came: /401|407|511/ }, { says: /Access credentials are|action was forbidden/ }], 1,
      'a gateway in front of Ory wants credentials of its own',
      "point BASE_URL past the gateway, or open Ory's paths in it"],
    [[{ says: /not match any rules|multiple rules|requested resource could not be found/ },
      { says: /Missing Authentication Token/ }], 1, 'a gateway has no rule for this path',
      'fix the rules of Oathkeeper, or the routes of the AWS API Gateway'],
    [{ says: /required SSL certificate/ }, 1, 'a gateway wants a client certificate',
      'this check has none: point BASE_URL past the gateway'],
    [{ came: /426/, says: /^(Upgrade Required|an empty body)$/ }, 1,
      'a gateway refuses the HTTP version or scheme of this request',
      'does nginx ask Envoy or Istio? set its proxy_http_version to 1.1',
      'if BASE_URL begins with http://, try https://'],
    [[{ came: /421/ }, { says: /Invalid Hostname/ }], 1, 'a gateway does not serve this host name',
      'check the host name in BASE_URL, and the sites of the gateway'],
    [{ says: /^error code: 10(0[01]|14|16)\b|\bError 10(0[01]|14|16)\b|CNAME Cross-User/ }, 1,
      'Cloudflare refuses the custom domain in BASE_URL',
      'check this domain in the Ory Console, and its CNAME record'],
    [{ came: /403/, says: /request could not be satisfied/ }, 4, 'CloudFront refused this request',
      'does its distribution allow POST and DELETE, and know this host?',
      'if so, its firewall (AWS WAF) blocked this machine'],
    [{ came: /403/, says: /"Web App - Unavailable"/ }, 4, 'this Azure Web App is stopped',
      'start it; if it runs, its network settings keep this machine out'],
    [[{ fact: /firewall/ }, { came: /403|406|451/ }, { says: /Request Rejected/ }], 4,
      'a firewall or gateway in front of Ory blocked this request',
      'Ory never saw it: let this machine through, or check from elsewhere',
      'or does a gateway want a login, or not allow this path or method?'],
    [{ came: /429/ }, '4, retry', 'too many requests: a rate limit',
      'run less often; CI runners share addresses and their limits',
      'on Ory Network, starting a flow counts against the login limit too'],
    [{ came: /504/ }, '4, retry', 'a gateway waited too long for Ory to answer',
      "try again later, and check Ory's logs and its database"],
  ],
  ['other', 'start',
    [{ says: /, the same host with https$/ }, 1,
      'BASE_URL begins with http://, but Ory wants https://', `set BASE_URL to ${line.newBaseUrl}`],
    [{ says: /\/admin\/self-service\/login\/api, / }, 1, "BASE_URL is Ory's admin API",
      'set BASE_URL to the public API, which usually has port 4433'],
    [{ says: /, the same path at another port$/ }, 1, "BASE_URL is probably Ory's admin API",
      `set BASE_URL to ${line.newBaseUrl}`],
    [{ says: /, the same path at another address$/ }, 1, 'Ory redirects to another address',
      `set BASE_URL to ${line.newBaseUrl}`],
    [{ came: /30[12378]/ }, 1, 'BASE_URL redirects to a website or a gateway, not to Ory',
      "let Ory's paths through, or set BASE_URL to the public API itself"],
    [[{ came: /426/ }, { came: /400/, says: /HTTPS|SSL|TLS/ }], 1,
      'BASE_URL probably needs https://', 'if https:// fails too, check the port'],
    [{ came: /404/ }, 1, 'there is no Ory project at BASE_URL',
      'check the slug, path prefix and port in BASE_URL; is Ory running?'],
    [{ came: /2../ }, 1, "a website answers at BASE_URL, not Ory's API",
      'set it to the public API: https://your-slug.projects.oryapis.com'],
    [{ came: /502|503|52\d|530/ }, '4, retry', 'a gateway answered, but cannot reach Ory',
      'is Ory running? check the slug in BASE_URL'],
  ],
  ['other', 'logout',
    [{ came: /400/, says: /Error 400 \(Bad Request\)|^an empty body$/ }, 1,
      'a gateway in front of Ory refuses a DELETE with a body',
      "Google's load balancers do: let it past them, or omit --logout"],
  ],
  ['other', 'any step',
    [{ came: /404|405|2..|30[12378]/ }, 1,
      `${STEPS[line.step].method} ${STEPS[line.step].path} does not reach Ory`,
      'route this method and path to Ory, like the rest of its API'],
    [{ came: /408|425/ }, '4, retry', 'a gateway timed out waiting for the request',
      'try again later; if this persists, check its time limits'],
    [{ came: /502|503|52\d|530/ }, '4, retry', 'Ory stopped answering: a gateway replied instead',
      "the login started well: try again later, and check Ory's logs"],
    [{ came: /5../ }, 4, 'something in front of Ory failed',
      'this says nothing about the password: check what stands there'],
    [{}, 1, 'something other than Ory answered', 'check what stands in front of Ory',
      'if BASE_URL begins with http://, try https://'],
  ],

  ['proxy', 'any step',
    [{ came: /407/ }, 4, 'the proxy wants a user and password',
      `set them in ${config.proxy?.name}: http://user:password@host:port`],
    [{ came: /403/ }, 4, 'the proxy does not allow this host',
      'allow the host of BASE_URL in the proxy, or list it in NO_PROXY'],
    [{ came: /50[234]/ }, '4, retry', 'the proxy answered, but could not connect to Ory',
      'check that Ory is running, and the host and port in BASE_URL'],
    [{ came: /TIMEOUT/ }, 4, 'no answer came in time through the proxy',
      `check the proxy in ${config.proxy?.name}, and Ory behind it`],
    [{ came: /ERR_SSL_(WRONG|PACKET)_.*/ }, 4, 'what answers through the proxy does not speak TLS',
      `does ${config.proxy?.name} begin with https://? most proxies do not speak it`,
      'does the proxy want a login in a browser? if not, check the port'],
    [{ came: /\d{3}/ }, '4, retry', 'the proxy did not connect to Ory',
      'see its status under "got", and what it allows'],
    [{}, '4, retry', 'the proxy cannot be reached, or closed the connection',
      `check ${config.proxy?.name}, or name the host of BASE_URL in NO_PROXY`],
  ],

  ['nobody', 'after the start', // so the address in BASE_URL, its DNS and its TLS are right
    [{ came: /TIMEOUT/ }, 4, 'Ory began this login, but did not answer this step in time',
      'check webhooks, password hashing and database; or raise --timeout',
      'does something in front of Ory swallow the body of a POST?'],
    [[{ came: /E(CONN|PIPE|TIMED|HOST|NET|NOTF|AI_|ADDR|PERM|ACC).*|UND_ERR_(SOCKET|RES_.*)/ },
      { says: /Invalid EOF state/ }], '4, retry', 'Ory, or a gateway in front of it, went away',
      'check its logs, its database, and its memory (hashing may use it up)'],
  ],
  ['nobody', 'any step',
    [{ came: /TIMEOUT/, says: /^no connection/ }, 4,
      'no connection was made in time, or its TLS handshake hangs',
      'check the host and port in BASE_URL, DNS, firewalls and VPN'],
    [{ came: /TIMEOUT/ }, 4, 'the server accepted the connection, but did not answer',
      "check the port in BASE_URL, Ory's logs and its database"],
    [{ came: /ECONNREFUSED/ }, '4, retry', 'nothing listens at the host and port of BASE_URL',
      'is Ory running? in a container, localhost is the container itself'],
    [[{ came: /ECONN(RESET|ABORTED)|EPIPE|UND_ERR_(SOCKET|RES_CONTENT.*)/ },
      { says: /Invalid EOF state/ }], '4, retry', 'the connection was cut before a whole answer',
      'if BASE_URL begins with http://, does this port want https://?',
      'is it a forwarded port? check what it forwards to',
      'does the server want a client certificate? this check has none'],
    [{ came: /ENOTFOUND|EINVAL/ }, 4, 'there is no host with the name in BASE_URL',
      "check it, and the slug in it; in a container, the service's name"],
    [{ came: /EAI_(AGAIN|FAIL)/ }, '4, retry', 'the host name in BASE_URL cannot be looked up now',
      "check the network and its DNS; in a container, the service's name"],
    [{ came: /ETIMEDOUT|E(HOST|NET)(UNREACH|DOWN)|EADDRNOTAVAIL|EPERM|EACCES/ }, '4, retry',
      'the host in BASE_URL cannot be reached',
      'check the host and port in BASE_URL, DNS, firewalls, VPN and IPv6'],

    [{ came: /CERT_(HAS_EXPIRED|NOT_YET_VALID)/ }, 4,
      "the server's certificate has expired or is not valid yet",
      "renew it if it has expired, and check this machine's clock", ...config.tlsHints],
    [{ came: /ERR_TLS_CERT_ALTNAME_INVALID/ }, 4,
      "the server's certificate is for a different name",
      'check the host in BASE_URL; if it is right, it needs a certificate', ...config.tlsHints],
    [{ came: /UNABLE_TO_VERIFY_LEAF_SIGNATURE/ }, 4, 'an intermediate certificate may be missing',
      'let the server send its whole chain (often called fullchain)',
      'with a private CA, set NODE_EXTRA_CA_CERTS to its PEM file', ...config.tlsHints],
    [{ came: /.*SELF_SIGNED_CERT.*|UNABLE_TO_GET.*/ }, 4,
      "the server's certificate is not trusted on this machine",
      'a self-signed default certificate means this host has none yet',
      'with a private CA, set NODE_EXTRA_CA_CERTS to its PEM file',
      'if it is already set (not in .env), its file holds a different CA', ...config.tlsHints],
    [{ came: /CERT_\w+|INVALID_(CA|PURPOSE)|PATH_LENGTH_EXCEEDED|UNSPECIFIED/ }, 4,
      "the server's certificate is faulty",
      'it must be for TLS servers, with a key and signature still accepted', ...config.tlsHints],
    [{ came: /ERR_SSL_(WRONG|PACKET)_.*/ }, 4, 'this port does not speak TLS',
      'check the port in BASE_URL: should it begin with http://?'],
    [{ came: /ERR_SSL_.*(UNRECOGNIZED_NAME|INTERNAL_ERROR|HANDSHAKE_FAILURE)/ }, 4,
      'the server seems to have no certificate for this host name',
      'is it a new custom domain, or a wrong host name in BASE_URL?',
      'if not, does it want a client certificate? this check has none',
      'if not, allow TLS 1.2 or later, with a common cipher'],
    [{ came: /EPROTO|ERR_SSL_.*/ }, 4, 'the TLS handshake failed',
      'does the server want a client certificate? this check has none',
      'if not, allow TLS 1.2 or later, a common cipher, and HTTP/1.1'],

    [{ says: /^bad port$/ }, 2, 'fetch refuses to use the port in BASE_URL',
      'give Ory another port: this one is reserved for another protocol'],
    [{ came: /HTTPParserError|UND_ERR_HEADERS_OVERFLOW|BODY_TOO_LARGE|ERR_ASSERTION/ }, 1,
      'the reply is not valid HTTP, or too large for Ory',
      'is it another service, or does something in front of Ory alter it?'],
    [{ came: /UND_ERR_REQ_CONTENT_LENGTH_MISMATCH/ }, 1, 'a gateway does not serve this host (421)',
      'check the host name in BASE_URL, and the sites of the gateway'],
    [{}, 4, 'the request failed', 'check the network up to Ory: does it want a proxy login (407)?'],
  ],
]

/** Finds the row that matches a line. */
export function meaningOf(line: Line, config: Config): Row {
  const isWhole = (pattern: RegExp | undefined, values: string[]) =>
    !pattern || values.some((value) => RegExp(`^(?:${pattern.source})$`, 's').test(value))
  const matches = ({ came, fact, id, says = /(?:)/ }: Pattern) =>
    isWhole(came, [line.came]) &&
    isWhole(fact, line.facts) &&
    isWhole(id, line.ids) &&
    says.test(line.said)
  const steps = ['any step', line.step, line.step === 'start' ? '' : 'after the start']
  const row = sectionsFor(line, config)
    .flatMap(([who, step, ...rows]) => (who === line.who && steps.includes(step) ? rows : []))
    .find(([when]) => [when].flat().some(matches))
  if (!row) throw new Error('the last row of each who always matches')
  return row
}

/** What came of a request: an answer; or, with status 0, the error in its place. */
export type Reply = {
  status: number
  code: string // of the error, such as ECONNREFUSED; of a proxy that refuses, its status
  headers: Headers
  text: string // the body, or what the error says
  json?: unknown // the object that the body is, or begins with
  rest?: string // what follows that object
}

/** Makes the line of a reply. `fault` says what is wrong with the body, if the status is right. */
export function readLine(step: Step, reply: Reply, fault: string, config: Config): Line {
  const { status, code, headers, json, rest = '' } = reply
  const { error, ui, active } = fields(json)
  const { id: errorId, code: innerCode } = fields(error)
  const who = whoAnswered(step, reply, config)
  const facts = [
    active === 'password' && status >= 400 && 'active:password', // set once Ory has compared it
    typeof innerCode === 'number' && innerCode !== status && `error.code:${innerCode}`,
    /^\s*\{\s*"id":/.test(rest) && 'then:flow',
    isOfFirewall(reply) && 'firewall',
  ].filter(isText)
  // Messages stand on the form and on its fields. What was typed into a field is never read.
  const forms = [ui, ...Object.values(fields(fields(ui).nodes))]
  const messages = forms.flatMap((form) => Object.values(fields(fields(form).messages)))
  const messageIds = messages.map((message) => fields(message).id)
  const ids = [errorId, ...messageIds, headers.get('ory-error-id')].map(textOf).filter(isText)
  const { place, newBaseUrl } = readRedirect(step, reply, config.baseUrl)
  const ray = headers.get('cf-ray')
  const inJson = json === undefined ? '' : fault // without JSON, wordsOf says more
  const text = status ? place || inJson || wordsOf(reply) : reply.text
  const said = `${text}${ray && who === 'other' ? ` (cf-ray ${ray})` : ''}`.replace(/\s+/g, ' ')
  const came = code || String(status)
  const orysIds = who === 'ory' ? [...new Set(ids)].slice(0, 8) : [] // 75,000 took too long
  return { who, step, came, facts, ids: orysIds, said, newBaseUrl }
}

/**
 * The rule of who answered. Ory's answers are JSON: with what it documents, with a flow (ui), or
 * with an error whose code is a number; 429 and 503 are never Ory's. Ory Oathkeeper and Google word
 * errors in the same way. Through a proxy this machine dials the proxy alone, but TLS is Ory's.
 */
function whoAnswered(step: Step, reply: Reply, { proxy }: Config): Who {
  const { status, code, headers, json } = reply
  // A start without an answer is the proxy's fault, unless the code is of Ory's TLS or certificate
  // (ERR_SSL_WRONG_… and _PACKET_… mean no TLS at all: the proxy's), or of this machine:
  // BODY_TOO_LARGE, an Error without a code ("bad port"), or an exception: "uncaught …".
  const isNotOfProxy =
    /^(EPROTO|CERT|DEPTH|SELF|UNABLE|INVALID|PATH|UNSPEC|ERR_(TLS|SSL_(?!WR|PA))|BODY|Error|unc)/
  const isOfProxy = proxy && (/^\d/.test(code) || (step === 'start' && !isNotOfProxy.test(code)))
  if (status === 0) return isOfProxy ? 'proxy' : 'nobody'
  if (status === 429 || status === 503) return 'other'
  if (headers.has('www-authenticate') || isOfFirewall(reply)) return 'other'
  const { error, ui, session, session_token, active, identity } = fields(json)
  if ([ui, session, session_token, active, identity].some((part) => part != null)) return 'ory'
  const { code: errorCode, status: errorStatus } = fields(error)
  const isOfGoogle = /^[A-Z_]+$/.test(textOf(errorStatus)) // such as PERMISSION_DENIED
  const isOfOathkeeper =
    /Access credentials are|not match any rules|multiple rules|^The request(ed \w+)? (could|was f)/
  const isError = typeof errorCode === 'number' && errorCode >= 400
  return isError && !isOfGoogle && !isOfOathkeeper.test(wordsOf(reply)) ? 'ory' : 'other'
}

const isOfFirewall = ({ headers, text }: Reply): boolean =>
  /-mitigated|x-amzn-waf-action/.test([...headers.keys()].join()) || text.includes('_Incapsula_')

/** What a body says: in JSON, as the title of a page, or as a plain text. */
function wordsOf({ status, headers, text, json }: Reply): string {
  if (json !== undefined) return textsIn(json) || 'JSON without an error message'
  if (/^\s*\{/.test(text))
    return headers.has('content-length') ? 'malformed JSON' : 'JSON that breaks off'
  if (text.trim() === '') return 'an empty body'
  const [, title = ''] = /<(?:title|h1|h2|message)[^<>]*>(.*?)<\//is.exec(text.slice(0, 8192)) ?? []
  if (/^\s*</.test(text)) return title ? `a page titled "${title.trim()}"` : 'an untitled page'
  return status < 300 ? 'no JSON' : text.trim() // a 2xx could hold a token
}

/** The texts in a JSON body, as sentences: whatever has a name such as message or title. */
function textsIn(json: unknown): string {
  const names = /^(title|detail|\w*(message|msg|description)|error|reason|faultstring|text)$/i
  const texts = new Set<string>()
  const parts = [json]
  // Level by level and without recursion: a body can be nested 100,000 deep.
  for (let index = 0; index < Math.min(parts.length, 1000); index++)
    for (const [name, value] of Object.entries(fields(parts[index]))) {
      if (isText(value) && names.test(name)) texts.add(value.trim())
      // What was typed into a field, and its label, say nothing of the failure.
      if (Object(value) === value && !/^(attributes|meta)$/.test(name)) parts.push(value)
    }
  return [...texts].join('; ').replace(/([.!?]);/g, '$1')
}

/** Reads where a redirect points to, and what BASE_URL should be if that is Ory. */
function readRedirect(step: Step, { status, headers }: Reply, baseUrl: string) {
  const { path } = STEPS[step]
  const location = headers.get('location') ?? ''
  const isRedirect =
    location !== '' && status > 300 && status < 400 && URL.canParse(location, baseUrl)
  // No URI holds a backslash: URL turns it into /, and an escaped secret would go unnoticed.
  if (!isRedirect || location.includes('\\')) return { place: '', newBaseUrl: '' }
  const [base, to] = [new URL(baseUrl), new URL(location, baseUrl + path)]
  const target = `${to.protocol}//${to.host}${to.pathname}`
  const isOrys = target.endsWith(path)
  const newBaseUrl = isOrys ? target.slice(0, -path.length) : to.origin
  const isSameHost = to.hostname === base.hostname
  const isOtherPort = isSameHost && to.port !== base.port
  const isToHttps = base.protocol === 'http:' && to.protocol === 'https:'
  const isSafe = isToHttps || to.protocol === base.protocol // never advise giving up https
  let kind = '' // the list looks for these words, in its section of other and start
  if (isSameHost && isToHttps) kind = ', the same host with https'
  else if (isOrys && isSafe && newBaseUrl !== baseUrl)
    kind = `, the same path at another ${isOtherPort ? 'port' : 'address'}`
  return { place: `it points to ${target}${kind}`, newBaseUrl }
}

// ---- The report
//
// On stdout: two lines of a verified session, or one JSON value, or --help, or --version; else
// nothing. On stderr: `ory-login: note: …` on the way, last `ory-login: error: …` with labelled
// lines. All is plain text without a full stop, in 80 columns but for what a server or a URL says.

/** What a report says of a failure, as --json prints it; it holds no secrets. */
type Failure = {
  exit_code: number
  step: string // its name
  answered_by?: Who // only if a request was sent
  request?: string
  status?: number // only if an answer came
  ory_ids?: string[]
  variables?: string[] // at fault
  error: string
  expected?: string
  got?: string
  hints: string[]
}

class LoginError extends Error {
  readonly failure: Failure
  constructor(failure: Failure) {
    super(failure.error)
    this.failure = failure
  }
}

/** Builds the report of a failed request. Only text from outside goes through safe(). */
function buildFailure(run: Run, step: Step, reply: Reply, fault: string) {
  const { config, safe } = run
  const { baseUrl, proxy } = config
  // A refused login may bring a token too: once it is in run, safe() withholds it.
  run.session_token ||= textOf(fields(reply.json).session_token)
  const { name, method, path, expected } = STEPS[step]
  const found = readLine(step, reply, fault, config)
  const line = { ...found, newBaseUrl: safe(found.newBaseUrl) }
  const [, exit, error, ...hints] = meaningOf(line, config)
  const got = safe(`${[line.came, ...line.facts, ...line.ids].join(' ')}: ${line.said}`)
  const isWithheld = got === WITHHELD
  const isOfDemo = config.sources.BASE_URL === 'the demo'
  const isMaybeOfProxy = proxy && step === 'start' && /other|nobody/.test(line.who)
  const failure: Failure = {
    exit_code: Number.parseInt(String(exit), 10),
    step: name,
    answered_by: line.who,
    request: safe(`${method} ${baseUrl}${path}${proxy ? ` through the proxy ${proxy.host}` : ''}`),
    ...(reply.status && { status: reply.status }),
    ory_ids: isWithheld ? [] : line.ids.map(safe),
    error: step === 'logout' ? 'the login is verified, but logging out failed' : error,
    expected,
    got: isWithheld ? `${line.came}: ${WITHHELD}` : got,
    hints: [
      step === 'logout' && error,
      isOfDemo && 'BASE_URL is not set, so the demo default was asked',
      isMaybeOfProxy && `this may come from the proxy in ${proxy.name}`,
      isWithheld && "the text repeats a secret; look for it in Ory's logs by the log id",
      ...hints,
      isOfDemo && line.who === 'nobody' && 'npm run demo shows a login without Ory',
    ].filter(isText),
  }
  return { failure, isRetryable: typeof exit === 'string' }
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
    line('log id', status ? `x-request-id ${id}` : ''), // only a server can have logged it
  ].join('')
}

/** The same as an annotation of GitHub Actions, for the page of the red job. */
function annotate({ step, error, got, hints }: Failure): string {
  const text = [error, got, ...hints].filter(isText).join('\n')
  const data = text.replaceAll('%', '%25').replaceAll('\n', '%0A')
  return `::error title=ory-login%3A ${step}::${data}`
}

/** What goes to stdout once a run has ended. */
function formatResult(run: Run | undefined, failure: Failure | undefined, isJson: boolean): string {
  const { session, session_token = '', safe = String } = run ?? {}
  // Shows at most 24 characters of a token, and hides at least 15.
  const start = session_token.slice(0, Math.max(0, Math.min(24, session_token.length - 15)))
  const verified = session && {
    token: repeatsSecret(start, run?.config.password ?? '') ? WITHHELD : `${toLine(start)}…`,
    identity_id: safe(session.identity_id),
    session_id: safe(session.session_id),
    expires_at: safe(session.expires_at),
    logged_out: !failure && run?.options.logout,
  }
  const told = run && { base_url: safe(run.config.baseUrl), request_id: run.request_id }
  const json = { ok: !failure, ...verified, ...failure, ...told, steps: run?.steps ?? [] }
  if (isJson) return `${JSON.stringify(json)}\n`
  return verified ? `token: ${verified.token}\nidentity_id: ${verified.identity_id}\n` : ''
}

// ---- Secrets
//
// A text repeats a secret if it has the letters and digits of the secret in order: twelve in a row,
// or all of them. Where the secret has another character, up to 24 letters and digits (12, if it is
// not ASCII) may stand in its place, as escapes write it (%3C, &lt;, \u003c, one within another):
// "p4ss&lt;word" repeats p4ss<word. Letters and digits that are themselves written by number (%41,
// &#65;, \101) are read first.

const WITHHELD = '(withheld: it repeats a secret)'

const readNumbers = (text: string): string =>
  text.replace(
    /(?:\\[ux]\{?|%u?|&(?:amp;)*#x)0*([2-7][\da-f])[;}]?|&(?:amp;)*#0*(\d+);?|\\0?([01][0-7]{2})/gi,
    (_, hex, decimal, octal) =>
      String.fromCharCode(hex ? Number.parseInt(hex, 16) : decimal || Number.parseInt(octal, 8)),
  )

/** Whether a text repeats a secret, or a telling part of it, however it is escaped. */
export function repeatsSecret(text: string, secret: string): boolean {
  const known = secret.slice(0, 1000).normalize()
  const parts = [...known.matchAll(/([^\da-z]*)([\da-z])/gi)]
  // With fewer than six, escaped spellings cannot be recognised, so only plain text is shown.
  const isPlain = /^[\w .,:;'()/-]*$/.test(text)
  if (parts.length < 6)
    return (secret.length > 3 && text.includes(secret)) || (secret.length > 5 && !isPlain)
  // In any script: twelve letters or digits in a row.
  const inRow = (value: string) => value.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
  const seen = inRow(text.normalize())
  const runs = Array.from(inRow(known), (_, start) => inRow(known).slice(start, start + 12))
  if (runs.some((run) => run.length === 12 && seen.includes(run))) return true
  const readings = [text]
  for (let times = 0; times < 4; times++) readings.push(readNumbers(readings.at(-1) ?? ''))
  return [...new Set(readings)].some((reading) => {
    const plain = reading.normalize('NFD').match(/[\da-z]/gi) ?? []
    const letters = plain.map((letter) => letter.toLowerCase())
    // Goes through the secret. For each place in the text: how many characters in order, wherever
    // in the secret they begin, end there with the present one; the one before is within `reach`.
    let ending: number[] = []
    return parts.some(([, others = '', character = '']) => {
      const reach = [...others].reduce((sum, other) => sum + (other < '\x80' ? 24 : 12), 1)
      const most = (end: number) => Math.max(0, ...ending.slice(Math.max(0, end - reach), end))
      const next = character.toLowerCase()
      ending = letters.map((letter, end) => (letter === next ? 1 + most(end) : 0))
      return ending.includes(Math.min(12, parts.length))
    })
  })
}

/** Makes any text fit to be shown, in one line of 250 characters; or withholds it whole. */
export function show(text: string, secrets: readonly string[]): string {
  const part = text.slice(0, 2000) // a megabyte of escape sequences takes long to clean
  const clean = stripVTControlCharacters(part).replace(/[\p{C}\p{Z}]+/gu, ' ')
  const isKey = /ory_(pat|apikey|wak|st|lo|at|rt|ac)_\w/.test(clean) // an Ory key, no matter whose
  const isSecret = secrets.some((each) => repeatsSecret(clean, each) || repeatsSecret(part, each))
  return isKey || isSecret ? WITHHELD : toLine(clean.trim())
}

/** Cuts a cleaned text, and takes commands of a CI out of it (Azure Pipelines obeys a ##). */
const toLine = (text: string): string =>
  text.replace(/#(?=#)/g, '# ').replace(/^(.{249}).{2,}$/u, '$1…')

// ---- Requests

type Run = {
  config: Config
  options: ReturnType<typeof readOptions>
  connection: Client | ProxyAgent
  note: (text: string) => unknown
  safe: (text: string) => string // withholds what repeats the password or the token
  deadline: number // in ms, on the clock of performance.now()
  stopped: Promise<Reply> // resolves once the time is up, or an error was not handled
  request_id: string // Ory logs it, and repeats it in its answers
  steps: object[] // what --json tells of each
  session_token?: string // once the login has given it
  session?: Session // once whoami has confirmed it
}
type RequestParts = { query?: string; headers?: Record<string, string>; body?: object }

/**
 * Sends a step's request, retrying while the failure is retryable and time remains, and returns
 * what `read` makes of the body. Throws a LoginError for anything that Ory does not document.
 */
async function callOry<Body extends object>(
  run: Run,
  step: Step,
  parts: RequestParts,
  read: (body: unknown) => Body | string,
): Promise<Body> {
  const { name, status } = STEPS[step]
  const record = { name, status: null as number | null, attempts: 0, duration_ms: 0, waited_ms: 0 }
  run.steps.push(record)
  let before = '' // what the previous attempt got
  for (;;) {
    const began = performance.now()
    const seconds = () => Math.round((performance.now() - began) / 1000)
    const noteWait = () => run.note(`${name}: no answer yet after ${seconds()} s`)
    const timer = setInterval(noteWait, 5000).unref()
    const reply = await Promise.race([sendOnce(run, step, parts), run.stopped])
    clearInterval(timer)
    if (before && reply.code === 'TIMEOUT') reply.text += `; the try before got ${before}`
    const came = reply.code || String(reply.status)
    record.attempts++
    const ms = Math.round(performance.now() - began)
    record.duration_ms += ms
    record.status = reply.status || null
    if (run.options.verbose) run.note(`${name}: ${came} in ${ms} ms`)
    const surplus = reply.rest && "more data after Ory's answer"
    // What was read of the body; or a text: what is wrong with it, or '' if the status is wrong.
    const result = reply.status === status ? surplus || read(reply.json) : ''
    if (typeof result !== 'string') return result

    const { failure, isRetryable } = buildFailure(run, step, reply, result)
    if (!isRetryable || record.attempts === 3) throw new LoginError(failure)
    const wait = Math.round(waitMs(record.attempts, reply))
    const due = `in ${wait > 3_600_000 ? 'more than an hour' : `${Math.ceil(wait / 100) / 10} s`}`
    if (performance.now() + wait >= run.deadline) {
      failure.hints.unshift(`--timeout leaves no time for the next try, which is due ${due}`)
      throw new LoginError(failure)
    }
    run.note(`${step}: got ${came}; trying again ${due} (${record.attempts + 1} of 3)`)
    await sleep(wait)
    record.waited_ms += wait
    before = failure.got ?? ''
    if (reply.status === 0) run.connection = openConnection(run.config)
  }
}

/**
 * How long to wait before the next attempt, in ms: what the server asks, in seconds or as a date,
 * and at least a backoff. x-ratelimit-reset: Ory Network sends a number per limit, usually 0; other
 * servers send it with any status, or as seconds since 1970. So it counts only at 429, to an hour.
 */
export function waitMs(attempt: number, { status, headers }: Pick<Reply, 'status' | 'headers'>) {
  const after = headers.get('retry-after') ?? ''
  const resets = (status === 429 && headers.get('x-ratelimit-reset')?.split(',')) || []
  const toMs = (text: string) => (/^\s*\d+\s*$/.test(text) ? Number(text) * 1000 : 0)
  const date = after.endsWith(' GMT') ? Date.parse(after) - Date.now() : 0
  const untilReset = resets.map(toMs).filter((ms) => ms <= 3_600_000)
  const backoff = attempt * (status === 429 ? 1000 : 250)
  const longest = Math.max(backoff, date || 0, ...after.split(',').map(toMs), ...untilReset)
  return longest + (Math.random() * backoff) / 2
}

/** Sends a request once, and returns what came. After a 421, fetch sends it again by itself. */
async function sendOnce(run: Run, step: Step, { query = '', headers, body }: RequestParts) {
  const { method, path } = STEPS[step]
  try {
    const response = await fetch(`${run.config.baseUrl}${path}${query}`, {
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
      dispatcher: run.connection,
    })
    let text = ''
    const limit = 2 ** 20 // after decompression; Ory's bodies have some thousand bytes
    for await (const part of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      text += part
      if (text.length > limit) return noAnswer('BODY_TOO_LARGE', `more than ${limit} characters`)
    }
    return { status: response.status, code: '', headers: response.headers, text, ...readJson(text) }
  } catch (error) {
    return rootCause(error)
  }
}

/** Reads the JSON object that a text begins with: all of Ory's answers are one, or two. */
function readJson(text: string): Pick<Reply, 'json' | 'rest'> {
  try {
    const json: unknown = JSON.parse(text)
    return Object(json) === json ? { json } : {}
  } catch (error) {
    // Where a webhook fails before login, Ory sends its error and then the flow.
    const [, end] = /after JSON at position (\d+)/.exec(String(error)) ?? []
    return end ? { ...readJson(text.slice(0, Number(end))), rest: text.slice(Number(end)) } : {}
  }
}

const noAnswer = (code: string, text: string): Reply => {
  return { status: 0, code, headers: new Headers(), text }
}

/** Finds the real cause, the deepest, behind fetch's "fetch failed" and "terminated". */
function rootCause(error: unknown): Reply {
  if (!(error instanceof Error)) return noAnswer('unknown', String(error))
  if (error.cause) return rootCause(error.cause)
  // A name with two addresses, both refused, gives an AggregateError without a text of its own.
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error]
  // OpenSSL's message is a line of numbers and paths; its reason has the words.
  const text = errors.map((each) => fields(each).reason ?? fields(each).message).join(', ')
  // undici's words for what a proxy said: "Proxy response (403) …", "Proxy … Required (407)".
  const [, status] = /^Proxy \D+\((\d{3})\)/.exec(text) ?? []
  return noAnswer(status ?? (textOf(fields(error).code) || error.name), text)
}

/** Opens the one connection of a run, through the proxy if one is in use. Only main limits time. */
function openConnection({ baseUrl, proxy }: Config): Client | ProxyAgent {
  const connect = {
    rejectUnauthorized: true, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
    timeout: 0,
    autoSelectFamilyAttemptTimeout: 3000, // Node's 250 ms are too short for a far host
  }
  const open = (origin: string | URL, options?: object) => {
    const client = new Client(origin, { connect, ...options, headersTimeout: 0, bodyTimeout: 0 })
    // A proxy that hangs up would be dialled again thousands of times a second.
    return client.on('connectionError', (_origin, _targets, error) => void client.destroy(error))
  }
  if (!proxy) return open(new URL(baseUrl).origin)
  const tls = { proxyTls: connect, requestTls: connect }
  return new ProxyAgent({ uri: proxy.url, ...tls, proxyTunnel: false, factory: open })
}

// ---- The set-up

/** A mistake in what the program was given. No value is repeated: it could be a secret. */
const usageError = (error: string, hints: string[], variables: string[] = []): LoginError =>
  new LoginError({ exit_code: 2, step: 'read settings', variables, error, hints })

/** Reads the options. Throws a LoginError. */
function readOptions(args: string[]) {
  const flag = { type: 'boolean', default: false } as const
  const help = { ...flag, short: 'h' }
  const timeout = { type: 'string', default: '30' } as const
  const options = { timeout, logout: flag, json: flag, verbose: flag, help, version: flag }
  const hints = [`options: --${Object.keys(options).join(', --')}`]
  const { tokens, values } = parseArgs({ args, options, strict: false, tokens: true })
  const unknown = tokens.find((token) => {
    const isOption = token.kind === 'option' && Object.hasOwn(options, token.name)
    return !isOption || (token.name !== 'timeout' && token.value !== undefined)
  })
  if (unknown) throw usageError(`unknown option (argument ${unknown.index + 1})`, hints)
  const seconds = /^\d*\.?\d+$/.test(`${values.timeout}`) ? Number(values.timeout) : 0
  if (seconds <= 0 || seconds > 3600)
    throw usageError('--timeout takes seconds, more than 0 and at most 3600', hints)
  const text = values.help ? HELP : values.version ? `${VERSION}\n` : ''
  return { seconds, logout: values.logout === true, verbose: values.verbose === true, text }
}

const VARIABLES = ['BASE_URL', 'IDENT', 'PASS'] as const

/** What is in force. It holds the password, so it is never printed as a whole. */
export type Config = {
  baseUrl: string // without a slash at its end
  isLocal: boolean // whether that is this machine
  identifier: string
  password: string
  proxy: { name: string; url: string; host: string } | undefined // name: of its variable
  sources: Record<(typeof VARIABLES)[number], 'the environment' | '.env' | 'the demo'>
  tlsHints: string[] // where a certificate is refused
  mistakes: string[] // in IDENT and PASS, as it seems: told if Ory refuses them
}

/** Reads .env where a variable is not in the environment. Throws a LoginError. */
function readDotenv(env: NodeJS.ProcessEnv): string {
  if (VARIABLES.every((name) => env[name] !== undefined)) return ''
  try {
    const stat = fs.statSync('.env', { throwIfNoEntry: false })
    if (!stat) return ''
    if (!stat.isFile()) throw new Error('it is not a file') // a pipe or a device may never end
    const text = fs.readFileSync('.env', 'utf8')
    if (text.includes('\0')) throw new Error('it has NUL bytes, as UTF-16 does')
    return text
  } catch (error) {
    const { text } = rootCause(error)
    const hint = /NUL/.test(text) ? 'save it as UTF-8' : 'make it a file that this user can read'
    throw usageError(`.env cannot be read: ${text}`, [hint], ['.env'])
  }
}

/** What is wrong with a BASE_URL, if anything. A check may rely on those before it. */
function faultOfUrl(url: string): string {
  if (/^["'`\u2018-\u201f]/.test(url)) return 'is in quotes, which are a part of it'
  if (/[<>{}]|\$\w/.test(url)) return 'contains a placeholder or an unexpanded variable'
  if (!/^https?:\/\//i.test(url)) return 'does not begin with http:// or https://'
  if (/[\p{C}\p{Z}]/u.test(url)) return 'contains white space or control characters'
  if (!URL.canParse(url)) return 'is not a URL'
  if (/[?#]/.test(url)) return 'has a query or a fragment'
  const { username, password, pathname } = new URL(url)
  if (username || password) return 'contains a user name or a password'
  const [endpoint] = /\/(self-service|sessions)(?=\/|$)/.exec(pathname) ?? []
  return endpoint ? `is a whole endpoint: end it before ${endpoint}` : ''
}

/** Whether a URL leads to this machine, which needs no proxy, and alone gets the demo identity. */
const isThisMachine = (url: string): boolean =>
  /^(.+\.)?localhost\.?$|^127\.[\d.]+$|^0\.0\.0\.0$|^\[::1?\]$/.test(new URL(url).hostname)

/**
 * The proxy in use, chosen as by curl and undici's EnvHttpProxyAgent. That does not tell what it
 * chose, but a proxy that is not in use must not be judged or named. Throws a LoginError.
 */
function readProxy(env: NodeJS.ProcessEnv, baseUrl: string): Config['proxy'] {
  const { protocol, hostname, port } = new URL(baseUrl)
  const [lower, usualPort] = protocol === 'https:' ? ['https_proxy', '443'] : ['http_proxy', '80']
  const name = env[lower] === undefined ? lower.toUpperCase() : lower
  const url = env[name]
  const bare = (host: string) => host.replace(/^\[|\]$|\.$/g, '')
  const isExempt = (entry: string) => {
    const [, host = entry, ofPort = ''] = /^([^:]+|\[.+\]):(\d+)$/.exec(entry) ?? []
    const own = bare(hostname)
    const suffix = bare(host.replace(/^\*?\./, '').toLowerCase())
    const isHost = entry === '*' || own === suffix || own.endsWith(`.${suffix}`)
    return isHost && ['', port || usualPort].includes(ofPort)
  }
  const exempt = (env.no_proxy || env.NO_PROXY || '').split(/[,\s]+/).filter(Boolean)
  if (!url || isThisMachine(baseUrl) || exempt.some(isExempt)) return undefined
  try {
    decodeURIComponent(url) // as undici decodes user and password
    if (!/^https?:\/\/[^/?#]+\/?$/i.test(url)) throw new TypeError('another scheme, or a path')
    return { name, url, host: new URL(url).host }
  } catch {
    const hints = ['write it like http://host:port']
    throw usageError(`${name} is not the URL of an HTTP proxy`, hints, [name])
  }
}

/** Reads the configuration: the environment, else .env, else the demo. Throws a LoginError. */
export function readConfig(env: NodeJS.ProcessEnv, dotenvText: string): Config {
  const dotenv: NodeJS.ProcessEnv = parseDotenv(dotenvText)
  const read = (name: string) => env[name] ?? dotenv[name] // on Windows, env ignores case
  const wrong = (names: string[], fault: string, ...hints: string[]) => {
    const plural = names.length > 1 ? fault.replace(/^is /, 'are ') : fault
    if (names.length > 0)
      throw usageError(`${names.join(', ').replace(/, (?!.*, )/, ' and ')} ${plural}`, hints, names)
  }
  const secrets = 'in CI: does this job get its secrets?'
  const blank = VARIABLES.filter((name) => read(name)?.trim() === '')
  wrong(blank, 'is set but empty', secrets, 'in .env: put a value with a # in quotes')
  const garbled = VARIABLES.filter((name) => read(name)?.includes('\ufffd'))
  wrong(garbled, 'is not in UTF-8', 'save .env as UTF-8, or use a UTF-8 locale')
  const base = (read('BASE_URL') ?? DEMO.BASE_URL).trim()
  const fault = faultOfUrl(base)
  wrong(fault ? ['BASE_URL'] : [], fault, 'write it like https://your-slug.projects.oryapis.com')
  const isLocal = isThisMachine(base)
  const missing = ['IDENT', 'PASS'].filter((name) => read(name) === undefined)
  if (missing.length === 1 || !isLocal)
    wrong(missing, 'is not set', 'set IDENT and PASS, in the environment or in .env')

  const identifier = (read('IDENT') ?? DEMO.IDENT).trim()
  const password = read('PASS') ?? DEMO.PASS
  // Read again with # replaced, so that it begins no comment: an unquoted value that has it is cut.
  const uncommented = parseDotenv(dotenvText.replaceAll('#', '\ue000'))
  const isCut = (name: string) =>
    env[name] === undefined &&
    !dotenv[name]?.includes('#') &&
    /^[^"'`].*\ue000/s.test(uncommented[name] ?? '')
  const mistakesOf = (name: string, value: string) => [
    isCut(name) && `in .env, ${name} is cut at its #: put it in single quotes`,
    /\p{DI}|\S\u00a0+\S/u.test(value) && `${name} contains an invisible character, which counts`,
    /\S[\r\n]+\S/.test(value) && `${name} contains a line break (in .env, \\n in double quotes)`,
    /\\["'`]/.test(value) && `${name} has a backslash before a quote, which counts`,
    /^\s|\s$/.test(value) && `${name} begins or ends with white space, which counts`,
    /^\s*["'`\u2018-\u201f\u00ab\u00bb]/.test(value) && `${name} begins with a quote, which counts`,
  ]
  const isUnverified = env.NODE_TLS_REJECT_UNAUTHORIZED === '0'
  const source = (name: string) =>
    env[name] !== undefined ? 'the environment' : dotenv[name] ? '.env' : 'the demo'
  return {
    baseUrl: new URL(base).href.replace(/\/+$/, ''),
    isLocal,
    identifier,
    password,
    proxy: readProxy(env, base),
    sources: { BASE_URL: source('BASE_URL'), IDENT: source('IDENT'), PASS: source('PASS') },
    tlsHints: isUnverified ? ['NODE_TLS_REJECT_UNAUTHORIZED=0 has no effect here'] : [],
    mistakes: [
      ...mistakesOf('IDENT', identifier),
      ...mistakesOf('PASS', password),
      missing.length > 0 && 'the demo identity was sent: does this Ory have it?',
    ].filter(isText),
  }
}

/** Prints what a person should know before the first request. */
function noteSettings({ config, options, note, safe, request_id }: Run): void {
  const { baseUrl, isLocal, proxy, sources } = config
  if (options.verbose) {
    const via = proxy ? `the proxy ${safe(proxy.host)} (${proxy.name})` : 'no proxy'
    note(`BASE_URL ${safe(baseUrl)}, from ${sources.BASE_URL}; ${via}`)
    note(`IDENT from ${sources.IDENT}, PASS from ${sources.PASS}`)
    note(`x-request-id ${request_id}`)
  }
  const unset = VARIABLES.filter((name) => sources[name] === 'the demo')
  if (unset.length > 0) note(`not set, so the demo default is used: ${unset.join(', ')}`)
  if (/^http:/.test(baseUrl) && !isLocal)
    note('BASE_URL is http://: the password is sent unencrypted')
}

// ---- main

type Streams = {
  print: (text: string) => Promise<unknown> // to stdout, which may fail
  say: (text: string) => Promise<unknown> // to stderr, a line or several
  uncaught?: Promise<unknown> // resolves with an exception that nothing caught
}

/** Runs the program, and returns its exit code within the time of --timeout. */
export async function main(args: string[], env: NodeJS.ProcessEnv, streams: Streams) {
  const { print, say, uncaught = new Promise(() => {}) } = streams
  const note = (text: string) => say(`ory-login: note: ${text}`)
  const done = new AbortController()
  let run: Run | undefined
  let failure: Failure | undefined
  let text = ''
  try {
    for (const name of ['logout', 'json', 'timeout'].filter((name) => env[`npm_config_${name}`]))
      note(`npm took --${name}: write npm run -s login -- --${name}`)
    const options = readOptions(args)
    text = options.text
    if (!text) {
      const config = readConfig(env, readDotenv(env))
      const safe = (text: string) => show(text, [config.password, run?.session_token ?? ''])
      const deadline = performance.now() + options.seconds * 1000
      // This timer holds the event loop, which a request that undici has lost does not.
      const timeIsUp = sleep(options.seconds * 1000, undefined, { signal: done.signal })
      const failed = uncaught.then(rootCause)
      const stopped = Promise.race([
        timeIsUp.then(() => timedOut(run)),
        failed.then(({ code, text }) => noAnswer(`uncaught ${code}`, text)), // not tried again
      ])
      stopped.catch(() => {}) // once the timer is aborted
      const [connection, request_id] = [openConnection(config), randomUUID()]
      run = { config, options, connection, note, safe, deadline, stopped, request_id, steps: [] }
      noteSettings(run)
      await logIn(run)
    }
  } catch (error) {
    failure = error instanceof LoginError ? error.failure : reportBug(error)
  }
  done.abort()
  run?.connection.destroy()

  // It is looked for in args, since it counts where readOptions threw as well.
  text ||= formatResult(run, failure, args.includes('--json'))
  const time = Math.max((run?.deadline ?? 0) - performance.now(), 1000) // a second of grace
  const late = sleep(time, 'nothing reads it', { ref: false })
  const printed = text && print(text).then(() => '')
  const fault = await Promise.race([printed, late]).catch((error) => rootCause(error).text)
  if (fault) {
    const hints = [fault, 'check where stdout goes: a full disk, or a pipe that nobody reads']
    failure ??= { exit_code: 1, step: 'print result', error: 'stdout cannot be written', hints }
  }
  if (!failure) return 0
  const lines = [`ory-login: error: ${describe(failure, run?.request_id)}`]
  if (env.GITHUB_ACTIONS === 'true') lines.push(annotate(failure))
  await Promise.race([say(lines.join('\n')), late])
  return failure.exit_code
}

function timedOut(run: Run | undefined): Reply {
  const isConnected = !(run?.connection instanceof Client) || run.connection.stats.connected
  const what = isConnected ? 'no complete answer' : 'no connection'
  return noAnswer('TIMEOUT', `${what} within --timeout (${run?.options.seconds} s)`)
}

/** Reports a bug in this program. The error's text is left out: it could quote a secret. */
const reportBug = (error: unknown): Failure => ({
  exit_code: 1,
  step: 'log in',
  error: `ory-login ${VERSION} itself failed (${rootCause(error).code})`,
  hints: ['use Node.js 20.18.1 or later, and the locked package versions', 'else, report this bug'],
})

// If another file was started, this one was only imported. Where that cannot be told (a file: URL,
// standard input, an ending that tsx replaced), it runs: silence would look like success.
const [, started = ''] = process.argv
if (
  !fs.statSync(started, { throwIfNoEntry: false })?.isFile() ||
  fs.realpathSync(started) === fs.realpathSync(fileURLToPath(import.meta.url))
) {
  process.exitCode = 1 // if this ends in a way that nobody planned, it must not be green
  process.stderr.on('error', () => {}) // stderr is gone: the exit code must be enough
  // As process 1 of a container, it would ignore these.
  for (const name of process.pid === 1 ? (['SIGHUP', 'SIGINT', 'SIGTERM'] as const) : [])
    process.on(name, () => process.exit(128 + constants.signals[name]))
  // A DNS look-up holds the process past --timeout; so glibc gives up on a silent server after 1 s.
  process.env.RES_OPTIONS ??= 'timeout:1 attempts:1'
  const print = (text: string) =>
    new Promise<void>((resolve, reject) => {
      // On a full disk, or with a stdout unknown to Node, write() loses text without an error.
      if (!(process.stdout instanceof Socket)) resolve(fs.writeFileSync(1, text))
      else process.stdout.write(text, (error) => (error ? reject(error) : resolve()))
    })
  const say = (text: string) => new Promise((resolve) => process.stderr.write(`${text}\n`, resolve))
  const uncaught = new Promise((resolve) => process.on('uncaughtException', resolve))
  const streams = { print, say, uncaught }
  const code = await main(process.argv.slice(2), process.env, streams).catch(async (error) => {
    await say(`ory-login: error: ${reportBug(error).error}`)
    return 1
  })
  process.exit(code)
}
