/** `npm run demo`: the real program against a stand-in for Ory, with no network and no settings. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { PROGRAM, replay, startOry, TSX } from './harness.ts'

const ends: (() => unknown)[] = []
const { url } = await startOry({ after: (end) => ends.push(end) }, replay('success', 'logout'))
console.error(`demo: no live Ory: a stand-in at ${url} replays exchanges of an Ory Kratos v26.2.0`)
const child = spawn(process.execPath, ['--import', TSX, PROGRAM, ...process.argv.slice(2)], {
  env: { ...process.env, BASE_URL: url }, // the demo identity; harness.ts has cleared the rest
  stdio: 'inherit',
})
const [code] = await once(child, 'exit')
console.error(`demo: ory-login ended with exit code ${code}`)
for (const end of ends) end()
process.exitCode = Number(code ?? 1)
