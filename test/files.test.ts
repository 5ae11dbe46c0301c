/** What the files beside the program say has to be what is there: README, workflow, Compose file, .env.example. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse as parseDotenv } from 'dotenv'
import { parse as parseYaml } from 'yaml'
import { PROGRAM, run } from './harness.ts'
import { replay, standIn } from './stand-in.ts'

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8')
const scripts: Record<string, string> = JSON.parse(read('package.json')).scripts
const readme = read('README.md')
const workflow = parseYaml(read('.github/workflows/ci.yml'))
const compose = parseYaml(read('test/kratos/compose.yml'))
const blocks = (language: string): string[] =>
  [...readme.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, block]) => block ?? '')

interface Step {
  run?: string
  uses?: string
  env?: Record<string, string>
}
const steps = (jobs: Record<string, { steps: Step[] }>): Step[] => Object.values(jobs).flatMap((job) => job.steps)
const npmScripts = (text: string): string[] =>
  [...text.matchAll(/\bnpm (?:run )?(?:-s )?(login|demo|test:live|test|bench|[a-z:]+)\b/g)]
    .map(([, name]) => name ?? '')
    .filter((name) => name !== 'ci')

test('every npm script that README, workflow and .ci/run name is there', () => {
  const named = [readme, read('.github/workflows/ci.yml'), read('.ci/run')].flatMap((text) =>
    npmScripts(text.replace(/With npm, .*/, '')),
  )
  assert.ok(named.length > 8)
  for (const name of named) assert.ok(scripts[name], `npm run ${name}`)
})

test("every file that a script, the workflow or the Compose file names is there, and the README's too", () => {
  const texts = [...Object.values(scripts), readme, read('.github/workflows/ci.yml')].join(' ')
  const paths = [...texts.matchAll(/\b(?:src|test)\/[\w./-]*\w/g)].map(([path]) => path)
  assert.ok(paths.length > 8)
  for (const path of paths) assert.ok(existsSync(new URL(`../${path}`, import.meta.url)), path)
})

test('.ci/run installs cleanly and runs the test command and the demo that the README gives', () => {
  const commands = blocks('sh').join('\n')
  for (const command of ['npm ci && npm run demo', 'npm ci && npm test']) {
    assert.ok(commands.includes(command), command)
    for (const part of command.split(' && ')) assert.match(read('.ci/run'), new RegExp(`^${part}$`, 'm'))
  }
  assert.match(read('.ci/run'), /set -euo pipefail/)
})

test('the workflow tests Node 20, 22 and 24 on Linux, and one of them on macOS and on Windows', () => {
  const { matrix } = workflow.jobs.test.strategy
  assert.deepEqual([matrix.os, matrix.node], [['ubuntu-latest'], [20, 22, 24]])
  assert.deepEqual(
    matrix.include.map(({ os }: { os: string }) => os),
    ['macos-latest', 'windows-latest'],
  )
  for (const { node } of matrix.include) assert.ok(matrix.node.includes(node))
  assert.deepEqual(
    workflow.jobs.test.steps.flatMap((step: Step) => step.run ?? []),
    ['npm ci', 'npm test'],
  )
})

test('the smoke job brings a real Kratos up, imports the identity, logs in, and runs the live tests', () => {
  const commands: string[] = workflow.jobs.smoke.steps.flatMap((step: Step) => step.run ?? [])
  const order = ['npm ci', 'up --detach --wait kratos', 'run --rm import', 'npm run -s login', 'npm run test:live']
  const places = order.map((part) => commands.findIndex((command) => command.includes(part)))
  assert.deepEqual(
    places,
    places.toSorted((a, b) => a - b),
  )
  assert.ok(!places.includes(-1), String(places))
  for (const [, service] of commands.join('\n').matchAll(/compose\.yml (?:up .* |run --rm )(\w+)$/gm))
    assert.ok(compose.services[service ?? ''], service)
})

test('actions are pinned by commit and permissions are read-only, in the workflow and in the README', () => {
  const snippets = blocks('yaml').map((block) => parseYaml(block))
  const readmeSteps = snippets.flatMap((snippet) => (Array.isArray(snippet) ? snippet : steps(snippet.jobs)))
  const used = [...steps(workflow.jobs), ...readmeSteps].flatMap((step: Step) => step.uses ?? [])
  assert.ok(used.length >= 6)
  for (const action of used) assert.match(action, /^actions\/[a-z-]+@[0-9a-f]{40}$/)
  assert.deepEqual(workflow.permissions, { contents: 'read' })
})

test("the README's CI steps give the three variables from the repository, never a literal", () => {
  const snippets = blocks('yaml').map((block) => parseYaml(block))
  const all: Step[] = snippets.flatMap((snippet) => (Array.isArray(snippet) ? snippet : steps(snippet.jobs)))
  const logins = all.filter((step) => step.run?.includes('npm run -s login'))
  assert.equal(logins.length, 2)
  for (const { env = {} } of logins) {
    assert.deepEqual(Object.keys(env).sort(), ['BASE_URL', 'IDENT', 'PASS'])
    for (const value of Object.values(env)) assert.match(value, /^\$\{\{ (vars|secrets)\.\w+ \}\}$/)
  }
})

test('the Compose file serves Kratos v26.2.0 on loopback with the demo identity that the defaults name', async () => {
  const { kratos, import: importer } = compose.services
  assert.deepEqual([kratos.image, importer.image], ['oryd/kratos:v26.2.0', 'oryd/kratos:v26.2.0'])
  assert.deepEqual(kratos.ports, ['127.0.0.1:4433:4433', '127.0.0.1:4434:4434'])
  assert.deepEqual(kratos.healthcheck.test.slice(0, 4), ['CMD', 'kratos', 'remote', 'status'])
  assert.equal(importer.depends_on.kratos.condition, 'service_healthy')
  const mounted = '/etc/config/kratos'
  for (const { volumes } of [kratos, importer]) assert.deepEqual(volumes, [`.:${mounted}:ro`])
  const named = [kratos.command, importer.command, read('test/kratos/kratos.yml')].join(' ')
  const files = [...named.matchAll(/\/etc\/config\/kratos\/([\w.-]+)/g)].map(([, file]) => file ?? '')
  assert.deepEqual(files.toSorted(), ['demo-identity.json', 'identity.schema.json', 'kratos.yml'])
  for (const file of files) assert.ok(existsSync(new URL(`kratos/${file}`, import.meta.url)), file)

  const identity = JSON.parse(read('test/kratos/demo-identity.json'))
  const ory = await standIn(replay('success'))
  const { code, stderr } = await run({ BASE_URL: ory.url }) // the defaults for the other two
  await ory.close()
  assert.equal(code, 0, stderr)
  const sent = JSON.parse(ory.seen[1]?.body ?? '')
  assert.equal(sent.identifier, identity.traits.email)
  assert.equal(sent.password, identity.credentials.password.config.password)
})

test('.env.example names the three variables and still has its placeholder, so that it cannot be used as it is', async () => {
  const example = parseDotenv(read('.env.example'))
  assert.deepEqual(Object.keys(example), ['BASE_URL', 'IDENT', 'PASS'])
  assert.match(read('.env.example'), /^PASS='.*'$/m)
  const { code, stdout, stderr } = await run(example)
  assert.deepEqual([code, stdout], [2, ''])
  assert.match(stderr, /placeholder/)
})

test('every exit code and option of --help is in the README', async () => {
  const { stdout } = await run({}, '--help')
  for (const [, code] of stdout.matchAll(/^ {2}(\d) /gm)) assert.match(readme, new RegExp(`^\\| ${code} \\|`, 'm'))
  for (const [option] of stdout.matchAll(/--[a-z]+/g)) assert.ok(readme.includes(`\`${option}`), option)
})

test('the output that the README shows for a wrong password is what the program prints', async () => {
  const ory = await standIn(replay('wrong-password'))
  const { stderr } = await run({ BASE_URL: ory.url, IDENT: 'demo@example.com', PASS: 'wrong-password' })
  await ory.close()
  for (const line of stderr.trimEnd().split('\n')) {
    const shown = line.replace(ory.url, 'http://127.0.0.1:4433')
    assert.ok(readme.includes(`    ${shown}\n`), shown)
  }
})

test('the JSON that the README shows has the keys that the program gives', async () => {
  const [success, failure] = (blocks('json')[0] ?? '').trim().split('\n')
  const ory = await standIn(replay('success', 'logout'))
  const good = await run({ BASE_URL: ory.url }, '--json', '--logout')
  const bad = await run({ BASE_URL: ory.url, PASS: 'another password' }, '--json')
  await ory.close()
  const keys = (text: string | undefined) => Object.keys(JSON.parse(text ?? ''))
  assert.deepEqual(keys(success), keys(good.stdout))
  assert.deepEqual(keys(failure), keys(bad.stdout))
})

test('there is one file in src, and the top level holds nothing that the design card does not name', () => {
  assert.deepEqual(readdirSync(new URL('.', `file://${PROGRAM.replaceAll('\\', '/')}`)), ['ory-login.ts'])
  const { dependencies } = JSON.parse(read('package.json'))
  assert.deepEqual(Object.keys(dependencies), ['dotenv', 'undici'])
})
