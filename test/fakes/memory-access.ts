import type { Subject } from '../../src/model/identity.ts'
import type {
  AccessFiles,
  AccessTarget,
  AccessToken,
  KubeAccess,
} from '../../src/model/kube-access.ts'
import { FairwayError } from '../../src/model/errors.ts'
import {
  parseAppName,
  parseEnvironmentName,
  parseTargetName,
  type TargetName,
} from '../../src/model/names.ts'

const PROD = parseTargetName('prod')

/** Everybody has the app `shop` on one cluster, `prod`. */
export class MemoryAccess implements KubeAccess {
  list(): Promise<readonly AccessTarget[]> {
    return Promise.resolve([
      {
        target: PROD,
        way: 'proxy',
        server: 'https://localhost:7443/clusters/prod',
        serverName: null,
        ca: '-----BEGIN CERTIFICATE-----\n',
        scopes: [
          {
            ref: { app: parseAppName('shop'), environment: parseEnvironmentName('production') },
            namespace: 'shop--production',
            role: 'developer',
          },
        ],
      },
    ])
  }

  issue(
    _subject: Subject,
    credential: string,
    target: TargetName,
    environment: string | null,
  ): Promise<AccessToken> {
    this.#existing(target)
    const token = `${credential}.${target}.${environment ?? ''}`
    return Promise.resolve({ token, expiresAt: Date.now() + 300_000 })
  }

  setWay(target: TargetName): Promise<void> {
    this.#existing(target)
    return Promise.resolve()
  }

  files(target: TargetName): Promise<AccessFiles | null> {
    this.#existing(target)
    return Promise.resolve({ files: { 'webhook.yaml': '{}\n' }, flags: ['--webhook'] })
  }

  replaceKey(): Promise<void> {
    return Promise.resolve()
  }

  #existing(name: TargetName): void {
    if (name !== PROD) throw new FairwayError('NOT_FOUND', `there is no target ${name}`)
  }
}
