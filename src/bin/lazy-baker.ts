import type { Baker } from '../model/build-plan.ts'
import type { Installer } from '../model/installer.ts'
import { once } from './once.ts'

/** A baker that is put together when the first bake asks for it. */
export function lazyBaker(make: () => Promise<Baker>): Baker {
  const made = once(make)
  return {
    bake: async (request, progress, signal) => (await made()).bake(request, progress, signal),
  }
}

/** An installer that is put together when somebody installs. */
export function lazyInstaller(make: () => Promise<Installer>): Installer {
  const made = once(make)
  return {
    install: async (request, signal) => (await made()).install(request, signal),
    uninstall: async (request) => (await made()).uninstall(request),
  }
}
