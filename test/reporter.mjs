/** How `npm test` tells its result: a dot a test, failures in full, and the totals. */
import { dot } from 'node:test/reporters'

export default async function* report(source) {
  const totals = { 'test:pass': 0, 'test:fail': 0 }
  async function* count() {
    for await (const event of source) {
      if (event.type in totals && event.data.details.type !== 'suite') totals[event.type]++
      yield event
    }
  }
  yield* dot(count())
  yield `\n${totals['test:pass']} passed, ${totals['test:fail']} failed\n`
}
