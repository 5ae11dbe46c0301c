/** What README, workflow, Compose file and .env.example say is what is there. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, delimiter, join } from 'node:path'
import { describe, test } from 'node:test'
import { parse as parseDotenv } from 'dotenv'
import { parse as parseYaml } from 'yaml'
import { folder, login, recorded, run, STEPS, startOry, TWO_LINES } from './harness.ts'

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
const { scripts, dependencies, bin } = JSON.parse(read('package.json'))
const readme = read('README.md')
const workflow = parseYaml(read('.github/workflows/ci.yml'))
const compose = parseYaml(read('test/kratos/compose.yml'))
const blocks = (language: string): string[] =>
  [...readme.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map(
    ([, block = '']) => block,
  )
const block = (language: string, part: string): string =>
  blocks(language).find((each) => each.includes(part)) ?? assert.fail(part)

interface Step {
  run?: string
  uses?: string
  env?: Record<string, string>
}
const stepsOf = (jobs: Record<string, { steps: Step[] }>): Step[] =>
  Object.values(jobs).flatMap(({ steps }) => steps)
const LOGIN_ACTION = './.github/actions/login'
const [[github], { login: gitlab }, cronJob] = blocks('yaml').map((each) => parseYaml(each))

test('every npm script that README, workflow and .ci/run name is there', () => {
  const texts = [readme, read('.github/workflows/ci.yml'), read('.ci/run')].join('\n')
  const names = [
    ...texts.matchAll(/\bnpm (?:run )?(?:-s )?(login|build|demo|bench|test(?::\w+)?)\b/g),
  ]
  assert.ok(names.length > 8)
  for (const [, name = ''] of names) assert.ok(scripts[name], name)
})

test('every file that a script, the workflow or the README names is there', () => {
  const texts = [...Object.values(scripts), readme, read('.github/workflows/ci.yml')].join(' ')
  const paths = [...texts.matchAll(/\b(?:src|test)\/[\w./-]*\w/g)].map(([path]) => path)
  assert.ok(paths.length > 8)
  for (const path of paths) assert.ok(existsSync(new URL(`../${path}`, import.meta.url)), path)
})

test('.ci/run installs cleanly, builds, and runs the test and the demo of the README', () => {
  for (const command of ['npm ci && npm run demo', 'npm ci && npm test']) {
    assert.ok(readme.includes(command), command)
    for (const part of command.split(' && '))
      assert.match(read('.ci/run'), RegExp(`^${part}$`, 'm'))
  }
  assert.match(read('.ci/run'), /^npm run build$/m)
  assert.match(read('.ci/run'), /set -euo pipefail/)
})

test('the workflow tests Node 20, 22, 24 and 26 on Linux, and one on macOS and on Windows', () => {
  const { matrix } = workflow.jobs.test.strategy
  assert.deepEqual([matrix.os, matrix.node], [['ubuntu-latest'], [20, 22, 24, 26]])
  const others = matrix.include.map(({ os, node }: { os: string; node: number }) => [os, node])
  assert.deepEqual(others, [
    ['macos-latest', 24],
    ['windows-latest', 24],
  ])
  const commands = workflow.jobs.test.steps.flatMap((step: Step) => step.run ?? [])
  assert.deepEqual(commands, ['npm ci', 'npm test'])
})

test('the smoke job runs each Kratos, imports the identity, logs in, and tests it live', () => {
  const { strategy, env, steps } = workflow.jobs.smoke
  assert.deepEqual(strategy.matrix.kratos, ['v1.3.1', 'v25.4.0', 'v26.2.0'])
  assert.equal(env.KRATOS_VERSION, `\${{ matrix.kratos }}`)
  for (const version of strategy.matrix.kratos) assert.ok(readme.includes(version), version)
  const commands: string[] = steps.flatMap(({ run, uses }: Step) => run ?? uses ?? [])
  const order = ['wait kratos', '--rm import', LOGIN_ACTION, 'npm ci', 'npm run test:live']
  const places = order.map((part) => commands.findIndex((command) => command.includes(part)))
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  )
  assert.ok(!places.includes(-1), String(places))

  const login = steps.find(({ uses }: Step) => uses === LOGIN_ACTION)
  const { traits, credentials } = JSON.parse(read('test/kratos/demo-identity.json'))
  const { password } = credentials.password.config
  const inputs = { 'base-url': 'http://127.0.0.1:4433', ident: traits.email, pass: password }
  assert.deepEqual(login.with, inputs)
})

test('a tag of a version releases the built file, once all tests are green', () => {
  assert.deepEqual(workflow.on.push.tags, ['v*.*.*'])
  const { if: when, needs, permissions, steps } = workflow.jobs.release
  assert.deepEqual([when, needs], [`github.ref_type == 'tag'`, ['test', 'smoke']])
  assert.deepEqual(permissions, { contents: 'write' })
  const commands: string[] = steps.flatMap((step: Step) => step.run ?? [])
  assert.deepEqual(commands, [
    'npm ci',
    'npm run build',
    'test "v$(node dist/ory-login.mjs --version)" = "$GITHUB_REF_NAME"',
    'gh release create "$GITHUB_REF_NAME" dist/ory-login.mjs --verify-tag --generate-notes',
  ])
})

test('actions are pinned, and only the step that releases gets a token that writes', () => {
  const used = stepsOf(workflow.jobs).flatMap(({ uses }) => uses ?? [])
  assert.ok(used.length >= 5)
  for (const action of used.filter((each) => each !== LOGIN_ACTION))
    assert.match(action, /^actions\/[a-z-]+@[0-9a-f]{40}$/)
  assert.deepEqual(workflow.permissions, { contents: 'read' })
  const { test: tests, smoke } = workflow.jobs
  assert.deepEqual([tests.permissions, smoke.permissions], [undefined, undefined])
  const [{ run, env } = assert.fail(), ...others] = stepsOf(workflow.jobs).filter(({ env }) => env)
  assert.match(run ?? '', /^gh release create /)
  assert.deepEqual([env, others], [{ GH_TOKEN: `\${{ github.token }}` }, []])
  assert.equal(read('.github/workflows/ci.yml').match(/token|secrets/gi)?.length, 2)
})

test('in CI the action has its inputs; GitLab, a container and Kubernetes run one file', () => {
  const { inputs } = parseYaml(read('.github/actions/login/action.yml'))
  assert.match(github.uses, /\/\.github\/actions\/login@v3$/)
  for (const [name, value] of Object.entries(github.with)) {
    assert.ok(inputs[name], name)
    assert.match(String(value), /^\$\{\{ (vars|secrets)\.\w+ \}\}$/)
  }
  const file = basename(bin['ory-login'])
  const run = `node ${file} --logout`
  assert.deepEqual([gitlab.script, gitlab.before_script.length], [[run], 1])
  assert.ok(gitlab.before_script[0].endsWith(`/releases/latest/download/${file}`))
  assert.deepEqual(block('dockerfile', 'FROM').trim().split('\n'), [
    'FROM node:24-slim',
    `COPY ${file} /`,
    'USER node',
    `ENTRYPOINT ["node", "/${file}"]`,
  ])
  const { backoffLimit, podFailurePolicy, template } = cronJob.spec.jobTemplate.spec
  const [{ action, onExitCodes }] = podFailurePolicy.rules
  const [container] = template.spec.containers
  assert.deepEqual([backoffLimit, action, onExitCodes.values], [1, 'FailJob', [1, 2, 3]])
  assert.deepEqual(container.command, ['node', `/app/${file}`, '--logout'])
  assert.equal(container.terminationMessagePolicy, 'FallbackToLogsOnError')
  assert.equal(template.spec.restartPolicy, 'Never')
})

test('the picture of the sequence has the requests of the login', () => {
  const picture = block('mermaid', 'sequenceDiagram')
  const asked = [...picture.matchAll(/->>Ory: ([A-Z]+) ([\w/-]+)/g)].map(
    ([, ...request]) => request,
  )
  const steps = Object.values(STEPS).map(({ method, path }) => [method, path])
  assert.deepEqual(asked, steps)
})

test('the README can be read in a terminal, and in ten minutes', () => {
  const lines = readme.trimEnd().split('\n')
  assert.ok(lines.length <= 215, `${lines.length}`)
  for (const line of lines) assert.ok(line.length <= 450, line)
})

test('a clone on Windows has the line ends that lint expects', () => {
  assert.match(read('.gitattributes'), /^\* text=auto eol=lf$/m)
})

test('the Compose file serves Kratos on loopback with the demo identity', async (t) => {
  const { kratos, import: importer } = compose.services
  const mounted = '/etc/config/kratos'
  for (const { image, volumes } of [kratos, importer]) {
    assert.equal(image, `oryd/kratos:\${KRATOS_VERSION:-v26.2.0}`)
    assert.deepEqual(volumes, [`.:${mounted}:ro`])
  }
  assert.deepEqual(kratos.ports, ['127.0.0.1:4433:4433', '127.0.0.1:4434:4434'])
  assert.deepEqual(kratos.healthcheck.test.slice(0, 4), ['CMD', 'kratos', 'remote', 'status'])
  assert.equal(importer.depends_on.kratos.condition, 'service_healthy')
  const named = [kratos.command, importer.command, read('test/kratos/kratos.yml')].join(' ')
  const files = [...named.matchAll(/\/etc\/config\/kratos\/([\w.-]+)/g)].map(([, file]) => file)
  const expected = ['demo-identity.json', 'identity.schema.json', 'kratos.yml']
  assert.deepEqual(files.toSorted(), expected)
  for (const file of expected) assert.ok(read(`test/kratos/${file}`))

  const { traits, credentials: held } = JSON.parse(read('test/kratos/demo-identity.json'))
  const ory = await startOry(t)
  assert.equal((await run({ BASE_URL: ory.url })).code, 0) // the demo identity
  const { identifier, password } = JSON.parse(ory.seen[1]?.body ?? '')
  assert.deepEqual([identifier, password], [traits.email, held.password.config.password])
})

test('.env.example cannot be used before it is filled in', async () => {
  const example = parseDotenv(read('.env.example'))
  assert.deepEqual(Object.keys(example), ['BASE_URL', 'IDENT', 'PASS'])
  assert.match(read('.env.example'), /^PASS='.*'$/m)
  const { code, stderr } = await run(example)
  assert.equal(code, 2)
  assert.match(stderr, /placeholder/)
})

test('every option, variable and exit code of --help is in the README', async () => {
  const { stdout } = await run({}, '--help')
  for (const [, code] of stdout.matchAll(/^ {2}(\d) /gm)) assert.ok(readme.includes(`\n| ${code} `))
  for (const [option] of stdout.matchAll(/ --[a-z]+/g))
    assert.ok(readme.includes(option.trim()), option)
  for (const [name] of stdout.matchAll(/\b[A-Z]+_[A-Z_]+\b/g))
    assert.ok(readme.includes(name), name)
})

const ANY_ID = /[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[\da-f]{4}-[\da-f]{12}/
/** What differs from run to run is made the same. */
const still = (text: string, url = 'http://127.0.0.1:4433'): string =>
  text
    .replaceAll(url, 'http://127.0.0.1:4433')
    .replace(RegExp(`x-request-id ${ANY_ID.source}`, 'g'), 'x-request-id and its value')

test('the output that the README shows is what the program prints', async (t) => {
  assert.ok(readme.includes(TWO_LINES.replace(/^(?=.)/gm, '    ')))
  const unset = await run({ IDENT: 'a', PASS: '' })
  const wrong = await login(t, recorded('wrong-password'))
  for (const [stderr, url] of [[unset.stderr], [wrong.stderr, wrong.ory.url]])
    assert.ok(
      still(readme).includes(still(String(stderr).replace(/^(?=.)/gm, '    '), url)),
      stderr,
    )
})

test('every field of --json is in the README', async (t) => {
  const refused = await login(t, recorded('wrong-password'), {}, '--json')
  for (const { stdout } of [
    await login(t, {}, {}, '--json'),
    refused,
    await run({}, '--x', '--json'),
  ])
    for (const key of Object.keys(JSON.parse(stdout))) assert.ok(readme.includes(`\`${key}\``), key)
})

test('the test identity of the README is one that Ory can import', () => {
  const identity = JSON.parse(block('json', 'schema_id'))
  const { traits, credentials } = JSON.parse(read('test/kratos/demo-identity.json'))
  assert.deepEqual(Object.keys(identity.traits), Object.keys(traits))
  assert.deepEqual(Object.keys(identity.credentials), Object.keys(credentials))
  assert.ok(readme.includes(`IDENT=${identity.traits.email} `))
})

test('there is one file in src, and two runtime packages', () => {
  assert.deepEqual(readdirSync(new URL('../src', import.meta.url)), ['ory-login.ts'])
  assert.deepEqual(Object.keys(dependencies), ['dotenv', 'undici'])
})

// Recipes are for a shell.
if (process.platform !== 'win32')
  describe('the recipes of the README', () => {
    const SHELLS = [['/bin/sh'], ['bash', '-e'], ['bash', '-eo', 'pipefail']] as const
    /** Runs a script where `node`, `page` and `sleep` are these, and nothing else is found. */
    const runScript = (
      script: string,
      commands: Record<string, string>,
      [shell, ...options]: readonly [string, ...string[]] = SHELLS[0],
    ) => {
      const cwd = folder()
      const bin = folder()
      for (const [name, body] of Object.entries(commands))
        writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 })
      writeFileSync(join(cwd, '.env'), '')
      const text = script.replaceAll('/srv/ory-login', `'${cwd}'`).replace('/usr/local/bin:', '')
      const path = `PATH=${[bin, '/nowhere'].map((each) => `'${each}'`).join(delimiter)}\n`
      const ran = spawnSync(shell, [...options, '-c', path + text], { cwd, encoding: 'utf8' })
      const log = existsSync(join(cwd, 'login.log'))
        ? readFileSync(join(cwd, 'login.log'), 'utf8')
        : ''
      return { status: ran.status, stdout: ran.stdout, log }
    }
    const check = block('sh', 'sleep 300')
    const page = 'echo "page: $*"'
    const usual = {
      page,
      alive: 'echo alive',
      sleep: 'echo "sleep $*"',
      date: 'echo today',
      ls: '[ -e "$1" ]',
    }
    const runCheck = (node: string) => runScript(check, { ...usual, node })

    test('the check on a schedule: green is logged, and anything but 0 pages someone', () => {
      const log = 'today exit code 0\n'
      assert.deepEqual(runCheck('exit 0'), { status: 0, stdout: 'alive\n', log })
      for (const [code, says] of [
        [1, /^page: .*does not work: exit code 1\b.*\n$/],
        [2, /^page: .*does not work: exit code 2\b.*\n$/],
        [3, /^page: .*unable to log in, or the test identity.*\n$/],
        [4, /^sleep 300\npage: .*no usable answer.*\n$/],
        [13, /^page: .*does not work: exit code 13\b.*\n$/],
        [137, /^page: .*does not work: exit code 137\b.*\n$/],
      ] as const) {
        const { status, stdout, log } = runCheck(`echo why >&2; exit ${code}`)
        assert.equal(status, code)
        assert.match(stdout, says)
        assert.match(log, RegExp(`^why\ntoday exit code ${code}\n`))
      }
    })

    test('the check on a schedule: a bad minute alone pages nobody', () => {
      const once = 'if [ -e tried ]; then exit 0; fi; : >tried; exit 4'
      const { status, stdout, log } = runCheck(once)
      assert.deepEqual([status, stdout], [0, 'sleep 300\nalive\n'])
      assert.equal(log, 'today exit code 4\ntoday exit code 0\n')
    })

    test('the check on a schedule: a missing program, folder or .env pages someone', () => {
      const unset = runScript(check.replace(' .env ', ' gone '), { ...usual, node: 'exit 0' })
      assert.match(unset.stdout, /^page: .*does not work/)
      const { status, stdout } = runScript(check, usual)
      assert.equal(status, 127)
      assert.match(stdout, /^page: .*does not work: exit code 127/)
      const gone = runScript(check.replace('cd /srv', 'cd /nowhere'), { ...usual, node: 'exit 0' })
      assert.match(gone.stdout, /^page: .*does not work/)
    })

    test('after a deployment, 4 alone is tried again, five times at most', () => {
      const script = block('sh', 'for try in')
      for (const shell of SHELLS)
        for (const [code, tries] of [
          [0, 1],
          [1, 1],
          [2, 1],
          [3, 1],
          [4, 5],
        ] as const) {
          const commands = { node: `echo try; exit ${code}`, sleep: 'exit 0' }
          const { status, stdout } = runScript(script, commands, shell)
          assert.deepEqual([status, stdout], [code, 'try\n'.repeat(tries)])
        }
    })

    test('the exit code survives jq, in the shells of CI too, and Prometheus gets it', () => {
      const script = block('sh', 'jq -r').replaceAll('/var/lib/node_exporter/', '')
      const mv = '[ "$2" = ory_login.prom ] && while read -r line; do echo "prom $line"; done <"$1"'
      for (const shell of SHELLS)
        for (const code of [0, 1, 2, 3, 4]) {
          const jq = 'while read -r line; do echo "jq $line"; done <"$3"'
          const commands = { node: `echo '{"ok":true}'; exit ${code}`, mv, jq }
          const { status, stdout } = runScript(script, commands, shell)
          const told = `prom ory_login_exit_code ${code}\njq {"ok":true}\n`
          assert.deepEqual([status, stdout], [code, told])
        }
    })
  })
