import { FairwayError } from '../model/errors.ts'
import { Secret, type TransitKey, type TransitKeys } from '../model/secrets.ts'
import type { LeaseTimes } from './renewal.ts'
import { fieldsOf, type VaultAnswer, type VaultClient, type VaultRequest } from './vault-client.ts'
import type { VaultLogin } from './vault-login.ts'

/** A lease of Vault: what was read ends with it. */
export interface VaultLease extends LeaseTimes {
  readonly id: string
}

/** What is at a path now. */
export interface VaultValues {
  readonly values: ReadonlyMap<string, Secret>
  /** Null = a stored value. */
  readonly lease: VaultLease | null
  /** Number of the session that read it. */
  readonly session: number
}

interface Mount {
  /** With `/` at its end. */
  readonly path: string
  readonly isVersioned: boolean
}

/** Reads paths and decrypts as the login may, and renews and ends leases. Knows no App. */
export class VaultReader implements TransitKeys {
  readonly #client: VaultClient
  readonly #login: VaultLogin
  readonly #now: () => number

  constructor(options: {
    readonly client: VaultClient
    readonly login: VaultLogin
    readonly now: () => number
  }) {
    this.#client = options.client
    this.#login = options.login
    this.#now = options.now
  }

  /** @throws FairwayError VAULT_UNAVAILABLE, SECRETS_CLOSED (Vault's own policy), SECRETS_INVALID (nothing there) */
  async read(path: string): Promise<VaultValues> {
    const mount = await this.#mount(path)
    const where = mount.isVersioned ? `${mount.path}data/${path.slice(mount.path.length)}` : path
    const asked = this.#now()
    const { answer, session } = await this.#ask({ method: 'GET', path: where })
    const data = this.#found(answer, path)
    const fields = mount.isVersioned ? fieldsOf(data?.['data']) : data
    if (fields === null) throw nothingAt(path, this.#client.host)
    const values = Object.entries(fields).map(([key, value]) => [key, asSecret(value)] as const)
    return { values: new Map(values), lease: leaseOf(answer, asked), session }
  }

  /** The lease as it is then; null where Vault does not renew it. @throws FairwayError VAULT_UNAVAILABLE */
  async renew(lease: VaultLease): Promise<VaultLease | null> {
    const asked = this.#now()
    const { answer } = await this.#ask({
      ...{ method: 'PUT', path: 'sys/leases/renew' },
      body: { lease_id: lease.id, increment: Math.round(lease.grantMs / 1000) },
    })
    const renewed = answer.status === 200 ? leaseOf(answer, asked) : null
    return renewed === null ? null : { ...renewed, grantMs: lease.grantMs }
  }

  /** True once it is no more. @throws FairwayError VAULT_UNAVAILABLE */
  async revoke(lease: Pick<VaultLease, 'id'>): Promise<boolean> {
    const { answer } = await this.#ask({
      ...{ method: 'PUT', path: 'sys/leases/revoke' },
      body: { lease_id: lease.id },
    })
    return answer.status < 300
  }

  async decrypt(key: TransitKey, ciphertext: string): Promise<Secret> {
    const path = decryptPath(key)
    const { answer } = await this.#ask({ method: 'PUT', path, body: { ciphertext } })
    const plain = answer.status === 200 ? fieldsOf(answer.fields['data'])?.['plaintext'] : null
    if (typeof plain === 'string') return Secret.of(Buffer.from(plain, 'base64'))
    const said = answer.reason === '' ? `it answered ${String(answer.status)}` : answer.reason
    throw new FairwayError(
      'SECRETS_CLOSED',
      `Vault (${this.#client.host}) does not decrypt with ${key.mount}/keys/${key.name} for this server: ${said}`,
      { hint: `The policy of the server’s login in Vault needs \`update\` on ${path}.` },
    )
  }

  /** Whether the login's policy lets it decrypt. @throws FairwayError VAULT_UNAVAILABLE */
  async mayDecrypt(key: TransitKey): Promise<boolean> {
    const path = decryptPath(key)
    const where = 'sys/capabilities-self'
    const { answer } = await this.#ask({ method: 'POST', path: where, body: { paths: [path] } })
    const found: unknown = fieldsOf(answer.fields['data'])?.[path] ?? answer.fields[path]
    return Array.isArray(found) && (found.includes('update') || found.includes('root'))
  }

  // Private

  /** As `vault kv` finds out which version it speaks to: developer.hashicorp.com/vault/api-docs/system/internal-ui-mounts. */
  async #mount(path: string): Promise<Mount> {
    const where = `sys/internal/ui/mounts/${path}`
    const { answer } = await this.#ask({ method: 'GET', path: where })
    const data = this.#found(answer, path)
    const mounted = data?.['path']
    if (typeof mounted !== 'string' || !path.startsWith(mounted) || !mounted.endsWith('/'))
      throw nothingAt(path, this.#client.host)
    const version = fieldsOf(data?.['options'])?.['version']
    return { path: mounted, isVersioned: data?.['type'] === 'kv' && version === '2' }
  }

  #found({ status, fields, reason }: VaultAnswer, path: string) {
    if (status === 200) return fieldsOf(fields['data'])
    if (status === 404) throw nothingAt(path, this.#client.host)
    const said = reason === '' ? `it answered ${String(status)}` : reason
    throw new FairwayError(
      'SECRETS_CLOSED',
      `Vault (${this.#client.host}) does not let this server read ${path}: ${said}`,
      { hint: 'The policy of the server’s login in Vault decides; docs/secrets.md has one.' },
    )
  }

  /** Vault answers 403 also for a token that it does not know any more: then with another. */
  async #ask(
    request: Omit<VaultRequest, 'token'>,
  ): Promise<{ readonly answer: VaultAnswer; readonly session: number }> {
    const session = await this.#login.session()
    const answer = await this.#client.ask({ ...request, token: session.token })
    if (answer.status !== 403) return { answer, session: session.number }
    const path = 'auth/token/lookup-self'
    const known = await this.#client.ask({ method: 'GET', path, token: session.token })
    if (known.status === 200) return { answer, session: session.number }
    const next = await this.#login.instead(session)
    const again = await this.#client.ask({ ...request, token: next.token })
    return { answer: again, session: next.number }
  }
}

function decryptPath({ mount, name }: TransitKey): string {
  return `${mount}/decrypt/${name}`
}

function asSecret(value: unknown): Secret {
  return Secret.of(typeof value === 'string' ? value : JSON.stringify(value))
}

function leaseOf({ fields }: VaultAnswer, issuedAt: number): VaultLease | null {
  const [id, seconds] = [fields['lease_id'], fields['lease_duration']]
  if (typeof id !== 'string' || id === '' || typeof seconds !== 'number' || seconds <= 0)
    return null
  const durationMs = seconds * 1000
  const renewable = fields['renewable'] === true
  return { id, issuedAt, durationMs, renewable, grantMs: durationMs, endsAt: null }
}

function nothingAt(path: string, host: string): FairwayError {
  return new FairwayError('SECRETS_INVALID', `there is nothing at ${path} in Vault (${host})`, {
    hint: 'Paths are written as for `vault kv get` and `vault read`, without data/.',
  })
}
