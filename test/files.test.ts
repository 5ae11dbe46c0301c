/** What README, action, workflow, Compose file and package say is what is there, and runs. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parse as parseDotenv } from 'dotenv'
import { parse as parseYaml } from 'yaml'
import { folder, login, ROOT, read, recorded, run, STEPS, startOry, TWO_LINES } from './harness.ts'

const MANIFEST = JSON.parse(read('package.json'))
const README = read('README.md')
const CI = read('.github/workflows/ci.yml')
const CONTRIBUTING = read('.github/CONTRIBUTING.md')
const workflow = parseYaml(CI)
/** The code block of the README that has a text in it. */
const block = (language: string, part: string): string => {
  const blocks = README.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, 'g'))
  const texts = [...blocks].map(([, text = '']) => text)
  return texts.find((text) => text.includes(part)) ?? assert.fail(part)
}

test('every npm script and every file that a text names is there', () => {
  const texts = [README, CI, CONTRIBUTING, read('.ci/run'), ...Object.values(MANIFEST.scripts)]
  const all = texts.join('\n')
  const scripts = [...all.matchAll(/\bnpm (?:run )?(?:-s )?([a-z]+(?::[a-z]+)?)/g)]
  for (const [, name = ''] of scripts)
    assert.ok(MANIFEST.scripts[name] || /^(ci|publish|pack|run)$/.test(name), name)
  const files = [...all.matchAll(/(?<![\w/])(?:src|test|\.ci)\/[\w./-]*\w/g)]
  for (const [path] of files) assert.ok(existsSync(join(ROOT, path)), path)
  assert.ok(scripts.length > 10 && files.length > 10)
})

test('CI runs .ci/run, also on the oldest Node, and a release alone gets a token', () => {
  const { node } = workflow.jobs.test.strategy.matrix
  assert.ok(CI.includes('run: bash .ci/run') && node.includes(MANIFEST.engines.node.slice(2)))
  type Job = { steps: { uses?: string; run?: string; env?: object }[] }
  const steps = Object.values<Job>(workflow.jobs).flatMap((job) => job.steps)
  for (const { uses = './.' } of steps)
    assert.match(uses, /^(actions\/[a-z-]+@[0-9a-f]{40}|\.\/\..*)$/)
  const withToken = steps.filter(({ env }) => env).map(({ run = '' }) => run)
  assert.equal(withToken.length, 2)
  for (const commands of withToken) assert.match(commands, /^(gh release create|git config)/)
  assert.deepEqual(workflow.permissions, { contents: 'read' })
})

test('the recipes name inputs of the action, and the file as it is built', () => {
  const { inputs, outputs } = parseYaml(read('.github/actions/login/action.yml'))
  const { uses, with: given } = parseYaml(block('yaml', 'uses:')).jobs.login.steps[0]
  const [version] = MANIFEST.version.split('.')
  assert.ok(uses.endsWith(`/ory-login/.github/actions/login@v${version}`))
  for (const name of Object.keys(given)) assert.ok(inputs[name], name)
  assert.ok(outputs['exit-code'] && README.includes('outputs.exit-code'))
  const { spec } = parseYaml(block('yaml', 'CronJob')).spec.jobTemplate.spec.template
  const [{ command, volumeMounts }] = spec.containers
  assert.deepEqual(command, ['node', `${volumeMounts[0].mountPath}/ory-login.mjs`, '--logout'])
  assert.equal(MANIFEST.bin['ory-login'], 'dist/ory-login.mjs')
  assert.ok(README.includes(`/releases/download/v${MANIFEST.version}\n`))
})

test('the README can be read in a terminal', () => {
  const lines = README.trimEnd().split('\n')
  assert.ok(lines.length <= 180, `${lines.length}`)
  for (const line of lines) assert.ok(line.length <= 300, line)
})

test('the Compose file serves Kratos with the demo identity', async (t) => {
  const compose = read('test/kratos/compose.yml')
  const files = `${compose} ${read('test/kratos/kratos.yml')}`.matchAll(
    /config\/kratos\/([\w.-]+)/g,
  )
  for (const [, file = ''] of files) assert.ok(read(`test/kratos/${file}`))
  const { traits, credentials } = JSON.parse(read('test/kratos/demo-identity.json'))
  const ory = await startOry(t)
  assert.equal((await run({ BASE_URL: ory.url, HEADERS: '' })).code, 0)
  const { identifier, password } = JSON.parse(ory.seen[1]?.body ?? '')
  assert.deepEqual([identifier, password], [traits.email, credentials.password.config.password])
})

test('the lines of .env are those of .env.example, which must be filled in', async () => {
  const example = parseDotenv(read('.env.example'))
  const lines = parseDotenv(block('ini', 'BASE_URL'))
  assert.deepEqual({ ...lines, BASE_URL: '' }, { ...example, BASE_URL: '' })
  assert.equal(JSON.parse(block('json', 'schema_id')).traits.email, lines.IDENT)
  assert.equal((await run(example)).code, 2)
})

test('the README shows what is printed; options, variables, codes, fields', async (t) => {
  const { stderr, ory } = await login(t, recorded('wrong-password'))
  const still = (text: string) => text.replace(/x-request-id \S+/g, '').replace(/^ {4}/gm, '')
  const shown = still(stderr.replaceAll(ory.url, 'http://127.0.0.1:4433'))
  for (const text of [shown, TWO_LINES]) assert.ok(still(README).includes(text.trimEnd()), text)
  const steps = Object.values(STEPS).map(({ method, path }) => `>>Ory: ${method} ${path}`)
  for (const step of steps) assert.ok(README.includes(step), step)
  const { stdout: help } = await run({}, '--help')
  const words = [...help.matchAll(/ --[a-z]+|\b[A-Z]+_[A-Z_]+\b|HEADERS|^ {2}\d /gm)]
  for (const [word] of words)
    assert.ok(README.includes(/\d/.test(word) ? `| ${word.trim()} |` : word.trim()), word)
  const outcomes = [
    await login(t, {}, {}, '--json'),
    await login(t, recorded('wrong-password'), {}, '--json'),
  ]
  for (const { stdout } of outcomes)
    for (const name of Object.keys(JSON.parse(stdout)))
      assert.ok(README.includes(`\`${name}\``), name)
})

test('one file in src, two runtime packages, no install script that npm asks for', () => {
  assert.deepEqual(readdirSync(join(ROOT, 'src')), ['ory-login.ts'])
  assert.deepEqual(Object.keys(MANIFEST.dependencies), ['dotenv', 'undici'])
  const { packages } = JSON.parse(read('package-lock.json'))
  const scripted = Object.keys(packages).filter((name) => packages[name].hasInstallScript)
  const allowed = Object.keys(MANIFEST.allowScripts).map((name) => `node_modules/${name}`)
  assert.deepEqual(scripted, allowed)
  assert.equal(packages[''].version, MANIFEST.version)
})

// Recipes are for a shell.
describe('the recipes of the README', { skip: process.platform === 'win32' }, () => {
  const SHELLS = [['sh'], ['bash', '-e'], ['bash', '-eo', 'pipefail']]
  /** Runs a script in an empty folder, where `node`, `page` and others are these. */
  function runScript(
    script: string,
    commands: Record<string, string>,
    [shell = '', ...args]: string[],
  ) {
    const [cwd, bin] = [folder(''), folder()]
    const usual = { page: 'echo "page: $*"', alive: 'echo alive', sleep: 'echo "sleep $1"' }
    for (const [name, body] of Object.entries({ ...usual, ...commands }))
      writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 })
    const text = script.replaceAll(/\/srv\/ory-login|\/var\/lib\/node_exporter/g, `'${cwd}'`)
    const path = `${bin}:${process.env.PATH}`
    const here = text.replace('PATH=/usr/local/bin:$PATH', '')
    const options = { cwd, encoding: 'utf8', env: { PATH: path } } as const
    const { status, stdout } = spawnSync(shell, [...args, '-c', here], options)
    const file = (name: string) => {
      const where = join(cwd, name)
      return existsSync(where) ? readFileSync(where, 'utf8') : ''
    }
    return { status, stdout, file }
  }
  const failing = (code: number) => `echo 'ory-login: error: it is red' >&2; exit ${code}`

  // biome-ignore format: a table
  const CHECKS: readonly [what: string, node: string, status: number, stdout: string][] = [
    ['verified', 'exit 0', 0, 'alive\n'],
    ['1', failing(1), 1, 'page: people may be unable to log in, or BASE_URL is wrong: it is red\n'],
    ['2', failing(2), 2, 'page: the login check does not work (exit code 2): it is red\n'],
    ['3', failing(3), 3,
      'page: people may be unable to log in, or the test identity was changed: it is red\n'],
    ['4', failing(4), 4, 'sleep 300\npage: the login check gets no usable answer: it is red\n'],
    ['a bad minute', 'if [ -e tried ]; then exit 0; fi; : >tried; exit 4', 0, 'sleep 300\nalive\n'],
    ['no node', 'exec /nowhere', 127, 'page: the login check does not work (exit code 127): \n'],
  ]
  for (const [what, node, status, stdout] of CHECKS)
    test(`check.sh: ${what}`, () => {
      const ran = runScript(block('sh', 'sleep 300'), { node }, ['sh'])
      assert.deepEqual([ran.status, ran.stdout], [status, stdout])
      assert.match(ran.file('login.log'), RegExp(`exit code ${status}\n$`))
    })

  test('check.sh: its folder is gone, or has no .env', () => {
    const script = block('sh', 'sleep 300').replace('ls .env', 'ls .gone')
    const { status, stdout } = runScript(script, { node: 'exit 0' }, ['sh'])
    assert.deepEqual([status, stdout], [2, 'page: the login check is not there\n'])
  })

  for (const shell of SHELLS)
    test(`by ${shell.join(' ')}: 1 and 4 are tried again, and jq hides no exit code`, () => {
      const loop = block('sh', 'for try in')
      const prometheus = block('sh', 'jq -r')
      const json = { steps: [{ duration_ms: 1000 }, { duration_ms: 500 }] }
      for (const [code, tries] of [
        [0, 1],
        [1, 5],
        [2, 1],
        [3, 1],
        [4, 5],
      ] as const) {
        const again = runScript(loop, { node: `echo try; exit ${code}`, sleep: '' }, shell)
        assert.deepEqual([again.status, again.stdout], [code, 'try\n'.repeat(tries)])
        const node = `echo '${JSON.stringify(json)}'; exit ${code}`
        const jq = 'echo "ory_login_seconds 1.5"' // the real one may be missing
        const told = runScript(prometheus, { node, jq }, shell)
        const lines = `ory_login_exit_code ${code}\nory_login_seconds 1.5\n`
        assert.deepEqual([told.status, told.file('ory_login.prom')], [code, lines])
      }
    })
})
