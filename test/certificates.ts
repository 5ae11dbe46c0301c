/** Certificates, made as they are needed: no key is kept anywhere. */
import { writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import type { mock } from 'node:test'
import tls from 'node:tls'
import { generate } from 'selfsigned'
import { folder } from './harness.ts'

/** Makes one for a host, or for an authority, signed by itself or another. */
export async function certify(
  { name = '127.0.0.1', days: [from, until] = [-1, 30], isAuthority = false } = {},
  ca?: { cert: string; key: string },
) {
  const inDays = (day = 0) => new Date(Date.now() + day * 86_400_000)
  const kind = isIP(name) ? 7 : 2
  const { cert, private: key } = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: inDays(from),
    notAfterDate: inDays(until),
    extensions: isAuthority
      ? [{ name: 'basicConstraints', cA: true }]
      : [{ name: 'subjectAltName', altNames: [{ type: kind, ip: name, value: name }] }],
    ...(ca && { ca }),
  })
  return { cert: `${cert}\n`, key }
}

/** What a process trusts with TRUST, and this one after trust(). */
export const authority = await certify({ name: 'An authority', isAuthority: true })
export const TRUST = { NODE_EXTRA_CA_CERTS: join(folder(), 'ca.pem') }
writeFileSync(TRUST.NODE_EXTRA_CA_CERTS, authority.cert)
export function trust(mocks: typeof mock): void {
  const { connect } = tls
  mocks.method(tls, 'connect', (options: tls.ConnectionOptions) =>
    connect({ ...options, ca: authority.cert }),
  )
}
