/**
 * `npm test` and `npm run test:live`: runs the named files, or else all tests, as many side by side
 * as there are cores. Prints a dot a test, failures in full, and the totals.
 */
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { run } from 'node:test'
import { dot } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'

const named = process.argv.slice(2)
const all = readdirSync(new URL('.', import.meta.url)).filter((name) => name.endsWith('.test.ts'))
const files = (named.length > 0 ? named : all).map((name) =>
  fileURLToPath(new URL(name, import.meta.url)),
)
const totals = { 'test:pass': 0, 'test:fail': 0 }
async function* counted() {
  for await (const event of run({ files, concurrency: availableParallelism() })) {
    if (event.type in totals && event.data.details.type !== 'suite') totals[event.type]++
    if (event.type === 'test:stderr') process.stderr.write(event.data.message)
    yield event
  }
}
for await (const text of dot(counted())) process.stdout.write(text)
const { 'test:pass': passed, 'test:fail': failed } = totals
console.log(`\n${passed} passed, ${failed} failed`)
process.exitCode = passed > 0 && failed === 0 ? 0 : 1
