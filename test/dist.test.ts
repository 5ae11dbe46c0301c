/** The built file, alone in a folder, and the package. */
import assert from 'node:assert/strict'
import { execSync } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { authority, certify, TRUST } from './certificates.ts'
import * as harness from './harness.ts'

const { credentials, errorOf, ROOT, runChild, startOry, TWO_LINES } = harness
const npm = (command: string) => execSync(`npm ${command}`, { cwd: ROOT, stdio: 'pipe' })
npm('run build')
const cwd = harness.folder()
copyFileSync(join(ROOT, 'dist/ory-login.mjs'), join(cwd, 'a.mjs'))
const command = [process.execPath, 'a.mjs']
const VERSIONS = "{value:{...process.versions,node:'20.18.0'}}"
const OLD = `--import=data:text/javascript,Object.defineProperty(process,'versions',${VERSIONS})`

// biome-ignore format: a table
const RUNS: [code: number, error: RegExp, harness.Steps, NODE_OPTIONS?: string][] = [
  [0, /^$/, {}], [2, /^Node.js 20.18.1 or later is needed/, {}, OLD],
  [3, /^wrong password/, harness.recorded('wrong-password')],
  [4, /^the connection was cut/, { start: harness.cut() }],
  [1, /or is too large/, { start: harness.answer(200, Buffer.alloc(2 ** 21, ' ')) }],
]
describe('the built file, alone in a folder', { concurrency: 4 }, () => {
  for (const [code, error, steps, NODE_OPTIONS = ''] of RUNS)
    test(`exit code ${code}: ${error}`, async (t) => {
      const env = { ...credentials(await startOry(t, harness.at(steps))), NODE_OPTIONS }
      const outcome = await runChild(env, [], { command, cwd })
      assert.deepEqual([outcome.code, outcome.stdout], [code, code ? '' : TWO_LINES])
      assert.match(errorOf(outcome), error)
    })

  test('through a proxy, with TLS', async (t) => {
    const ory = await startOry(t, harness.at({}), await certify({ name: 'ory.test' }, authority))
    const proxy = await harness.startProxy(t)
    const env = credentials({ url: `https://ory.test:${ory.port}` })
    const proxied = { ...env, ...TRUST, HTTPS_PROXY: proxy.url }
    const { stdout, stderr } = await runChild(proxied, [], { command, cwd })
    assert.deepEqual([stdout, stderr, proxy.heads.length], [TWO_LINES, '', 1])
  })
})

test('it fits into a ConfigMap, begins as a command, and has the licences of its parts', () => {
  const built = harness.read('dist/ory-login.mjs')
  assert.ok(built.length < 2 ** 20 && built.startsWith('#!/usr/bin/env node\n'))
  for (const name of Object.keys(JSON.parse(harness.read('package.json')).dependencies))
    assert.ok(built.includes(harness.read(`node_modules/${name}/LICENSE`).trim()), name)
})

test('the package is the built file, its manifest and the README', () => {
  const [{ files }] = JSON.parse(`${npm('pack --dry-run --json --ignore-scripts')}`)
  const paths = files.map(({ path }: { path: string }) => path)
  assert.deepEqual(paths, ['README.md', 'dist/ory-login.mjs', 'package.json'])
})
