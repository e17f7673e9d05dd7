import type { IncomingMessage } from 'node:http'
import type { RegistryHandler, RepositoryCheck } from '../api/registry-mount.ts'
import { createRegistry, type RegistryOptions } from '../registry/registry.ts'

/** The registry as the API mounts it: for each repository it asks the check that came with the request. */
export function scopedRegistry(options: Omit<RegistryOptions, 'authorize'>): {
  readonly handle: RegistryHandler
  readonly close: () => Promise<void>
} {
  const checks = new WeakMap<IncomingMessage, RepositoryCheck>()
  const registry = createRegistry({
    ...options,
    authorize: (request, action, repository) => {
      const does = action === 'pull' ? 'pull' : 'push'
      // Where there is no repository, whoever got here is known, which is all that is asked.
      const allowed = repository === '' || checks.get(request)?.(does, repository) === true
      return Promise.resolve(allowed ? 'ok' : 'denied')
    },
  })
  return {
    handle: (request, response, may) => {
      checks.set(request, may)
      return registry.handle(request, response)
    },
    close: registry.close,
  }
}
