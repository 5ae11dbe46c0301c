/** Certificates, made as they are needed: no key is kept anywhere. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'

// X.509 in DER: a tag, a length, and the content, which may be more of the same. Node can sign it, but not make it.
const der = (tag: number, ...content: Uint8Array[]): Buffer => {
  const bytes = Buffer.concat(content)
  const size = bytes.length
  return Buffer.concat([Buffer.from(size < 128 ? [tag, size] : [tag, 0x82, size >> 8, size & 255]), bytes])
}
const sequence = (...content: Uint8Array[]): Buffer => der(0x30, ...content)
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'))
const TRUE = der(0x01, Buffer.from([255]))
const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'))
const COMMON_NAME = oid('550403')
const BASIC_CONSTRAINTS = oid('551d13')
const SUBJECT_ALT_NAME = oid('551d11')

const named = (name: string): Buffer => sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from(name)))))
const day = (days: number): Buffer => {
  const digits = new Date(Date.now() + days * 86_400_000).toISOString().replace(/\D/g, '')
  return der(0x17, Buffer.from(`${digits.slice(2, 14)}Z`))
}
const extension = (...content: Uint8Array[]): Buffer =>
  sequence(...content.slice(0, -1), der(0x04, ...content.slice(-1)))
const pem = (bytes: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`

interface Wanted {
  /** The host, or the name of an authority. */
  name?: string
  /** From when until when it holds, in days from now. */
  days?: [from: number, until: number]
  isAuthority?: boolean
}
type KeyPair = ReturnType<typeof newKeys>
interface Issuer {
  name: string
  keys: KeyPair
}

const newKeys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })

/** Makes a certificate, signed by the issuer, or by itself where there is none. */
export function certify({ name = '127.0.0.1', days = [-1, 30], isAuthority = false }: Wanted = {}, issuer?: Issuer) {
  const keys = newKeys()
  const address = isIP(name) ? der(0x87, Buffer.from(name.split('.').map(Number))) : der(0x82, Buffer.from(name))
  const content = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])), // serial number
    ECDSA_WITH_SHA256,
    named(issuer?.name ?? name),
    sequence(...days.map(day)),
    named(name),
    keys.publicKey.export({ type: 'spki', format: 'der' }),
    der(
      0xa3,
      sequence(
        isAuthority
          ? extension(BASIC_CONSTRAINTS, TRUE, sequence(TRUE))
          : extension(SUBJECT_ALT_NAME, sequence(address)),
      ),
    ),
  )
  const signature = sign('sha256', content, (issuer?.keys ?? keys).privateKey)
  const bytes = sequence(content, ECDSA_WITH_SHA256, der(0x03, Buffer.from([0]), signature))
  return { name, keys, cert: pem(bytes), key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
}
