/** Servers that mean harm, or are no Ory at all: each is a plain failure at its step, and shows nothing it should not. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { credentials, emptyFolder, IDENTITY, type Outcome, PASS, PROGRAM, program, run, TOKEN, TSX } from './harness.ts'
import { type Answer, type Behaviour, recording, type Seen, type StandIn, standIn } from './stand-in.ts'

type Step = 'start' | 'submit' | 'whoami'

const STEPS = ['start', 'submit', 'whoami'] as const
const NAMES = { start: 'start login flow', submit: 'submit credentials', whoami: 'verify session' }
const PATHS = { start: '/self-service/login/api', submit: '/self-service/login', whoami: '/sessions/whoami' }
const MIB = 2 ** 20

const stepOf = ({ path }: Seen): Step =>
  STEPS.find((step) => path.replace(/\?.*/, '').endsWith(PATHS[step])) ?? assert.fail(path)

const [START, SUBMIT, WHOAMI] = recording('success').map(({ response }) => response)
const SUCCESS: Record<Step, Answer | undefined> = { start: START, submit: SUBMIT, whoami: WHOAMI }

/** One run in which one step is answered as told, and the others as recorded. */
async function against(hostile: Step, behaviour: Behaviour, env: Record<string, string> = {}, ...args: string[]) {
  const server = await standIn((seen, response) => {
    const step = stepOf(seen)
    return step === hostile ? behaviour(seen, response) : SUCCESS[step]
  })
  try {
    return { ...(await run({ ...credentials(server.url), ...env }, ...args)), url: server.url, seen: server.seen }
  } finally {
    await server.close()
  }
}

/** A plain failure at its step, in short lines that hold nothing but printable characters and are no CI commands. */
function assertPlain(outcome: Outcome & Pick<StandIn, 'url'>, step: Step, code = 1, ...shows: RegExp[]) {
  const { stdout, stderr, url } = outcome
  assert.equal(outcome.code, code, stderr.slice(0, 2000))
  assert.equal(stdout, '')
  const lines = stderr.trimEnd().split('\n')
  for (const line of lines) {
    assert.match(line, /^ory-login: \P{C}+$/u)
    assert.doesNotMatch(line, /[\p{Zl}\p{Zp}]|##/u)
    assert.ok(line.length <= 750, `${line.length} characters: ${line}`)
  }
  assert.ok(
    lines.some((line) => line.startsWith(`ory-login: ${NAMES[step]}: `) && line.endsWith(`${url}${PATHS[step]}`)),
    stderr,
  )
  assert.match(lines.at(-1) ?? '', /^ory-login: hint: \S.{10,}/)
  assert.doesNotMatch(stderr, /bug in ory-login|^\s+at /m)
  for (const pattern of shows) assert.match(stderr, pattern)
}

/** Sends 400 MB, as fast as they are taken, and tells how many were taken when the connection ends. */
function flood(response: ServerResponse, headers: Record<string, string> = {}): Promise<number> {
  const total = 400 * MIB
  const chunk = Buffer.alloc(64 * 1024, 0x20)
  let sent = 0
  response.writeHead(200, { 'content-type': 'application/json', ...headers })
  const more = () => {
    while (sent < total && !response.destroyed) {
      sent += chunk.length
      if (!response.write(chunk)) return
    }
    response.end()
  }
  response.on('drain', more)
  const ended = new Promise<number>((resolve) => response.on('close', () => resolve(sent)))
  more()
  return ended
}

const BOMB = gzipSync(Buffer.alloc(160 * MIB, 0x20))
const GZIP = { 'content-type': 'application/json', 'content-encoding': 'gzip' }

// Patterns that try again from each place, or in each combination, take minutes or years for these, in which no timer of
// the program fires. Hence as children, which can be ended.
const SLOW_TEXTS: (readonly [name: string, password: string, text: string])[] = [
  ['an escape sequence that never ends', PASS, '\u001b', ';?'],
  ['backslashes, for a password of such', `${'\\'.repeat(12)}"%5c`, '', '\\'],
  ['escaped backslashes, for a password of such', `${'\\'.repeat(12)}"%5c`, '', '\\u005c'],
  ['spaces, for a password of such', `a${' +%20'.repeat(12)}b`, 'a', ' '],
  ['the beginning of the password', `${'aA'.repeat(40)}b`, '', 'a'],
].map(([name = '', password = '', start = '', unit = '']) => [
  name,
  password,
  `${start}${unit.repeat(Math.floor((MIB - 9) / unit.length))}\n`,
])

test('1 MiB of whatever text is looked at within the time of the run', async () => {
  const check = async ([name, password, text]: (typeof SLOW_TEXTS)[number]) => {
    const server = await standIn(() => ({ status: 418, body: text }))
    try {
      const env = { ...credentials(server.url), PASS: password }
      const outcome = await program(env, ['--timeout', '2'], { signal: { name: 'SIGKILL', afterMs: 10_000 } })
      assert.equal(outcome.killedBy, null, name)
      assertPlain({ ...outcome, url: server.url }, 'start', 1, /\b418\b/)
    } finally {
      await server.close()
    }
  }
  await Promise.all(SLOW_TEXTS.map(check))
})

for (const step of STEPS) {
  for (const headers of [{}, { 'content-length': String(400 * MIB) }]) {
    const how = 'content-length' in headers ? 'announced' : 'in chunks'
    test(`${step}: of a body of 400 MB, ${how}, no more than a part is taken`, async () => {
      let sent: Promise<number> | undefined
      const outcome = await against(step, (_, response) => {
        sent = flood(response, headers)
        return undefined
      })
      assertPlain(outcome, step, 1, /1048576|1 MiB/)
      assert.ok(((await sent) ?? Number.NaN) < 40 * MIB, `${await sent} bytes were taken`)
    })
  }

  test(`${step}: a compression bomb, small on the wire, is not unpacked`, async () => {
    assert.ok(BOMB.length < MIB / 2)
    assertPlain(await against(step, () => ({ status: 200, headers: GZIP, body: BOMB })), step, 1, /1048576|1 MiB/)
  })

  test(`${step}: a body of 1 MiB is read whole, and a byte more is too much`, async () => {
    const body = (size: number) => {
      const text = JSON.stringify(SUCCESS[step]?.body)
      return { status: 200, body: text + ' '.repeat(size - text.length) }
    }
    const whole = await against(step, () => body(MIB))
    assert.deepEqual([whole.code, whole.stderr], [0, ''])
    assert.match(whole.stdout, /^token: .*…\nidentity_id: .*\n$/)
    assertPlain(await against(step, () => body(MIB + 1)), step)
  })

  test(`${step}: headers that never end`, async () => {
    let sent = 0
    const outcome = await against(step, (_, { socket }) => {
      const more = () => {
        while (socket?.writable && sent < 400 * MIB) {
          const line = `x-${sent}: ${'y'.repeat(1000)}\r\n`
          sent += line.length
          if (!socket.write(line)) return
        }
      }
      socket?.on('drain', more).write('HTTP/1.1 200 OK\r\n')
      more()
      return undefined
    })
    assertPlain(outcome, step)
    assert.ok(sent < 40 * MIB, `${sent} bytes`)
  })

  for (const [name, bytes] of Object.entries({
    'a banner of SSH': 'SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n',
    'a greeting of SMTP': '220 mail.example.com ESMTP\r\n',
    'a reply of Redis': "-ERR wrong number of arguments for 'get' command\r\n",
    'an alert of TLS': Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x46]),
    zeros: Buffer.alloc(100),
    'a status that is no number': 'HTTP/1.1 abc OK\r\n\r\n',
    'a version that is none': 'HTTP/9.9 200 OK\r\ncontent-length: 2\r\n\r\n{}',
    'a header with no name': 'HTTP/1.1 200 OK\r\n: x\r\n\r\n',
    'a length that is no number': 'HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n{}',
    'two lengths': 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x',
    'a chunk whose size is no number': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n',
  })) {
    test(`${step}: ${name} is no answer`, async () => {
      const outcome = await against(
        step,
        (_, { socket }) => {
          socket?.end(bytes)
          return undefined
        },
        {},
        '--timeout',
        '5',
      )
      assertPlain(outcome, step)
    })
  }

  for (const encoding of ['gzip', 'deflate', 'br']) {
    test(`${step}: a body that says ${encoding} and is not`, async () => {
      const headers = { 'content-type': 'application/json', 'content-encoding': encoding }
      assertPlain(await against(step, () => ({ status: 200, headers, body: '{"id":"not packed"}' })), step)
    })
  }

  for (const [name, body] of Object.entries({
    'invalid UTF-8': Buffer.from('7b226964223a22ff fe c3 28 80227d'.replaceAll(' ', ''), 'hex'),
    'a UTF-16 text': Buffer.from('{"id":"a","session_token":"b"}', 'utf16le'),
    'JSON nested 100,000 deep': `${'['.repeat(1e5)}${']'.repeat(1e5)}`,
    'objects nested 100,000 deep': `${'{"id":'.repeat(1e5)}1${'}'.repeat(1e5)}`,
    'JSON that opens 1,000,000 brackets': '['.repeat(1e6),
    'an error nested 100,000 deep': `{"error":${'[{"id":'.repeat(5e4)}1${'}]'.repeat(5e4)}}`,
    'ui nested 100,000 deep': `{"ui":{"messages":${'['.repeat(1e5)}${']'.repeat(1e5)}}}`,
    '__proto__ with all that is asked for':
      '{"__proto__":{"id":"a","session_token":"b","active":true,"identity":{"id":"c"}}}',
    'constructor and prototype': '{"constructor":{"prototype":{"id":"a","session_token":"b","active":true}}}',
  })) {
    for (const status of [200, 400]) {
      test(`${step}: ${name}, with status ${status}`, async () => {
        const headers = { 'content-type': 'application/json' }
        assertPlain(await against(step, () => ({ status, headers, body })), step, 1, new RegExp(`\\b${status}\\b`))
        assert.equal(Object.getOwnPropertyDescriptor(Object.prototype, 'active'), undefined)
      })
    }
  }

  test(`${step}: ids, texts and lists of any shape are looked at without harm`, async () => {
    const shapes = [
      null,
      true,
      0,
      -1.5e300,
      '',
      'text',
      [],
      {},
      [[]],
      [null],
      { id: {} },
      [{ id: {}, text: [] }],
      [[[1]]],
    ]
    const odd = { toString: 1, valueOf: null, constructor: null, __proto__: null, length: -1 }
    for (const shape of [...shapes, odd, [odd]]) {
      for (const body of [
        { ui: shape },
        { ui: { messages: shape, nodes: null } },
        { ui: { messages: [shape], nodes: shape } },
        { ui: { nodes: [shape, { messages: shape }, { messages: [shape] }] } },
        { ui: { messages: [{ id: shape, text: shape }] } },
        { error: shape, message: shape },
        { error: { id: shape, code: shape, reason: shape, message: shape }, message: shape },
      ]) {
        const answer = { status: 418, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
        assertPlain(await against(step, () => answer), step, 1, /\b418\b/)
      }
    }
  })

  test(`${step}: a hundred thousand messages are still a few short lines`, async () => {
    const messages = Array.from({ length: 25_000 }, (_, id) => ({ id, text: 'Text.' }))
    assertPlain(await against(step, () => ({ status: 418, body: { ui: { messages } } })), step, 1, /\b418\b/)
  })

  test(`${step}: a long text is cut, and no character is cut in two`, async () => {
    for (const padding of ['', 'x']) {
      for (const character of ['y', 'é', '😀', '👩‍👩‍👧', '\u0301']) {
        const reason = padding + character.repeat(10_000)
        assertPlain(await against(step, () => ({ status: 418, body: { error: { reason } } })), step, 1, /\b418\b/)
      }
    }
  })

  for (const [name, unit] of Object.entries({
    brackets: '[',
    'links that are opened': '\u001b]8;;',
    spaces: ' ',
    'number signs': '#',
    'what looks like tokens': 'ory_st_',
  })) {
    test(`${step}: a text of 1 MiB of ${name} after an escape is cut like any other`, async () => {
      const body = `\u001b${unit.repeat(Math.floor((MIB - 2) / unit.length))}\n`
      assertPlain(await against(step, () => ({ status: 418, body })), step, 1, /\b418\b/)
    })
  }
}

const HOSTILE_TEXTS: Record<string, string> = {
  colours: '\u001b[31mred\u001b[0m',
  'a cleared screen': 'a\u001b[2J\u001b[Hb',
  'a link': '\u001b]8;;http://evil.example\u0007click\u001b]8;;\u0007',
  'a link ended by ST': '\u001b]8;;http://evil.example\u001b\\click\u001b]8;;\u001b\\',
  'a window title': '\u001b]0;title\u0007x',
  'C1 controls': '\u009b31mred\u009d0;title\u009c',
  'an escape that never ends': 'x\u001b]8;;http://evil.example',
  'a device string': '\u001bP1$r\u001b\\x',
  'NUL, BEL, BS and DEL': 'a\u0000\u0007\b\u007fb',
  'bidirectional characters': 'a\u202e\u2066b\u2069\u200f\u061cc',
  'zero-width characters and a BOM': 'a\u200b\u200d\ufeff\u2060b',
  'line and paragraph separators': 'a\u2028b\u2029c\u0085d',
  'lone surrogates': 'a\ud800b\udc00c',
  'private use and unassigned characters': 'a\ue000\u{e0001}\u{10ffff}b',
  'CR and LF': 'a\r\n\r\nory-login: hint: all is well\nb\rc',
  'a form feed and a vertical tab': 'a\f\vb',
  'an error of GitHub Actions': '\n::error::all is lost',
  'a mask of GitHub Actions': '\r::add-mask::a\n::set-output name=a::b',
  'stopped commands of GitHub Actions': '\n::stop-commands::x',
  'a command of GitHub Actions, old style': '##[error]all is lost',
  'a command of Azure Pipelines': '##vso[task.setvariable variable=PATH]evil',
  'a command of Azure Pipelines in pieces': '#\u200b#vso[task.complete result=Succeeded] #\u001b[0m#[command]x ####[a]',
  'a message of TeamCity': "\n##teamcity[testFailed name='x']",
}

for (const step of STEPS) {
  for (const [name, text] of Object.entries(HOSTILE_TEXTS)) {
    test(`${step}: ${name} in texts and ids come out as plain text of one line`, async () => {
      const id = text
      for (const body of [
        { error: { id, reason: text, message: text } },
        { ui: { messages: [{ id, text }], nodes: [{ messages: [{ id: `${id} 2`, text }] }] } },
        { error: text },
        { message: text },
        `${text} and no JSON`,
      ]) {
        const told = await against(step, () => ({ status: 418, body }), {}, '--json')
        assertPlain({ ...told, stdout: '' }, step, 1, /\b418\b/)
        assert.equal(told.stderr.trimEnd().split('\n').length, 3)
        assert.match(told.stdout, /^\P{C}+\n$/u)
        assert.doesNotMatch(told.stdout, /##|\\u00|\\[rn]/)
        assert.equal(JSON.parse(told.stdout).ok, false)
      }
    })
  }
}

test('a session id and an expiry of any shape do not turn a verified login into a crash', async () => {
  const odd = { toString: 1, valueOf: 1 }
  const deep = `${'['.repeat(1e5)}${']'.repeat(1e5)}`
  for (const value of ['null', '5', '{}', '[]', JSON.stringify(odd), JSON.stringify([odd]), deep, '"\\u001b[31m\\n"']) {
    for (const args of [[], ['--json']]) {
      const body = `{"id":${value},"active":true,"expires_at":${value},"identity":{"id":"${IDENTITY}"}}`
      const { code, stdout, stderr } = await against('whoami', () => ({ status: 200, body }), {}, ...args)
      assert.doesNotMatch(stderr, /bug in ory-login/, value.slice(0, 100))
      assert.deepEqual([code, stderr], [0, ''], value.slice(0, 100))
      assert.match(stdout, /^\P{C}+\n(\P{C}+\n)?$/u)
    }
  }
})

// What the server knows, it can send back. The middle of each secret must not come out in any spelling.
const CORE = 'hunterZq8Kv'
const PASSWORD = `p"w\\x &ä%+$<'/${CORE}/'>$+%ä& \\"q`
const TOKEN_CORE = TOKEN.slice(24)

const escapeAll = (text: string) =>
  JSON.stringify(text)
    .slice(1, -1)
    .replace(/[<>&'\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
const SPELLINGS: Record<string, (secret: string) => string> = {
  'as it is': (secret) => secret,
  'escaped as in JSON': (secret) => JSON.stringify(secret),
  'escaped as in JSON by Go, with \\u0026': escapeAll,
  'escaped as in JSON by PHP, with \\/': (secret) => escapeAll(secret).replaceAll('/', '\\/'),
  'escaped as in JSON, with upper-case digits': (secret) =>
    escapeAll(secret).replace(/\\u..../g, (escaped) => `\\u${escaped.slice(2).toUpperCase()}`),
  'escaped as in JSON within JSON': (secret) => JSON.stringify(JSON.stringify(secret)),
  'encoded as in a URL': (secret) => encodeURIComponent(secret),
  'encoded as in a URL, with lower-case digits': (secret) =>
    encodeURIComponent(secret).replace(/%../g, (escaped) => escaped.toLowerCase()),
  'encoded as the whole of a URL': (secret) => encodeURI(secret),
  'encoded as in a form': (secret) => new URLSearchParams({ a: secret }).toString().slice(2),
  'split by an escape sequence': (secret) => `${secret.slice(0, 20)}\u001b[0m${secret.slice(20)}`,
  'split by escape sequences after each character': (secret) => [...secret].join('\u001b[0m'),
}

for (const step of STEPS) {
  for (const [name, spell] of Object.entries(SPELLINGS)) {
    test(`${step}: the password and the token, sent back ${name}, are not shown`, async () => {
      const spelled = spell(PASSWORD)
      const text = `you sent ${spelled} (${spell(TOKEN)}), I think: ${spelled}${spelled}`
      for (const body of [
        { error: { id: spelled, reason: text } },
        { error: { id: spell(TOKEN), message: text }, message: text },
        { error: text },
        {
          ui: {
            messages: [{ id: spelled, text }],
            nodes: [{ messages: [{ id: 1, text }], attributes: { value: text } }],
          },
        },
        { session_token: PASSWORD, message: text },
        text,
        `<html>${text}</html>`,
        `{"error": {"reason": "${text}"`,
      ]) {
        const behaviour: Behaviour = () => ({ status: 418, body })
        const { code, stdout, stderr } = await against(step, behaviour, { PASS: PASSWORD }, '--json', '--verbose')
        assert.equal(code, 1)
        assert.match(stderr, new RegExp(`${NAMES[step]}: .*\n.*\\b418\\b.*\n.*hint: `))
        assert.equal(JSON.parse(stdout).ok, false)
        assert.ok(!`${stdout}${stderr}`.includes(CORE), `the password in ${JSON.stringify(body)}: ${stderr}`)
        assert.ok(!`${stdout}${stderr}`.includes(TOKEN_CORE), `the token in ${JSON.stringify(body)}: ${stderr}`)
      }
    })
  }

  for (const [header, status] of [
    ['location', 302],
    ['content-type', 418],
    ['ory-error-id', 418],
    ['set-cookie', 418],
    ['server', 418],
  ] as const) {
    test(`${step}: the password and the token, sent back in the header ${header}, are not shown`, async () => {
      for (const [name, spell] of Object.entries(SPELLINGS)) {
        const spelled = `${spell(PASSWORD)}-${spell(TOKEN)}`
        if (/[^\t\x20-\x7e\x80-\xff]/.test(spelled)) continue // no header can carry it
        const credentialsInUrl = `https://user:${encodeURIComponent(PASSWORD)}@x.example/${spelled}`
        for (const value of [spelled, `/a/${spelled}?b=${spelled}#${spelled}`, credentialsInUrl]) {
          const behaviour: Behaviour = () => ({ status, headers: { [header]: value } })
          const { code, stdout, stderr } = await against(step, behaviour, { PASS: PASSWORD }, '--verbose')
          assert.equal(code, 1)
          assert.equal(stdout, '')
          assert.match(stderr, new RegExp(`${NAMES[step]}: .*\n.*\\b${status}\\b.*\n.*hint: `))
          assert.ok(!stderr.includes(CORE), `the password, ${name}: ${stderr}`)
          assert.ok(!stderr.includes(TOKEN_CORE), `the token, ${name}: ${stderr}`)
        }
      }
    })
  }
}

test('a password beside what looks like half an escape is not shown in any spelling', async () => {
  const password = `n&q<${CORE}>"u`
  const text = Object.values(SPELLINGS).map((spell) => spell(password))
  for (const before of ['', '\\', '%', '%2', '\\u', '\\u00', 'u00']) {
    for (const after of ['', 'ffa60abd', '0041', 'n', '%', '\\']) {
      for (const spelled of text) {
        const body = { error: { reason: `${before}${spelled}${after}` } }
        const outcome = await against('submit', () => ({ status: 418, body }), { PASS: password })
        assertPlain(outcome, 'submit', 1, /\b418\b/)
        assert.ok(!outcome.stderr.includes(CORE), `${JSON.stringify(body)}: ${outcome.stderr}`)
      }
    }
  }
})

test('a status line that repeats the password is not shown', async () => {
  for (const step of STEPS) {
    const outcome = await against(
      step,
      (_, { socket }) => {
        socket?.end(`HTTP/1.1 418 ${CORE}\r\ncontent-length: 0\r\n\r\n`)
        return undefined
      },
      { PASS: CORE },
    )
    assertPlain(outcome, step, 1, /\b418\b/)
    assert.ok(!outcome.stderr.includes(CORE))
  }
})

test('a refused submit that gives a token all the same does not show it', async () => {
  const token = 'secret-token-of-another-make-0123456789'
  for (const status of [200, 400, 418]) {
    for (const body of [
      { session_token: token, session: { identity: 5 }, message: `your token is ${token}` },
      { session_token: token, session: { identity: 5 }, error: { id: token, reason: token } },
    ]) {
      const outcome = await against('submit', () => ({ status, body }))
      assertPlain(outcome, 'submit', 1, new RegExp(`\\b${status}\\b`))
      assert.ok(!outcome.stderr.includes(token.slice(24)), outcome.stderr)
    }
  }
})

test('an identity id that holds the password or the token is not shown', async () => {
  for (const secret of [PASSWORD, TOKEN, encodeURIComponent(PASSWORD), JSON.stringify(PASSWORD)]) {
    const id = `user ${secret}`
    const server = await standIn((seen) => {
      if (stepOf(seen) === 'start') return START
      if (stepOf(seen) === 'submit')
        return { status: 200, body: { session_token: TOKEN, session: { identity: { id } } } }
      return { status: 200, body: { active: true, identity: { id } } }
    })
    try {
      const outcome = await run({ ...credentials(server.url), PASS: PASSWORD })
      assertPlain({ ...outcome, url: server.url }, 'whoami')
      assert.ok(!outcome.stderr.includes(CORE) && !outcome.stderr.includes(TOKEN_CORE))
    } finally {
      await server.close()
    }
  }
})

test('neither 400 MB nor a bomb take more than 60 MiB of memory above a normal run', async () => {
  const report = `import { writeFileSync } from 'node:fs'
    process.on('exit', () => writeFileSync('rss', String(process.resourceUsage().maxRSS)))`
  const command = ['--import', TSX, '--import', `data:text/javascript,${encodeURIComponent(report)}`, PROGRAM]
  const measure = async (behaviour: Behaviour) => {
    const server = await standIn((seen, response) =>
      stepOf(seen) === 'whoami' ? behaviour(seen, response) : SUCCESS[stepOf(seen)],
    )
    const cwd = emptyFolder()
    try {
      const outcome = await program(credentials(server.url), [], { cwd, command })
      return { ...outcome, url: server.url, mib: Number(readFileSync(join(cwd, 'rss'), 'utf8')) / 1024 }
    } finally {
      await server.close()
    }
  }
  const normal = await measure(() => WHOAMI)
  assert.deepEqual([normal.code, normal.stderr], [0, ''])
  assert.match(normal.stdout, /^token: /)
  assert.ok(normal.mib > 20)
  for (const behaviour of [
    () => ({ status: 200, headers: GZIP, body: BOMB }),
    (_: Seen, response: ServerResponse) => {
      flood(response)
      return undefined
    },
  ]) {
    const outcome = await measure(behaviour)
    assertPlain(outcome, 'whoami')
    assert.ok(outcome.mib <= normal.mib + 60, `${outcome.mib} MiB, and ${normal.mib} MiB in a normal run`)
  }
})

test('whoami: an active nested 100,000 deep is no active session, and no bug of the program', async () => {
  const deep = `{"active":${'['.repeat(100_000)}${']'.repeat(100_000)},"identity":{"id":"a"}}`
  const outcome = await against('whoami', () => ({ status: 200, body: deep }))
  assertPlain(outcome, 'whoami', 1, /\b200\b/)
  assert.match(outcome.stderr, /not active/)
})
