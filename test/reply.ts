/** An answer, as the program has it once it is read. */
import { Headers } from 'undici'
import type { Reply } from '../src/ory-login.ts'
import { type Answer, program } from './harness.ts'

export function replyOf({ status, headers = {}, body = '' }: Answer): Reply {
  const pairs = Object.entries(headers).map(([name, value]): [string, string] => [name, `${value}`])
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return program.readBody({ status, code: '', headers: new Headers(pairs), text, fact: '' })
}
