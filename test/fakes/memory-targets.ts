import { FairwayError } from '../../src/model/errors.ts'
import type { HostCheck } from '../../src/model/host.ts'
import { parseTargetName, type TargetName } from '../../src/model/names.ts'
import type { NewTarget, Targets, TargetView } from '../../src/model/targets.ts'

const PROD: TargetView = {
  name: parseTargetName('prod'),
  server: 'https://cluster.example:6443',
  context: null,
  registry: null,
  metrics: null,
  serverUrl: null,
  createdAt: 1_700_000_000_000,
  apps: [],
}

/** One target, `prod`, whose cluster is always well. */
export class MemoryTargets implements Targets {
  readonly #targets = new Map<TargetName, TargetView>([[PROD.name, PROD]])

  list(): Promise<readonly TargetView[]> {
    return Promise.resolve([...this.#targets.values()])
  }

  add({ name, context, metrics }: NewTarget): Promise<TargetView> {
    const target = { ...PROD, name, context, metrics: metrics?.url ?? null }
    this.#targets.set(name, target)
    return Promise.resolve(target)
  }

  remove(name: TargetName): Promise<void> {
    this.#existing(name)
    this.#targets.delete(name)
    return Promise.resolve()
  }

  check(name: TargetName): Promise<readonly HostCheck[]> {
    this.#existing(name)
    return Promise.resolve([{ name: 'version', status: 'ok', message: '1.34.9', fix: null }])
  }

  #existing(name: TargetName): void {
    if (!this.#targets.has(name)) throw new FairwayError('NOT_FOUND', `there is no target ${name}`)
  }
}
