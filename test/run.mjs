/**
 * `npm test` runs all tests, as many files side by side as there are cores; `npm test -- network`
 * one file; `npm test -- network floods` its tests with that word in their name. Prints failures
 * in full, and the totals.
 */
import { readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { run } from 'node:test'
import { dot } from 'node:test/reporters'
import { fileURLToPath } from 'node:url'

const [file, ...words] = process.argv.slice(2)
const isWanted = (name) =>
  file ? [file, `${file}.test.ts`].includes(name) : /\.test\.ts$/.test(name)
const names = readdirSync(new URL('.', import.meta.url)).filter(isWanted)
const files = names.map((name) => fileURLToPath(new URL(name, import.meta.url)))
const testNamePatterns = words.length > 0 ? [RegExp(words.join(' '), 'i')] : undefined

const totals = { 'test:pass': 0, 'test:fail': 0 }
async function* failures() {
  const concurrency = availableParallelism()
  for await (const event of run({ files, concurrency, testNamePatterns })) {
    if (event.type in totals && event.data.details.type !== 'suite') totals[event.type]++
    if (event.type === 'test:stderr') process.stderr.write(event.data.message)
    if (event.type !== 'test:pass') yield event
  }
}
for await (const text of dot(failures())) process.stdout.write(text)
const { 'test:pass': passed, 'test:fail': failed } = totals
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = passed > 0 && failed === 0 ? 0 : 1
