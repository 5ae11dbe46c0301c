/** The action for other repositories: its scripts are run as GitHub runs them. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { parse } from 'yaml'
import { VERSION } from '../src/ory-login.ts'
import type { Answer, Outcome, Step, Variables } from './harness.ts'
import {
  at,
  credentials,
  folder,
  program,
  ROOT,
  recorded,
  startOry,
  TSX,
  TWO_LINES,
} from './harness.ts'

const GITHUB_ACTION_PATH = join(ROOT, '.github/actions/login')

interface ActionStep {
  uses?: string
  with?: object
  run?: string
  shell?: string
  env?: Variables
}
interface Action {
  inputs: Record<string, { description: string; default?: string }>
  outputs: Record<string, { description: string; value: string }>
  runs: { using: string; steps: ActionStep[] }
}
const { inputs, outputs, runs }: Action = parse(
  readFileSync(join(GITHUB_ACTION_PATH, 'action.yml'), 'utf8'),
)
const scripts = runs.steps.filter(({ run }) => run)

/** Where the scripts find node, which may need tsx, and an npm that says what it was asked for. */
const BIN = folder()
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const runsTypes = major > 22 || (major === 22 && minor >= 18)
const node = `exec '${process.execPath}' ${runsTypes ? '' : `--import '${TSX}'`} "$@"`
for (const [name, line] of Object.entries({ node, npm: 'echo "npm $* in $PWD"' }))
  writeFileSync(join(BIN, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 })

/** Runs the action in a repository of other people, whose files must not matter. */
async function runAction(t: TestContext, answers: Partial<Record<Step, Answer>>, given: Variables) {
  const { BASE_URL = '', IDENT = '', PASS = '' } = credentials(await startOry(t, at(answers)))
  const values: Variables = { 'base-url': BASE_URL, ident: IDENT, pass: PASS, ...given }
  const fill = (text: string) =>
    text.replace(/\$\{\{ inputs\.(\S+) \}\}/g, (_, name) =>
      String(values[name] ?? inputs[name]?.default),
    )
  const cwd = folder('BASE_URL=http://127.0.0.1:1\nIDENT=theirs\nPASS=theirs\n')
  writeFileSync(join(cwd, '--version'), '')
  const scratch = folder()
  const file = join(scratch, 'script.sh')
  const github = {
    PATH: [BIN, process.env.PATH].join(delimiter),
    GITHUB_ACTIONS: 'true',
    GITHUB_ACTION_PATH,
    GITHUB_OUTPUT: join(scratch, 'output'),
  }
  const command = ['bash', '--noprofile', '--norc', '-eo', 'pipefail', file]
  const outcomes: Outcome[] = []
  for (const { run = '', env = {} } of scripts) {
    writeFileSync(file, run)
    const filled = Object.entries(env).map(([name, text]) => [name, fill(text)])
    const variables = { ...github, ...Object.fromEntries(filled) }
    outcomes.push(await program(variables, [], { command, cwd }))
  }
  assert.deepEqual(readdirSync(cwd).sort(), ['--version', '.env'])
  return { outcomes, output: readFileSync(github.GITHUB_OUTPUT, 'utf8') }
}

const NO_INPUTS = { 'base-url': '', ident: '', pass: '' }
const SHELL_CODE = '--logout; touch pwned $(touch pwned2)'
// biome-ignore format: a table
const RUNS: [what: string, Partial<Record<Step, Answer>>, given: Variables,
  code: number, stdout: string, stderr: RegExp][] = [
  ['a verified login', {}, {}, 0, TWO_LINES, /^$/],
  ['several options', {}, { options: '--timeout 9  --version' }, 0, `${VERSION}\n`, /^$/],
  ['a refused login', recorded('wrong-password'), {}, 3, '', /^::error .*400 4000006/m],
  ['no secrets', {}, { ident: '', pass: '' }, 2, '', /^::error .*IDENT and PASS are .* empty/m],
  ['no inputs', {}, NO_INPUTS, 2, '', /^::error .*BASE_URL.* empty/m],
  ['an option like shell code', {}, { options: SHELL_CODE }, 2, '', /^::error .*argument 1/m],
  ['an option like a file name', {}, { options: '--logout --v*' }, 2, '', /^::error .*argument 2/m],
]
// A runner with Windows has bash from Git, but no commands without an ending, as in BIN.
if (process.platform !== 'win32')
  describe('the action', { concurrency: 4 }, () => {
    for (const [what, answers, given, code, stdout, stderr] of RUNS)
      test(`${what}: exit code ${code}, which is an output too`, async (t) => {
        const { outcomes, output } = await runAction(t, answers, given)
        const [install, login = assert.fail()] = outcomes
        assert.equal(install?.stdout, `npm ci --omit=dev --no-audit --no-fund in ${ROOT}\n`)
        assert.deepEqual([login.code, login.stdout, output], [code, stdout, `exit-code=${code}\n`])
        assert.match(login.stderr, stderr)
      })
  })

test('no input gets into the text of a script', () => {
  assert.equal(scripts.length, 2)
  for (const { run, shell } of scripts) {
    assert.equal(shell, 'bash')
    assert.doesNotMatch(run ?? '', /\$\{\{|eval/)
  }
})

test('every input and output is described, and --logout is the default', () => {
  const names = [Object.keys(inputs), Object.keys(outputs)].flat()
  assert.deepEqual(names, ['base-url', 'ident', 'pass', 'options', 'exit-code'])
  for (const { description } of Object.values({ ...inputs, ...outputs }))
    assert.match(description, /\w{3}/)
  assert.equal(inputs.options?.default, '--logout')
  assert.equal(outputs['exit-code']?.value, `\${{ steps.login.outputs.exit-code }}`)
})

test('Node.js is set up for a caller with any package manager', () => {
  const [{ uses, with: options } = assert.fail()] = runs.steps
  assert.match(uses ?? '', /^actions\/setup-node@[0-9a-f]{40}$/)
  assert.deepEqual(options, { 'node-version': 24, 'package-manager-cache': false })
})
