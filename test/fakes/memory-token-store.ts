import type { TokenStore } from '../../src/identity/identity.ts'
import type { TokenRecord } from '../../src/model/store.ts'
import { MemoryAccessStore } from './memory-access-store.ts'

/** The part of the store that identity uses, in memory. */
export class MemoryTokenStore implements TokenStore {
  readonly access = new MemoryAccessStore()
  tokens: readonly TokenRecord[] = []
  readonly settings = new Map<string, string>()
  /** Calls of `findTokenByHash` and `touchToken`. */
  finds = 0
  touches = 0

  async addToken(token: TokenRecord): Promise<void> {
    await Promise.resolve()
    this.tokens = [token, ...this.tokens]
  }

  async listTokens(): Promise<readonly TokenRecord[]> {
    return await Promise.resolve(this.tokens)
  }

  async findTokenByHash(hash: string): Promise<TokenRecord | null> {
    this.finds += 1
    return await Promise.resolve(this.tokens.find((token) => token.hash === hash) ?? null)
  }

  async touchToken(id: string, now: number): Promise<void> {
    await Promise.resolve()
    this.touches += 1
    this.tokens = this.tokens.map((token) =>
      token.id === id ? { ...token, lastUsedAt: now } : token,
    )
  }

  async deleteToken(id: string): Promise<boolean> {
    await Promise.resolve()
    const before = this.tokens.length
    this.tokens = this.tokens.filter((token) => token.id !== id)
    return this.tokens.length < before
  }

  async getSetting(key: string): Promise<string | null> {
    return await Promise.resolve(this.settings.get(key) ?? null)
  }

  async setSetting(key: string, value: string | null): Promise<void> {
    await Promise.resolve()
    if (value === null) this.settings.delete(key)
    else this.settings.set(key, value)
  }
}
