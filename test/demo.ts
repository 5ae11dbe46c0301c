/** `npm run demo`: the real program against a stand-in for Ory, with no network and no settings. */
import { once } from 'node:events'
import { at, start, startOry } from './harness.ts'

const ends: (() => unknown)[] = []
const { url } = await startOry({ after: (end) => ends.push(end) }, at({}))
console.error(`demo: no live Ory: a stand-in at ${url} replays answers of an Ory Kratos v26.2.0`)
const child = start({ BASE_URL: url }, process.argv.slice(2)) // with the demo identity
child.stdout?.pipe(process.stdout)
child.stderr?.pipe(process.stderr)
const [code] = await once(child, 'close')
console.error(`demo: ory-login ended with exit code ${code}`)
for (const end of ends) end()
process.exitCode = Number(code ?? 1)
