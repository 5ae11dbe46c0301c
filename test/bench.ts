/**
 * `npm run bench`: whole processes from start to end, against a stand-in: the one file that people
 * carry, the source, and curl with jq in its place. Only ratios mean something.
 * On Node 20.20, it took 0.54 of the source's time and 2.5 of curl's; over TLS at a round
 * trip of 50 ms, 0.63 and 0.99
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { connect as dial, type Socket } from 'node:net'
import { join } from 'node:path'
import { certify } from './certificates.ts'
import type * as harness from './harness.ts'
import { credentials, folder, PROGRAM, ROOT, runChild, startOry, startRaw, TSX } from './harness.ts'

const ROUNDS = Number(process.argv[2] ?? 15)
const ROUND_TRIP_MS = 50
const BUILT = join(ROOT, 'dist/ory-login.mjs')
/** The same with curl and jq: three processes, and three connections. */
const CURL = `
ask() { curl -s --cacert "$NODE_EXTRA_CA_CERTS" "$@"; }
flow=$(ask "$BASE_URL/self-service/login/api" | jq -r .id)
body=$(jq -n '{method: "password", identifier: env.IDENT, password: env.PASS}')
token=$(ask "$BASE_URL/self-service/login?flow=$flow" --json "$body" | jq -r .session_token)
echo "token: $token"
ask "$BASE_URL/sessions/whoami" -H "X-Session-Token: $token" | jq -r .identity.id`

const ends: (() => unknown)[] = []
const t = { after: (end: () => unknown) => ends.push(end) }
const median = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

/** A relay that is as far away as the round trip says: a handshake takes one, bytes half of one. */
async function relay(to: number): Promise<number> {
  const pass = (from: Socket, to: Socket) => {
    from.on('data', (bytes) => setTimeout(() => to.write(bytes), ROUND_TRIP_MS / 2))
    from.on('close', () => setTimeout(() => to.destroy(), ROUND_TRIP_MS / 2))
    from.on('error', () => to.destroy())
  }
  const { port } = await startRaw(t, (near) => {
    const far = dial({ port: to, host: '127.0.0.1', noDelay: true })
    pass(near.setNoDelay().pause(), far)
    pass(far, near)
    setTimeout(() => near.resume(), ROUND_TRIP_MS)
  })
  return port
}

/** Runs each way in turn, and prints its median time, and that in relation to the first. */
async function compare(
  title: string,
  ory: harness.Ory,
  BASE_URL: string,
  ways: Record<string, string[]>,
) {
  const env = { ...credentials(ory), BASE_URL, NODE_EXTRA_CA_CERTS: TRUST }
  const figures = Object.entries(ways).map(([name, command]) => ({ name, command, ms: [0] }))
  console.log(`${title}, median of ${ROUNDS} runs each:`)
  // The first round fills the caches.
  for (let round = -1; round < ROUNDS; round++)
    for (const figure of figures) {
      const { command } = figure
      const began = performance.now()
      const { code, stdout, stderr } = await runChild(env, [], { command })
      const ms = performance.now() - began
      if (code !== 0 || !stdout.startsWith('token: ')) throw new Error(`${figure.name}: ${stderr}`)
      figure.ms = round < 0 ? [] : [...figure.ms, ms]
    }
  const first = median(figures[0]?.ms ?? [])
  for (const { name, ms } of figures) {
    const [all, ratio] = [median(ms).toFixed(0), (first / median(ms)).toFixed(2)]
    console.log(`  ${name.padEnd(24)} ${all} ms; the one file takes ${ratio} of it`)
  }
}

execFileSync('npm', ['run', 'build'], { cwd: ROOT, stdio: 'ignore' })
const authority = await certify({ name: 'An authority of the benchmark', isAuthority: true })
const TRUST = join(folder(), 'authority.pem')
writeFileSync(TRUST, authority.cert)
const [node, through] = [process.execPath, [process.execPath, '--import', TSX]]
const has = (name: string) => spawnSync(name, ['--version']).status === 0
const ways = {
  'the one file': [node, BUILT],
  'the source through tsx': [...through, PROGRAM],
  ...(has('curl') && has('jq') && { 'curl with jq': ['sh', '-c', CURL] }),
}
const near = await startOry(t)
await compare('no distance', near, near.url, ways)
const far = await startOry(t, undefined, await certify({}, authority))
const distant = `https://127.0.0.1:${await relay(far.port)}`
await compare(`TLS at a round trip of ${ROUND_TRIP_MS} ms`, far, distant, ways)
for (const end of ends) end()
