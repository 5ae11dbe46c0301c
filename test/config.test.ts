/** The configuration, row by row: where each variable comes from, what is wrong with one, what is sent and said. */
import assert from 'node:assert/strict'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { credentials, emptyFolder, IDENT, type Outcome, PASS, program, run, TWO_LINES } from './harness.ts'
import { type Behaviour, recording, type StandIn, standIn } from './stand-in.ts'

const NAMES = ['BASE_URL', 'IDENT', 'PASS'] as const
const DEFAULTS = { BASE_URL: 'http://127.0.0.1:4433', IDENT: 'demo@example.com', PASS: 'demo-only-password' }
const START = '/self-service/login/api'
const FLOW = '453c9a83-b679-4710-987a-3799d4093201'
const PATHS = [START, `/self-service/login?flow=${FLOW}`, '/sessions/whoami']
const SECRET = 'hunter2-zebra'

/** Answers as recorded, whatever is submitted, below any path prefix. */
const answerAs =
  (name: string): Behaviour =>
  ({ method, path }) =>
    recording(name).find(({ request }) => request.method === method && path.endsWith(request.path))?.response ?? {
      status: 404,
    }
const accept = answerAs('success')

/** As accept, but the submit gets the last answer of a recording. */
const refuseAs =
  (name: string): Behaviour =>
  (seen, response) =>
    seen.method === 'POST' ? recording(name).at(-1)?.response : accept(seen, response)

async function serve(t: TestContext, behaviour: Behaviour = accept): Promise<StandIn> {
  const server = await standIn(behaviour)
  t.after(server.close)
  return server
}

/** Sets a variable of this process, which is where undici looks for a proxy. */
function setVariable(t: TestContext, name: string, value: string): void {
  process.env[name] = value
  t.after(() => delete process.env[name])
}

/** A stand-in that is also the proxy to every host, so that any BASE_URL can be tried, and nothing leaves loopback. */
async function serveEveryHost(t: TestContext, behaviour?: Behaviour): Promise<StandIn & { hosts: string[] }> {
  const server = await serve(t, behaviour)
  const hosts: string[] = []
  server.server.on('connect', (request: IncomingMessage, socket: Socket) => {
    hosts.push(request.url ?? '')
    socket.on('error', () => {}).write('HTTP/1.1 200 OK\r\n\r\n')
    server.server.emit('connection', socket)
  })
  setVariable(t, 'HTTP_PROXY', server.url)
  return { ...server, hosts }
}

/** Moves to an empty folder for one test, and writes a .env there. */
function workIn(t: TestContext, dotenv?: string | Buffer): string {
  const before = process.cwd()
  const folder = emptyFolder()
  if (dotenv !== undefined) writeFileSync(join(folder, '.env'), dotenv)
  process.chdir(folder)
  t.after(() => process.chdir(before))
  return folder
}

const asDotenv = (values: Record<string, string>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}='${value}'\n`)
    .join('')

/** The identifier and the password that were submitted. */
function submitted({ seen }: StandIn): { identifier: unknown; password: unknown } {
  const { method, identifier, password, ...others } = JSON.parse(seen[1]?.body ?? '{}')
  assert.deepEqual([method, others], ['password', {}])
  return { identifier, password }
}

const verified = ({ code, stdout, stderr }: Outcome): void =>
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: TWO_LINES, stderr: '' })

/** Asserts a failure, all of it on stderr in prefixed lines, and gives the lines before the hint. */
function failed({ code, stdout, stderr }: Outcome, exitCode: number): string {
  assert.deepEqual({ code, stdout }, { code: exitCode, stdout: '' }, stderr)
  assert.match(stderr, /^(ory-login: .+\n)+$/)
  assert.match(stderr, /^ory-login: hint: .+\n$/m)
  return stderr.replace(/^ory-login: hint: .*\n/m, '')
}

// ---- Where each variable comes from

const SOURCES = ['the environment', '.env', 'the default'] as const
const fromEnvironment = { BASE_URL: 'http://127.0.0.1:4434', IDENT: 'from@environment', PASS: 'from environment' }
const fromDotenv = { BASE_URL: 'http://127.0.0.1:4435', IDENT: 'from@dotenv', PASS: 'from dotenv' }

for (const base of SOURCES)
  for (const ident of SOURCES)
    for (const pass of SOURCES)
      test(`BASE_URL from ${base}, IDENT from ${ident}, PASS from ${pass}`, async (t) => {
        const source = { BASE_URL: base, IDENT: ident, PASS: pass }
        const env: Record<string, string> = {}
        const dotenv: Record<string, string> = {}
        const expected: Record<string, string> = {}
        for (const name of NAMES) {
          // What comes first wins: a variable of the environment is in .env too.
          if (source[name] === 'the environment') env[name] = fromEnvironment[name]
          if (source[name] !== 'the default') dotenv[name] = fromDotenv[name]
          expected[name] = env[name] ?? dotenv[name] ?? DEFAULTS[name]
        }
        workIn(t, asDotenv(dotenv))
        const server = await serveEveryHost(t)
        const { code, stdout, stderr } = await run(env)

        assert.deepEqual({ code, stdout }, { code: 0, stdout: TWO_LINES }, stderr)
        const { identifier, password } = submitted(server)
        assert.deepEqual({ BASE_URL: `http://${server.hosts}`, IDENT: identifier, PASS: password }, expected)
        const defaulted = NAMES.filter((name) => source[name] === 'the default')
        assert.deepEqual(stderr.match(/\b(BASE_URL|IDENT|PASS)\b/g) ?? [], defaulted)
        assert.match(stderr, defaulted.length > 0 ? /^ory-login: note: .*default.*\n$/ : /^$/)
      })

test('without a .env, all three fall to their defaults, and the note does not show the password', async (t) => {
  workIn(t)
  const server = await serveEveryHost(t)
  const { code, stdout, stderr } = await run({})
  assert.deepEqual([code, stdout, server.hosts], [0, TWO_LINES, ['127.0.0.1:4433']])
  assert.deepEqual(submitted(server), { identifier: IDENT, password: PASS })
  assert.match(stderr, /^ory-login: note: .*default.*BASE_URL, IDENT, PASS\n$/)
  assert.doesNotMatch(stderr, /demo-only-password/)
})

// ---- Set, but empty or blank

const SUBSETS = [1, 2, 3, 4, 5, 6, 7].map((bits) => NAMES.filter((_, index) => bits & (1 << index)))
for (const blank of ['', ' ', '\t\r\n \u00a0'])
  for (const subset of SUBSETS)
    for (const place of ['environment', '.env'] as const)
      test(`${JSON.stringify(blank)} in the ${place} for ${subset.join(' and ')}: named, and nothing is sent`, async (t) => {
        const server = await serveEveryHost(t)
        const good = credentials(server.url)
        const bad = { ...good, ...Object.fromEntries(subset.map((name) => [name, blank])) }
        // Neither a good value in .env nor a default may take the place of a blank one.
        workIn(t, place === 'environment' ? asDotenv(good) : asDotenv(bad))
        const outcome = await run(place === 'environment' ? bad : {})
        const problem = failed(outcome, 2)
        assert.match(problem, /read configuration: .*empty/)
        assert.deepEqual(problem.match(/\b(BASE_URL|IDENT|PASS)\b/g), subset)
        assert.deepEqual([server.connections(), outcome.stderr.includes(PASS)], [0, false])
      })

test('a variable of .env without a value is blank', async (t) => {
  workIn(t, 'PASS=\nIDENT\n')
  const server = await serve(t)
  const problem = failed(await run({ BASE_URL: server.url, IDENT }), 2)
  assert.deepEqual([problem.match(/\b(BASE_URL|IDENT|PASS)\b/g), server.connections()], [['PASS'], 0])
})

test('a value in the environment wins over an empty one in .env', async (t) => {
  workIn(t, 'BASE_URL=\nIDENT=\nPASS=\n')
  const server = await serve(t)
  verified(await run(credentials(server.url)))
  assert.deepEqual(submitted(server), { identifier: IDENT, password: PASS })
})

// ---- BASE_URL

const TAKEN: [what: string, make: (url: string) => string, prefix: string][] = [
  ['plain', (url) => url, ''],
  ['with a trailing slash', (url) => `${url}/`, ''],
  ['with trailing slashes', (url) => `${url}///`, ''],
  ['with white space around it', (url) => ` \t${url}\r\n`, ''],
  ['with white space and slashes', (url) => `\n ${url}// \u00a0`, ''],
  ['with its scheme in capitals', (url) => url.replace('http', 'HTTP'), ''],
  ['with a path prefix', (url) => `${url}/kratos`, '/kratos'],
  ['with a longer path prefix and slashes', (url) => `${url}/auth/kratos.public///`, '/auth/kratos.public'],
  ['with an encoded path prefix', (url) => `${url}/a%20b%2Fc/`, '/a%20b%2Fc'],
]
for (const [what, make, prefix] of TAKEN)
  test(`BASE_URL ${what} is taken`, async (t) => {
    const server = await serve(t)
    verified(await run({ ...credentials(server.url), BASE_URL: make(server.url) }))
    assert.deepEqual(
      server.seen.map(({ path }) => path),
      PATHS.map((path) => prefix + path),
    )
  })

const NOT_TAKEN: [what: string, value: string, fault: RegExp][] = [
  ['is the placeholder', 'https://<slug>.projects.oryapis.com', /placeholder/],
  ['is the placeholder alone', '<slug>', /placeholder/],
  ['has another placeholder', `https://<${SECRET}>.projects.oryapis.com`, /placeholder/],
  ['has half a placeholder', `https://${SECRET}>.projects.oryapis.com`, /placeholder/],
  ['has no scheme', `${SECRET}.projects.oryapis.com`, /https?:/],
  ['has no scheme but a port', `${SECRET}:4433`, /https?:/],
  ['has only slashes for a scheme', `//${SECRET}.projects.oryapis.com`, /https?:/],
  ['has one slash after the scheme', `https:/${SECRET}`, /https?:/],
  ['has the scheme ftp', `ftp://${SECRET}.projects.oryapis.com`, /https?:/],
  ['has the scheme ws', `ws://${SECRET}.projects.oryapis.com`, /https?:/],
  ['is a file', `file:///${SECRET}`, /https?:/],
  ['is a script', `javascript:${SECRET}`, /https?:/],
  ['is a password', SECRET, /https?:/],
  ['has a query', `http://127.0.0.1:4433/?token=${SECRET}`, /query/],
  ['has an empty query', 'http://127.0.0.1:4433/?', /query/],
  ['has a fragment', `http://127.0.0.1:4433/#${SECRET}`, /fragment/],
  ['has an empty fragment', 'http://127.0.0.1:4433#', /fragment/],
  ['has user and password', `http://user:${SECRET}@127.0.0.1:4433`, /user name/],
  ['has a user', `http://${SECRET}@127.0.0.1:4433`, /user name/],
  ['has a password alone', `http://:${SECRET}@127.0.0.1:4433`, /user name/],
  ['has a password with a slash', `http://user:${SECRET}/x@127.0.0.1:4433`, /URL/],
  ['has no host', 'https://', /not a URL/],
  ['has a port that is none', `http://127.0.0.1:99999/${SECRET}`, /not a URL/],
  ['has an address that is none', `http://[${SECRET}]`, /not a URL/],
  ['has white space within', `http://127.0.0.1:4433/a ${SECRET}`, /white space/],
  ['has a line break within', `http://127.0.0.1:4433/a\n${SECRET}`, /white space|control/],
  ['has an escape sequence', `http://127.0.0.1:4433/\u001b[31m${SECRET}`, /control/],
  ['has a bidirectional mark', `http://127.0.0.1:4433/\u202e${SECRET}`, /control/],
]
for (const [what, value, fault] of NOT_TAKEN)
  test(`a BASE_URL that ${what} is not taken, and its value is not repeated`, async (t) => {
    const server = await serveEveryHost(t)
    const env = { IDENT, PASS }
    const outcome = await run({ ...env, BASE_URL: value })
    const problem = failed(outcome, 2)
    assert.match(problem, /^ory-login: read configuration: BASE_URL .*https:\/\/[\w-]+\.projects\.oryapis\.com\n$/)
    assert.match(problem.replace(/it should look like.*/, ''), fault)
    assert.ok(!outcome.stderr.includes(SECRET), outcome.stderr)
    assert.equal(server.connections(), 0)

    workIn(t, asDotenv({ BASE_URL: value }))
    assert.equal((await run(env)).stderr, outcome.stderr, 'the same from .env')
  })

const HOSTS: [url: string, isLoopback: boolean][] = [
  ['http://127.0.0.1:4433', true],
  ['http://127.1.2.3:4433', true],
  ['http://127.1:4433/kratos', true],
  ['http://localhost:4433', true],
  ['HTTP://LocalHost', true],
  ['http://[::1]:4433', true],
  ['http://[0:0:0:0:0:0:0:1]', true],
  ['http://host.invalid', false],
  ['http://host.invalid:4433/kratos', false],
  ['http://localhost.host.invalid', false],
  ['http://notlocalhost', false],
  ['http://127.0.0.1.host.invalid', false],
  ['http://192.0.2.1', false],
  ['http://0.0.0.0:4433', false],
  ['http://[2001:db8::1]', false],
  ['http://host.invalid/localhost', false],
]
for (const [url, isLoopback] of HOSTS)
  test(`${url} gives ${isLoopback ? 'no' : 'a'} warning that the password travels unencrypted`, async (t) => {
    const server = await serveEveryHost(t)
    const { code, stdout, stderr } = await run(credentials(url))
    assert.deepEqual([code, stdout, server.hosts.length], [0, TWO_LINES, 1])
    assert.match(stderr, isLoopback ? /^$/ : /^ory-login: warning: .*password.*unencrypted\n$/)
  })

test('https gives no such warning', async (t) => {
  const server = await serveEveryHost(t) // it speaks no TLS
  const outcome = await run(credentials('https://host.invalid'))
  assert.doesNotMatch(failed(outcome, 4), /warning|unencrypted/)
  assert.deepEqual([server.hosts, server.seen], [['host.invalid:443'], []])
})

test('the warning comes before a failure too', async (t) => {
  await serveEveryHost(t, () => ({ status: 404 }))
  assert.match(failed(await run(credentials('http://host.invalid')), 1), /^ory-login: warning: .*unencrypted\n/)
})

// ---- What is sent

for (const ident of [IDENT, ` ${IDENT}`, `\t${IDENT} \r\n`, 'Demo@Example.COM', 'two words', '+49 30 123', 'ü"\\#'])
  test(`IDENT ${JSON.stringify(ident)} is sent trimmed, and else as it is`, async (t) => {
    const server = await serve(t)
    verified(await run({ ...credentials(server.url), IDENT: ident }))
    assert.deepEqual(submitted(server), { identifier: ident.trim(), password: PASS })
  })

const PASSWORDS = {
  'spaces around and within': '  a  b ',
  quotes: `'a' "b" \`c\``,
  'quotes around': `"${PASS}"`,
  'a number sign': 'before#after # end',
  'a dollar sign': '$HOME $PATH$ $$ $1 $(id) `id`',
  backslashes: '\\n \\u0041 \\\\ \\',
  'a line break at its end': `${PASS}\n`,
  'line breaks and a tab': '\r\na\tb\n\n',
  umlauts: 'pässwörd ß',
  'composed and decomposed letters': '\u00e9 e\u0301 \u00e5 \u212b',
  emoji: '🔑👩‍👩‍👧‍👦',
  'a no-break space and a byte order mark': '\ufeffa\u00a0',
  'control characters': '\u0001\u001b[31m\u007f\u202e',
  'percent and plus': '%41+%20&a=b',
  JSON: '{"method":"password","identifier":"x"}',
  'a name of the prototype': '__proto__',
  'five thousand characters': 'ä#"'.repeat(1667),
}
for (const [what, pass] of Object.entries(PASSWORDS))
  test(`PASS with ${what} is sent byte for byte`, async (t) => {
    const server = await serve(t)
    verified(await run({ ...credentials(server.url), PASS: pass }))
    assert.deepEqual(submitted(server), { identifier: IDENT, password: pass })
  })

test('PASS is sent byte for byte by the program as a process', async (t) => {
  const server = await serve(t)
  const pass = ' pässwörd 🔑 #$HOME \'"`\\\n'
  verified(await program({ ...credentials(server.url), PASS: pass }, []))
  assert.deepEqual(submitted(server), { identifier: IDENT, password: pass })
})

// ---- .env

const FILES: [what: string, file: string, pass: string][] = [
  ['no quotes', 'PASS=plain\n', 'plain'],
  ['no line break at its end', 'PASS=plain', 'plain'],
  ['white space around an unquoted value', '  PASS =   a b  \t\n', 'a b'],
  ['single quotes', 'PASS=\' a#b $HOME \\n "c" \'\n', ' a#b $HOME \\n "c" '],
  ['double quotes', 'PASS=" a#b $HOME \'c\' "\n', " a#b $HOME 'c' "],
  ['a line break in double quotes', 'PASS="a\\nb"\n', 'a\nb'],
  ['several lines in quotes', "PASS='a\nb\n'\n", 'a\nb\n'],
  ['backticks', 'PASS=`a\'b"c#d`\n', 'a\'b"c#d'],
  ['an unquoted #, which cuts', 'PASS=before#after\n', 'before'],
  ['a # after quotes', "PASS='a#b' # a comment\n", 'a#b'],
  ['comments and empty lines', '# PASS=no\n\n  # no\nPASS=yes\n# PASS=no', 'yes'],
  ['CRLF', "# a comment\r\nPASS='a b'\r\nOTHER=1\r\n", 'a b'],
  ['CRLF, unquoted', 'PASS=plain\r\n', 'plain'],
  ['a byte order mark', '\ufeffPASS=plain\n', 'plain'],
  ['a byte order mark and CRLF', '\ufeffPASS=plain\r\nOTHER=1\r\n', 'plain'],
  ['export', 'export PASS=plain\n', 'plain'],
  ['export and quotes', "  export   PASS='a # b'\n", 'a # b'],
  ['other variables', 'PASSWORD=no\nMY_PASS=no\nPASS=yes\nPASS_2=no\npass=no\n', 'yes'],
  ['the variable twice', 'PASS=first\nPASS=second\n', 'second'],
  ['letters beyond ASCII', "PASS='pässwörd 🔑'\n", 'pässwörd 🔑'],
]
for (const [what, file, pass] of FILES)
  test(`.env with ${what}`, async (t) => {
    workIn(t, file)
    const server = await serve(t)
    verified(await run({ BASE_URL: server.url, IDENT }))
    assert.deepEqual(submitted(server), { identifier: IDENT, password: pass })
  })

test('.env gives all three with CRLF, a byte order mark, export and quotes', async (t) => {
  const server = await serve(t)
  workIn(t, `\ufeffexport BASE_URL="${server.url}/"\r\nIDENT=' ${IDENT} ' # mine\r\n\r\nPASS='a#b'\r\n`)
  verified(await run({}))
  assert.deepEqual(submitted(server), { identifier: IDENT, password: 'a#b' })
})

test('a .env in a folder above the working directory is not read', async (t) => {
  const folder = workIn(t, 'PASS=wrong\n')
  mkdirSync(join(folder, 'below'))
  process.chdir(join(folder, 'below'))
  const server = await serve(t)
  verified(await run(credentials(server.url)))
  const { code, stdout, stderr } = await run({ BASE_URL: server.url, IDENT })
  assert.deepEqual([code, stdout], [0, TWO_LINES])
  assert.match(stderr, /^ory-login: note: .*default.*: PASS\n$/)
})

const UNREADABLE: [what: string, make: (path: string) => void][] = [
  ['is a folder', (path) => mkdirSync(path)],
  [
    // A permission would not stop root. A loop of links needs no right on POSIX; on Windows a junction is what needs none.
    'cannot be read',
    (path) => (process.platform === 'win32' ? symlinkSync(emptyFolder(), path, 'junction') : symlinkSync('.env', path)),
  ],
]
for (const [what, make] of UNREADABLE)
  for (const isNeeded of [true, false])
    test(`a .env that ${what} is an error, ${isNeeded ? 'and no default is used' : 'even where the environment has all'}`, async (t) => {
      make(join(workIn(t), '.env'))
      const server = await serveEveryHost(t)
      const outcome = await run(isNeeded ? { IDENT } : credentials(server.url))
      assert.match(failed(outcome, 2), /^ory-login: read configuration: .+\n$/)
      assert.match(outcome.stderr, /\.env\b/)
      assert.equal(server.connections(), 0)
    })

for (const prefix of ['DOTENV_', 'DOTENV_CONFIG_'])
  test(`dotenv says nothing, and ${prefix}* changes nothing, in the environment and in .env`, async (t) => {
    const server = await serve(t)
    const [here, there] = [emptyFolder(), emptyFolder()]
    const other = join(there, 'other.env')
    const values = { PATH: other, OVERRIDE: 'true', DEBUG: 'true', QUIET: 'false', ENCODING: 'latin1', FAST: 'true' }
    const settings = Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}${name}`, value]))
    const dotenv = { ...settings, BASE_URL: server.url, IDENT: 'no@example.com', PASS: 'pässwörd' }
    writeFileSync(join(here, '.env'), asDotenv(dotenv))
    writeFileSync(other, asDotenv({ BASE_URL: 'http://127.0.0.1:4433', IDENT: 'other', PASS: 'other' }))
    verified(await program({ ...settings, IDENT }, [], { cwd: here }))
    assert.deepEqual(submitted(server), { identifier: IDENT, password: 'pässwörd' })
  })

// ---- Hints

const WHITE_SPACE = /white space/
const NUMBER_SIGN = /#/
const HINTS: [what: string, place: 'environment' | '.env', pass: string, hints: RegExp[]][] = [
  ['a clean PASS of the environment', 'environment', SECRET, []],
  ['a PASS of the environment with white space within', 'environment', `${SECRET} ${SECRET}`, []],
  ['a PASS that begins with white space', 'environment', ` ${SECRET}`, [WHITE_SPACE]],
  ['a PASS that ends with white space', 'environment', `${SECRET}\t`, [WHITE_SPACE]],
  ['a PASS that ends with a line break', 'environment', `${SECRET}\n`, [WHITE_SPACE]],
  ['a clean PASS of .env', '.env', SECRET, [NUMBER_SIGN]],
  ['a PASS of .env with white space at its end', '.env', `${SECRET} `, [WHITE_SPACE, NUMBER_SIGN]],
]
for (const [what, place, pass, hints] of HINTS)
  test(`${what} is refused: ${hints.length} of the two hints`, async (t) => {
    const server = await serve(t, refuseAs('wrong-password'))
    const given = { ...credentials(server.url), PASS: pass }
    // The place of PASS counts, not that of the others, nor a .env that lost against the environment.
    const { PASS: _, ...others } = given
    workIn(t, asDotenv(place === '.env' ? { PASS: pass } : { BASE_URL: server.url, IDENT, PASS: 'lost' }))
    const outcome = await run(place === '.env' ? others : { PASS: pass })
    assert.match(failed(outcome, 3), /^ory-login: submit credentials: POST .*\n.*\b400 4000006\b/)
    assert.deepEqual(submitted(server), { identifier: IDENT, password: pass })
    const hint = outcome.stderr.match(/^ory-login: hint: (.*)$/m)?.[1] ?? ''
    assert.deepEqual(
      [WHITE_SPACE, NUMBER_SIGN].filter((pattern) => pattern.test(hint)),
      hints,
      hint,
    )
    if (hints.includes(NUMBER_SIGN)) assert.match(hint, /\.env\b.*quote|quote.*\.env\b/)
    assert.ok(!outcome.stderr.includes(SECRET), outcome.stderr)
  })

const OTHER_FAILURES: [what: string, behaviour: Behaviour, exitCode: number][] = [
  ['a wrong path', () => recording('wrong-path').at(-1)?.response, 1],
  ['an expired flow', refuseAs('expired-flow'), 1],
  [
    'an answer that is not JSON',
    (seen, response) => (seen.method === 'POST' ? { status: 200 } : accept(seen, response)),
    1,
  ],
  ['a password method that is off', refuseAs('password-method-disabled'), 3],
  ['a second factor', answerAs('aal2-required'), 3],
  ['a server error', () => ({ status: 500 }), 4],
]
for (const [what, behaviour, exitCode] of OTHER_FAILURES)
  test(`${what} says nothing about white space or #, whatever PASS is`, async (t) => {
    const server = await serve(t, behaviour)
    workIn(t, `PASS=' ${SECRET}\n'\n`)
    const outcome = await run({ BASE_URL: server.url, IDENT })
    failed(outcome, exitCode)
    assert.doesNotMatch(outcome.stderr, /white space|#|\.env/)
    assert.ok(!outcome.stderr.includes(SECRET), outcome.stderr)
  })

for (const isDefault of [true, false])
  test(`no answer at ${isDefault ? 'the default' : 'a given'} BASE_URL: the hint ${isDefault ? 'points' : 'does not point'} to npm run demo`, async (t) => {
    const server = await serveEveryHost(t, () => undefined)
    const env = { IDENT, PASS }
    const outcome = await run(isDefault ? env : { ...env, BASE_URL: 'http://127.0.0.1:4436' }, '--timeout', '0.5')
    assert.match(failed(outcome, 4), /start login flow: GET http:\/\/127\.0\.0\.1:443[36]\/self-service\/login\/api\n/)
    assert.equal(/hint: .*npm run demo/.test(outcome.stderr), isDefault)
    assert.deepEqual(server.hosts, [isDefault ? '127.0.0.1:4433' : '127.0.0.1:4436'])
  })

// ---- Proxy variables

const PROXIES = [
  'not a url',
  '127.0.0.1:3128',
  'http://',
  `http://user:${SECRET}@bad host:8080`,
  `user:${SECRET}@host:8080`,
]
for (const name of ['HTTP_PROXY', 'https_proxy'])
  for (const value of PROXIES)
    test(`${name}=${value} is no URL: nothing is sent, and the value is not repeated`, async (t) => {
      const server = await serve(t)
      setVariable(t, name, value)
      const outcome = await run(credentials(server.url))
      assert.match(failed(outcome, 2), /^ory-login: choose proxy: .+\n$/)
      assert.match(outcome.stderr, /hint: .*HTTPS?_PROXY.*http:\/\//)
      assert.ok(!outcome.stderr.includes(SECRET), outcome.stderr)
      assert.equal(server.connections(), 0)
    })

test('an empty proxy variable is no proxy', async (t) => {
  const server = await serve(t)
  for (const name of ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy']) setVariable(t, name, '')
  verified(await run(credentials(server.url)))
})
