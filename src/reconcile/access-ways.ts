import { createHash, timingSafeEqual } from 'node:crypto'
import { ACCESS_WAYS, type AccessWay } from '../model/kube-access.ts'
import type { TargetName } from '../model/names.ts'
import type { Store } from '../model/store.ts'

export interface AccessWaysOptions {
  readonly store: Pick<Store, 'getSetting' | 'setSetting'>
  /** Long and random. */
  readonly randomSecret: () => string
}

/** By which way people get into each cluster, and the secrets of those that ask about tokens. */
export class AccessWays {
  readonly #options: AccessWaysOptions

  constructor(options: AccessWaysOptions) {
    this.#options = options
  }

  /** `proxy` until somebody says otherwise: it works on every cluster. */
  async of(target: TargetName): Promise<AccessWay> {
    const kept = await this.#options.store.getSetting(`kube.way.${target}`)
    return ACCESS_WAYS.find((way) => way === kept) ?? 'proxy'
  }

  async set(target: TargetName, way: AccessWay): Promise<void> {
    await this.#options.store.setSetting(`kube.way.${target}`, way)
    if (way !== 'webhook') await this.#options.store.setSetting(`kube.webhook.${target}`, null)
  }

  /** A new secret for the API server of a cluster; the one before ends. Only its hash is kept. */
  async newSecret(target: TargetName): Promise<string> {
    const secret = this.#options.randomSecret()
    await this.#options.store.setSetting(`kube.webhook.${target}`, hashOf(secret).toString('hex'))
    return secret
  }

  async isSecret(target: TargetName, secret: string): Promise<boolean> {
    const kept = await this.#options.store.getSetting(`kube.webhook.${target}`)
    return kept !== null && timingSafeEqual(hashOf(secret), Buffer.from(kept, 'hex'))
  }
}

function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}
