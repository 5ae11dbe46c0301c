/** The action for other repositories: its scripts are run as GitHub runs them. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { describe, test } from 'node:test'
import { parse } from 'yaml'
import * as harness from './harness.ts'

const { IDENT, PASS, ROOT, TWO_LINES, folder } = harness
const { inputs, runs } = parse(harness.read('.github/actions/login/action.yml'))
const [setup, install, login] = runs.steps

/** Where the scripts find node, which may need tsx, and an npm that says what it was asked for. */
const BIN = folder()
const tsx = Reflect.get(process.features, 'typescript') ? '' : `--import '${harness.TSX}'`
const commands = { node: `exec '${process.execPath}' ${tsx} "$@"`, npm: 'echo "npm $* in $PWD"' }
for (const [name, line] of Object.entries(commands))
  writeFileSync(join(BIN, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 })

const FULL = { headers: 'a: 1\nB: 2', options: '--verbose  --logout' }
// biome-ignore format: a table
const RUNS: [what: string, harness.Steps, object, code: number, stdout: string, RegExp][] = [
  ['a login', {}, FULL, 0, TWO_LINES, /HEADERS: a, b\n/],
  ['no secret', {}, { pass: '' }, 2, '', /^::error/m],
  ['a refusal', harness.recorded('wrong-password'), {}, 3, '', /^::error .*400 4000006/m],
  ['shell code', {}, { options: '; touch pwned $(touch pwned2)' }, 2, '', /bad argument/],
  ['a pattern', {}, { options: '--v*' }, 2, '', /bad argument/],
]
// A runner with Windows has bash from Git, but no commands without an ending, as in BIN.
describe('the action', { concurrency: 4, skip: process.platform === 'win32' }, () => {
  for (const isBuilt of [true, false])
    for (const [what, steps, given, code, stdout, stderr] of RUNS)
      test(`${what}, exit code ${code}; with the built file: ${isBuilt}`, async (t) => {
        const [root, cwd] = [folder(), folder("BASE_URL='theirs'\nHEADERS=theirs")]
        symlinkSync(join(ROOT, 'src'), join(root, 'src'))
        for (const path of ['action/at/depth', 'dist'])
          mkdirSync(join(root, path), { recursive: true })
        const built = `console.error('built'); await import('../src/ory-login.ts')`
        if (isBuilt) writeFileSync(join(root, 'dist/ory-login.mjs'), built)
        writeFileSync(join(cwd, '--version'), '') // what a pattern could become

        const { url } = await harness.startOry(t, harness.at(steps))
        const values = { 'base-url': url, ident: IDENT, pass: PASS, ...given }
        const output = join(root, 'output')
        const env: harness.Variables = { GITHUB_ACTIONS: 'true', GITHUB_OUTPUT: output }
        env.GITHUB_ACTION_PATH = join(root, 'action/at/depth')
        env.PATH = [BIN, process.env.PATH].join(delimiter)
        const bash = ['bash', '--noprofile', '--norc', '-eo', 'pipefail', '-c']
        const npm = await harness.runChild(env, [install.run], { command: bash, cwd })
        const asked = `npm ci --omit=dev --no-audit --no-fund in ${root}\n`
        assert.equal(npm.stdout, isBuilt ? '' : asked)

        for (const [name, text] of Object.entries(login.env)) {
          const [, input = ''] = /^\$\{\{ inputs\.(\S+) \}\}$/.exec(String(text)) ?? []
          env[name] = Reflect.get(values, input) ?? inputs[input].default
        }
        const outcome = await harness.runChild(env, [login.run], { command: bash, cwd })
        assert.deepEqual([outcome.code, outcome.stdout, 'HEADERS' in env], [code, stdout, true])
        assert.match(outcome.stderr, stderr)
        assert.equal(outcome.stderr.startsWith('built\n'), isBuilt)
        assert.equal(readFileSync(output, 'utf8'), `exit-code=${code}\n`)
      })
})

test('no input gets into the text of a script; Node.js is set up for any package manager', () => {
  for (const { run } of [install, login]) assert.doesNotMatch(run, /\$\{\{|eval/)
  assert.match(setup.uses, /^actions\/setup-node@[0-9a-f]{40}$/)
  assert.deepEqual(setup.with, { 'node-version': 24, 'package-manager-cache': false })
})
