import type { Adapter, AdapterPayload } from 'oidc-provider'

/** What an OpenID provider keeps, in a map that outlives it. */
export class MapAdapter implements Adapter {
  readonly #kind: string
  readonly #stored: Map<string, AdapterPayload>

  constructor(kind: string, stored: Map<string, AdapterPayload>) {
    this.#kind = kind
    this.#stored = stored
  }

  async upsert(id: string, payload: AdapterPayload): Promise<void> {
    await Promise.resolve()
    this.#stored.set(`${this.#kind} ${id}`, payload)
  }

  async find(id: string): Promise<AdapterPayload | undefined> {
    return await Promise.resolve(this.#stored.get(`${this.#kind} ${id}`))
  }

  findByUserCode(code: string): Promise<AdapterPayload | undefined> {
    return this.#first(({ userCode }) => userCode === code)
  }

  findByUid(wanted: string): Promise<AdapterPayload | undefined> {
    return this.#first(({ uid }) => uid === wanted)
  }

  async consume(id: string): Promise<void> {
    const found = await this.find(id)
    if (found !== undefined) found.consumed = Math.floor(Date.now() / 1000)
  }

  async destroy(id: string): Promise<void> {
    await Promise.resolve()
    this.#stored.delete(`${this.#kind} ${id}`)
  }

  async revokeByGrantId(wanted: string): Promise<void> {
    await Promise.resolve()
    for (const [key, { grantId }] of this.#stored) if (grantId === wanted) this.#stored.delete(key)
  }

  async #first(fits: (payload: AdapterPayload) => boolean): Promise<AdapterPayload | undefined> {
    const own = [...this.#stored].filter(([key]) => key.startsWith(`${this.#kind} `))
    return await Promise.resolve(own.find(([, payload]) => fits(payload))?.[1])
  }
}
