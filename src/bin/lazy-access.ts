import type { KubeAccess } from '../model/kube-access.ts'
import { once } from './once.ts'
import type { AccessPoint } from './pod-door.ts'
import type { AccessOptions, OpenAccess } from './open-access.ts'

export interface LazyAccessOptions {
  readonly load: () => Promise<(options: AccessOptions) => Promise<OpenAccess>>
  readonly options: AccessOptions
}

/** Access to clusters that is loaded, and listens, when it is first needed. */
export function lazyAccess({ load, options }: LazyAccessOptions): {
  readonly access: KubeAccess
  readonly open: () => Promise<void>
  /** Listens from then on. */
  readonly point: () => Promise<AccessPoint | null>
  readonly close: () => Promise<void>
} {
  let opened: Promise<OpenAccess> | null = null
  const made = once(() => {
    opened = load().then((open) => open(options))
    return opened
  })
  return {
    access: {
      list: async (...all) => (await made()).access.list(...all),
      issue: async (...all) => (await made()).access.issue(...all),
      setWay: async (...all) => (await made()).access.setWay(...all),
      files: async (...all) => (await made()).access.files(...all),
      replaceKey: async () => (await made()).access.replaceKey(),
    },
    open: async () => {
      await made()
    },
    point: async () => (await made()).point,
    close: async () => {
      await (await opened)?.close()
    },
  }
}
