import type { Baker } from '../model/build-plan.ts'
import { once } from './once.ts'

/** A baker that is put together when the first bake asks for it. */
export function lazyBaker(make: () => Promise<Baker>): Baker {
  const made = once(make)
  return {
    bake: async (request, progress, signal) => (await made()).bake(request, progress, signal),
  }
}
