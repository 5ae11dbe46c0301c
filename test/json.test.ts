/** --json: one JSON value on one line, whatever happens; --verbose: a line for each request. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as harness from './harness.ts'
import { ALL_STEPS, IDENTITY, PASS, recorded, SESSION, STEPS, SUCCESS } from './harness.ts'

const { expires_at } = Object(SUCCESS.whoami.body)
const SESSIONS = { identity_id: IDENTITY, session_id: SESSION, expires_at }
const VERIFIED = { token: 'ory_st_4zWKh7TUgnoCa657q…', ...SESSIONS }
const whoami = harness.inTurn(harness.answer(503), SUCCESS.whoami)
const submit = harness.error(418, `\u001b[31m\n\u202e ${PASS}`)
// biome-ignore format: a table: the last step, its status, who answered, and Ory's ids
const RUNS: [number, harness.Steps, harness.Step, number | null, who?: string, ids?: string[]][] = [
  [0, { whoami }, 'logout', 204], [1, { submit }, 'submit', 418, 'ory', []],
  [3, recorded('wrong-password'), 'submit', 400, 'ory', ['4000006']],
  [1, { start: harness.page(200) }, 'start', 200, 'other', []],
  [4, { start: harness.cut() }, 'start', null, 'nobody', []],
  [1, recorded('logout-unknown-token'), 'logout', 403, 'ory', []],
]
describe('one value, with the facts that stderr has', { concurrency: 6 }, () => {
  for (const [exit_code, steps, last, status, answered_by, ory_ids] of RUNS)
    test(`${last}: ${status}, exit code ${exit_code}`, async (t) => {
      const args = ['--json', '--logout', '--verbose']
      const { code, stdout, stderr, ory } = await harness.login(t, steps, {}, ...args)
      assert.match(stdout, /^\{(?!.*demo-only)\P{C}*\}\n$/u)
      const { request_id, steps: told, error, hints, expected, got, ...rest } = JSON.parse(stdout)
      const { name, method, path } = STEPS[last]
      const failed = { exit_code, step: name, answered_by, ory_ids }
      assert.deepEqual(rest, {
        ...{ ok: code === 0, base_url: ory.url },
        ...(last === 'logout' && { ...VERIFIED, logged_out: code === 0 }),
        ...(code > 0 && { ...failed, request: `${method} ${ory.url}${path}` }),
        ...(code > 0 && status && { status }),
      })
      assert.deepEqual([code, harness.errorOf({ stderr })], [exit_code, error ?? ''])
      for (const line of [got, expected].filter(Boolean)) assert.ok(stderr.includes(`  ${line}\n`))
      for (const [index, { duration_ms, ...rest }] of told.entries()) {
        const step = ALL_STEPS[index] ?? assert.fail()
        const came = step === last ? status : 200
        assert.deepEqual(rest, { name: STEPS[step].name, status: came, attempts: ory.count(step) })
        assert.ok(Number.isInteger(duration_ms) && duration_ms >= 0)
      }
      assert.equal(told.at(-1).name, name)
      assert.match(request_id, /^[\da-f-]{36}$/)
      for (const { headers } of ory.seen) assert.equal(headers['x-request-id'], request_id)
      const lines = stderr.match(/(?<=: note: )\w+(?=: \w+ in \d+ ms$)/gm)
      assert.deepEqual(lines, ory.seen.map(harness.stepOf))
      assert.match(
        stderr,
        RegExp(`BASE_URL ${ory.url}, from the .*; no proxy\n.*\n.*${request_id}\n`),
      )
    })
})

for (const args of [['--nonsense', '--json'], ['--timeout', '--json'], ['--json']])
  test(`one value for ${args.join(' ')}`, async () => {
    const { code, stdout, stderr } = await harness.run({ PASS: '' }, ...args)
    const { error, hints, ...told } = JSON.parse(stdout)
    assert.deepEqual(told, { ok: false, exit_code: 2, step: 'read settings', steps: [] })
    const report = [error, ...hints.map((hint: string) => `  hint      ${hint}`)].join('\n')
    assert.deepEqual([code, stderr], [2, `ory-login: error: ${report}\n`])
  })
