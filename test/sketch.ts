/** What one would write without ory-login: the same requests, bare. The benchmark's yardstick. */
import { fetch } from 'undici'

const { BASE_URL, IDENT, PASS } = process.env
// biome-ignore lint/suspicious/noExplicitAny: a sketch believes what it is told, which is its fault
const json = async (path: string, init = {}): Promise<any> =>
  (await fetch(`${BASE_URL}${path}`, init)).json()
const flow = await json('/self-service/login/api')
const { session_token } = await json(`/self-service/login?flow=${flow.id}`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ method: 'password', identifier: IDENT, password: PASS }),
})
const headers = { 'x-session-token': session_token }
const session = await json('/sessions/whoami', { headers })
console.log(`token: ${session_token.slice(0, 24)}…\nidentity_id: ${session.identity.id}`)
