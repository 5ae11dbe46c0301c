/**
 * `npm run bench`: whole processes from start to end, against a stand-in: the one file that people
 * carry, the source, and curl with jq. Only ratios mean something.
 * On Node 20.20, it took half of the source's time, and 2.2 of curl's.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { credentials, PROGRAM, ROOT, runChild, startOry, TSX } from './harness.ts'

const ROUNDS = 15
/** The same with curl and jq: three connections. */
const CURL = `
flow=$(curl -s "$BASE_URL/self-service/login/api" | jq -r .id)
body=$(jq -n '{method: "password", identifier: env.IDENT, password: env.PASS}')
token=$(curl -s "$BASE_URL/self-service/login?flow=$flow" --json "$body" | jq -r .session_token)
echo "token: $token"
curl -s "$BASE_URL/sessions/whoami" -H "X-Session-Token: $token" | jq -r .identity.id`
const has = (name: string) => spawnSync(name, ['--version']).status === 0
const ways = {
  'the one file': [process.execPath, join(ROOT, 'dist/ory-login.mjs')],
  'the source through tsx': [process.execPath, '--import', TSX, PROGRAM],
  ...(has('curl') && has('jq') && { 'curl with jq': ['sh', '-c', CURL] }),
}

execFileSync('npm', ['run', 'build'], { cwd: ROOT, stdio: 'ignore' })
const ends: (() => unknown)[] = []
const ory = await startOry({ after: (end) => ends.push(end) })
const figures = Object.entries(ways).map(([name, command]) => ({ name, command, ms: [0] }))
// Each way in turn; the first round fills the caches.
for (let round = -1; round < ROUNDS; round++)
  for (const figure of figures) {
    const began = performance.now()
    const { code, stdout, stderr } = await runChild(credentials(ory), [], figure)
    const ms = performance.now() - began
    if (code !== 0 || !stdout.startsWith('token: ')) throw new Error(`${figure.name}: ${stderr}`)
    figure.ms = round < 0 ? [] : [...figure.ms, ms]
  }
const median = (values: number[] = []): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
console.log(`The median of ${ROUNDS} runs, and what of it the one file takes:`)
for (const { name, ms } of figures) {
  const ratio = (median(figures[0]?.ms) / median(ms)).toFixed(2)
  console.log(`  ${name.padEnd(24)} ${median(ms).toFixed(0)} ms, ${ratio}`)
}
for (const end of ends) end()
