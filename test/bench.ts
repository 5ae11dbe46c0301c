/**
 * `npm run bench`: the whole process, this program against the bare sketch of the same requests, in turn, under the same
 * launcher, against the stand-in: at no distance, and at a round trip of 50 ms with TLS. Only the ratios mean something.
 */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { createServer, connect as dial, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { certify } from './certificates.ts'
import { IDENT, PASS, PROGRAM, program, TSX } from './harness.ts'
import { replay, standIn } from './stand-in.ts'

const ROUNDS = Number(process.argv[2] ?? 15)
const ROUND_TRIP_MS = 50
const SKETCH = fileURLToPath(new URL('sketch.ts', import.meta.url))
/** Tells the peak memory of a process as it ends, on stderr. */
const TELL_PEAK = `data:text/javascript,process.on('exit',()=>console.error('peak',process.resourceUsage().maxRSS))`

/** A relay that is as far away as the round trip says: a TCP handshake takes a whole one, bytes half of it each way. */
async function relay(port: number): Promise<{ port: number; server: Server }> {
  const pass = (from: Socket, to: Socket) => {
    from.on('data', (bytes) => setTimeout(() => to.write(bytes), ROUND_TRIP_MS / 2))
    from.on('close', () => setTimeout(() => to.destroy(), ROUND_TRIP_MS / 2))
    from.on('error', () => to.destroy())
  }
  const server = createServer({ pauseOnConnect: true, noDelay: true }, (near) => {
    const far = dial({ port, host: '127.0.0.1', noDelay: true })
    pass(near, far)
    pass(far, near)
    setTimeout(() => near.resume(), ROUND_TRIP_MS)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return { port: typeof address === 'object' && address ? address.port : 0, server }
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

/** Runs both in turn, and prints medians, ratios, connections and requests. */
async function compare(title: string, env: Record<string, string>, counts: () => [number, number]): Promise<void> {
  const start = (name: string, file: string) => ({
    name,
    file,
    ms: [] as number[],
    peak: [] as number[],
    connections: 0,
    requests: 0,
  })
  const [ours, sketch] = [start('ory-login', PROGRAM), start('sketch', SKETCH)]
  for (let round = -1; round < ROUNDS; round++) {
    for (const contender of [ours, sketch]) {
      const [connections, requests] = counts()
      const command = ['--import', TELL_PEAK, '--import', TSX, contender.file]
      const { code, stdout, stderr, ms } = await program({ IDENT, PASS, ...env }, [], { command })
      if (code !== 0 || !stdout.startsWith('token: ')) throw new Error(`${contender.name} failed: ${stderr}`)
      if (round < 0) continue // the first fills tsx's cache
      contender.ms.push(ms)
      contender.peak.push(Number(/peak (\d+)/.exec(stderr)?.[1]) / 1024)
      contender.connections = counts()[0] - connections
      contender.requests = counts()[1] - requests
    }
  }
  console.log(`${title}, median of ${ROUNDS} runs each:`)
  for (const { name, ms, peak, connections, requests } of [ours, sketch]) {
    const figures = `${median(ms).toFixed(0)} ms, peak ${median(peak).toFixed(0)} MiB`
    console.log(`  ${name.padEnd(9)}  ${figures}, ${connections} connection(s), ${requests} requests`)
  }
  const ratio = (of: 'ms' | 'peak') => (median(ours[of]) / median(sketch[of])).toFixed(2)
  console.log(`  ratio      time ${ratio('ms')}, memory ${ratio('peak')}`)
}

const near = await standIn(replay('success'))
await compare('no distance', { BASE_URL: near.url }, () => [near.connections(), near.seen.length])
await near.close()

const authority = certify({ name: 'An authority of the benchmark', isAuthority: true })
const folder = mkdtempSync(join(tmpdir(), 'ory-login bench '))
writeFileSync(join(folder, 'ca.pem'), authority.cert)
const far = await standIn(replay('success'), certify({}, authority))
const { port, server } = await relay(Number(new URL(far.url).port))
const env = { BASE_URL: `https://127.0.0.1:${port}`, NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') }
await compare(`TLS at ${ROUND_TRIP_MS} ms round trip`, env, () => [far.connections(), far.seen.length])
server.close()
await far.close()
