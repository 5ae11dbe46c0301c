/** The built file and the package, as people get them: one file that needs no other. */
import assert from 'node:assert/strict'
import { execSync } from 'node:child_process'
import { copyFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { Answer, Step } from './harness.ts'
import { at, credentials, folder, program, ROOT, recorded, startOry, TWO_LINES } from './harness.ts'

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const MANIFEST = JSON.parse(read('package.json'))

// This builds the file as well: npm runs prepack first.
const [PACKAGE] = JSON.parse(
  execSync('npm pack --dry-run --json', { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' }),
)
const BUILT = read('dist/ory-login.mjs')
const ALONE = folder()
copyFileSync(join(ROOT, 'dist/ory-login.mjs'), join(ALONE, 'ory-login.mjs'))

// biome-ignore format: a table
const RUNS: [what: string, Partial<Record<Step, Answer>>, args: string[],
  code: number, stdout: RegExp, stderr: RegExp][] = [
  ['a verified login', {}, [], 0, RegExp(`^${TWO_LINES}$`), /^$/],
  ['a refused login', recorded('wrong-password'), [], 3, /^$/, / got {7}400 4000006: The provided/],
  ['--json', {}, ['--json', '--logout'], 0, /^\{"ok":true,.*"logged_out":true,.*\}\n$/, /^$/],
  ['--help', {}, ['--help'], 0, /^Usage: /, /^$/],
  ['--version', {}, ['--version'], 0, RegExp(`^${MANIFEST.version}\n$`), /^$/],
]
describe('the built file, alone in a folder', { concurrency: 4 }, () => {
  for (const [what, steps, args, code, stdout, stderr] of RUNS)
    test(`${what}: exit code ${code}`, async (t) => {
      const command = [process.execPath, 'ory-login.mjs']
      const env = credentials(await startOry(t, at(steps)))
      const outcome = await program(env, args, { command, cwd: ALONE })
      assert.equal(outcome.code, code, outcome.stderr)
      assert.match(outcome.stdout, stdout)
      assert.match(outcome.stderr, stderr)
    })
})

test('the built file fits into a ConfigMap of Kubernetes', () => {
  assert.ok(Buffer.byteLength(BUILT) < 2 ** 20)
})

test('the built file can be started as a command', () => {
  assert.ok(BUILT.startsWith('#!/usr/bin/env node\n'))
})

for (const name of Object.keys(MANIFEST.dependencies))
  test(`the built file names the licence of ${name}, and who holds its copyright`, () => {
    const { license } = JSON.parse(read(`node_modules/${name}/package.json`))
    const [copyright = assert.fail()] =
      /^Copyright .*/m.exec(read(`node_modules/${name}/LICENSE`)) ?? []
    assert.ok(BUILT.includes(`${name} (${license}, ${copyright})`))
  })

test('the package is the built file, its manifest and the README', () => {
  const files = PACKAGE.files.map(({ path }: { path: string }) => path)
  assert.deepEqual(files, ['README.md', MANIFEST.bin['ory-login'], 'package.json'])
})

test('npm warns of no install script: each package that has one is named in allowScripts', () => {
  const { packages } = JSON.parse(read('package-lock.json'))
  const names = Object.keys(packages).filter((name) => packages[name].hasInstallScript)
  const allowed = Object.keys(MANIFEST.allowScripts).map((name) => `node_modules/${name}`)
  assert.deepEqual(names, allowed)
})
