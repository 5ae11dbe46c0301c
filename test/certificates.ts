/** Certificates, made as they are needed: no key is kept anywhere. */
import { writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import type { mock } from 'node:test'
import tls from 'node:tls'
import { generate } from 'selfsigned'
import { folder } from './harness.ts'

type Wanted = { name?: string; days?: [from: number, until: number]; isAuthority?: boolean }
type Certificate = { cert: string; key: string }

/** Makes one for a host or an authority, signed by an authority or by itself; PEM, with its key. */
export async function certify(
  { name = '127.0.0.1', days = [-1, 30], isAuthority = false }: Wanted = {},
  ca?: Certificate,
): Promise<Certificate> {
  const inDays = (day: number) => new Date(Date.now() + day * 86_400_000)
  const kind = isIP(name) ? 7 : 2
  const { cert, private: key } = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: inDays(days[0]),
    notAfterDate: inDays(days[1]),
    extensions: isAuthority
      ? [{ name: 'basicConstraints', cA: true }]
      : [{ name: 'subjectAltName', altNames: [{ type: kind, ip: name, value: name }] }],
    ...(ca && { ca }),
  })
  return { cert: `${cert}\n`, key }
}

/** An authority, and what makes a process trust it. */
export const authority = await certify({ name: 'An authority of the tests', isAuthority: true })
export const TRUST = { NODE_EXTRA_CA_CERTS: join(folder(), 'authority.pem') }
writeFileSync(TRUST.NODE_EXTRA_CA_CERTS, authority.cert)
/** With this, this process trusts it too: Node reads NODE_EXTRA_CA_CERTS only at its start. */
export function trust(mocks: typeof mock): void {
  const { connect } = tls
  mocks.method(tls, 'connect', (options: tls.ConnectionOptions) =>
    connect({ ...options, ca: authority.cert }),
  )
}
