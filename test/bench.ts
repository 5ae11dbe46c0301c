/**
 * `npm run bench`: the whole process, this program against the bare sketch of the same requests, in
 * turn and under the same launcher, against a stand-in: at no distance, at a round trip of 50 ms
 * with TLS, and by plain node where node can. Then the way of a CI step, from `npm ci` to the
 * verdict, with and without the development packages. Only the ratios mean something.
 *
 * What it printed on two cores, ory-login to the sketch, at no distance and with TLS at 50 ms:
 * time 1.08 and 1.04, memory 0.79 and 0.92 with Node 20.20; time 1.18 and 0.85, memory 1.17 and
 * 1.03 with Node 24.21; one connection to two, three requests to three. With Node 24.21, plain node
 * to tsx: time 0.91; with NODE_COMPILE_CACHE to without: time 0.73.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, writeFileSync } from 'node:fs'
import { createServer, connect as dial, type Socket } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { certify } from './certificates.ts'
import {
  credentials,
  folder,
  type Ory,
  PROGRAM,
  program,
  startOry,
  TSX,
  type Variables,
} from './harness.ts'

const ROUNDS = Number(process.argv[2] ?? 15)
const ROUND_TRIP_MS = 50
const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SKETCH = fileURLToPath(new URL('sketch.ts', import.meta.url))
/** Tells the peak memory of a process as it ends, on stderr. */
const TELL_PEAK =
  'data:text/javascript,process.on("exit",()=>console.error("peak",process.resourceUsage().maxRSS))'

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
  const server = createServer({ pauseOnConnect: true, noDelay: true }, (near) => {
    const far = dial({ port: to, host: '127.0.0.1', noDelay: true })
    pass(near, far)
    pass(far, near)
    setTimeout(() => near.resume(), ROUND_TRIP_MS)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const address = server.address()
  return typeof address === 'object' && address ? address.port : 0
}

/** Runs each way in turn, and prints its medians, and the ratio of the first to the second. */
type Way = { command: string[]; env?: Variables }
async function compare(title: string, ory: Ory, env: Variables, ways: Record<string, Way>) {
  const figures = Object.keys(ways).map((name) => ({ name, ms: [0], peak: [0], wire: '' }))
  for (let round = -1; round < ROUNDS; round++) {
    for (const figure of figures) {
      const [contacts, seen] = [ory.contacts.length, ory.seen.length]
      const way = ways[figure.name] ?? { command: [] }
      const command = [process.execPath, '--import', TELL_PEAK, ...way.command]
      const all = { ...credentials(ory), ...env, ...way.env }
      const { code, stdout, stderr, ms } = await program(all, [], { command })
      if (code !== 0 || !stdout.startsWith('token: ')) throw new Error(`${figure.name}: ${stderr}`)
      const peak = Number(/peak (\d+)/.exec(stderr)?.[1]) / 1024
      // The first round fills the caches.
      const [times, peaks] = round < 0 ? [[], []] : [figure.ms, figure.peak]
      Object.assign(figure, { ms: [...times, ms], peak: [...peaks, peak] })
      const [dials, asked] = [ory.contacts.length - contacts, ory.seen.length - seen]
      figure.wire = `${dials} connection(s), ${asked} requests`
    }
  }
  console.log(`${title}, median of ${ROUNDS} runs each:`)
  for (const { name, ms, peak, wire } of figures)
    console.log(
      `  ${name.padEnd(15)} ${median(ms).toFixed(0)} ms, ${median(peak).toFixed(0)} MiB, ${wire}`,
    )
  const [one, other] = figures
  const ratio = (of: 'ms' | 'peak') =>
    (median(one?.[of] ?? []) / median(other?.[of] ?? [])).toFixed(2)
  console.log(`  ratio           time ${ratio('ms')}, memory ${ratio('peak')}`)
}

const tsx = (file: string): Way => ({ command: ['--import', TSX, file] })
const near = await startOry(t)
await compare('no distance', near, {}, { 'ory-login': tsx(PROGRAM), sketch: tsx(SKETCH) })

const authority = await certify({ name: 'An authority of the benchmark', isAuthority: true })
const trust = join(folder(), 'authority.pem')
writeFileSync(trust, authority.cert)
const far = await startOry(t, undefined, await certify({}, authority))
const distant = {
  BASE_URL: `https://127.0.0.1:${await relay(far.port)}`,
  NODE_EXTRA_CA_CERTS: trust,
}
const title = `TLS at a round trip of ${ROUND_TRIP_MS} ms`
await compare(title, far, distant, { 'ory-login': tsx(PROGRAM), sketch: tsx(SKETCH) })

if (Reflect.get(process.features, 'typescript')) {
  const plain = { command: [PROGRAM] }
  const cached = { ...plain, env: { NODE_COMPILE_CACHE: folder() } }
  await compare('plain node', near, {}, { 'plain node': plain, 'through tsx': tsx(PROGRAM) })
  await compare('compile cache', near, {}, { 'with a cache': cached, without: plain })
  // With a warm cache, as a CI job has it that restores the one of npm.
  const install = (args: string[]) => {
    const copy = folder()
    for (const path of ['package.json', 'package-lock.json', 'src'])
      cpSync(join(ROOT, path), join(copy, path), { recursive: true })
    execFileSync('npm', ['ci', ...args], { cwd: copy, stdio: 'ignore' })
    return copy
  }
  console.log('installing, with and without development packages, which takes a while')
  const times: Record<string, number> = {}
  for (const args of [['--omit=dev'], []]) {
    install(args)
    const began = performance.now()
    const copy = install(args)
    const run = args.length > 0 ? ['src/ory-login.ts'] : ['--import', 'tsx/esm', 'src/ory-login.ts']
    await program(credentials(near), [], { command: [process.execPath, ...run], cwd: copy })
    times[['npm ci', ...args].join(' ')] = performance.now() - began
  }
  console.log('from nothing to the verdict:', times)
}
for (const end of ends) end()
