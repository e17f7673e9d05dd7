import type { ActualApp, DesiredApp, Engine } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import type { AppRef } from '../model/names.ts'

/** The machine of a server that runs in a cluster: nothing runs there, and nothing can. */
export const absentMachine: Engine = {
  name: 'kubernetes',
  flavourOf: () => 'image',
  unsupported: () => [],
  open: () => Promise.resolve(),
  apply: ({ workloads }: DesiredApp) =>
    workloads.length === 0 ? Promise.resolve() : Promise.reject(nowhere()),
  remove: () => Promise.resolve(),
  actual: nothing,
  async *watch(ref, signal) {
    yield nothing(ref)
    if (signal.aborted) return
    await new Promise((resolve) => {
      signal.addEventListener('abort', resolve, { once: true })
    })
  },
  runJob: () => Promise.reject(nowhere()),
  exec: () => Promise.reject(nowhere()),
  measure: () => Promise.resolve(null),
  usage: () => Promise.resolve(new Map()),
  close: () => Promise.resolve(),
}

function nothing(ref: AppRef): ActualApp {
  return { ref, instances: [], workloads: [] }
}

function nowhere(): FairwayError {
  return new FairwayError(
    'RUNNER_UNAVAILABLE',
    'this server runs in a cluster and starts nothing beside itself',
    { hint: 'Name one of `fairway target list` as the target of the environment.' },
  )
}
