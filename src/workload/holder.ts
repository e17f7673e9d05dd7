import { Secret, type PrivateFolder } from '../model/secrets.ts'
import type { TrustBundle } from './authority.ts'
import type { X509Svid } from './certificate.ts'
import { pem } from './pem.ts'
import type { SpiffeId } from './spiffe-id.ts'
import type { Caller, WorkloadApi } from './workload-api.ts'

/** What one instance holds now, and when it gets something new. */
export class Holder implements Caller {
  readonly id: SpiffeId
  /** Null until its instance runs. */
  api: WorkloadApi | null = null
  /** Milliseconds since the epoch. */
  due = 0
  #svid: X509Svid
  readonly #listeners = new Set<() => void>()

  constructor(first: X509Svid) {
    this.id = first.id
    this.#svid = first
  }

  svid(): X509Svid {
    return this.#svid
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  take(svid: X509Svid): void {
    this.#svid = svid
  }

  announce(): void {
    for (const listener of this.#listeners) listener()
  }
}

/** When to replace it: at half of its life, give or take a tenth, so that instances that started together do not ask together. `random` from 0 to 1. */
export function renewalTime({ issuedAt, notAfter }: X509Svid, random: number): number {
  return issuedAt + (notAfter - issuedAt) * (0.45 + 0.1 * random)
}

/**
 * The files of an instance. `svid.pem` and `svid_key.pem` belong together; whoever cannot read both through one resolved `..data` reads `svid_with_key.pem`, which is one
 * file and so never halves of two.
 */
export function identityFolder(
  svid: X509Svid,
  { roots }: Pick<TrustBundle, 'roots'>,
): PrivateFolder {
  const certificate = pem('CERTIFICATE', svid.certificate)
  const key = pem('PRIVATE KEY', svid.key)
  const bundle = roots.map((root) => `${root.trim()}\n`).join('')
  const files = new Map([
    ['svid.pem', Secret.of(certificate)],
    ['svid_key.pem', Secret.of(key)],
    ['svid_with_key.pem', Secret.of(key + certificate)],
    ['bundle.pem', Secret.of(bundle)],
  ])
  return { name: 'identity', files }
}
