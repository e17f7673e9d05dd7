import { PROCESS_DEFAULTS } from '../src/model/app-spec.ts'
import type { DesiredApp } from '../src/model/engine.ts'
import { parseProcessName, type AppRef } from '../src/model/names.ts'
import { BEHAVIOUR } from './kubernetes-bed.ts'

export interface CopiesChange {
  readonly process?: string
  readonly replicas?: number
  readonly memory?: number
  readonly env?: Readonly<Record<string, string>>
  readonly startMs?: number
}

/** One web process of test/apps/behaviour in a release. Release 0 has no copies. */
export function desiredCopies(
  ref: AppRef,
  release: number,
  {
    process = 'web',
    replicas = release === 0 ? 0 : 1,
    memory = 64 << 20,
    env = {},
    startMs = 20_000,
  }: CopiesChange = {},
): DesiredApp {
  const name = parseProcessName(process)
  const spec = {
    ...PROCESS_DEFAULTS,
    name,
    type: 'web' as const,
    command: null,
    env: {},
    port: null,
    routes: [],
    health: { ready: null, live: null, startMs, intervalMs: 1_000, timeoutMs: 2_000, failures: 3 },
    shutdown: { signal: 'SIGTERM' as const, drainMs: 1_000, stopMs: 1_000 },
    resources: { cpu: 0.2, memory, pids: 100 },
    scale: { min: 1, max: 10 },
    strategy: 'rolling' as const,
    maxAgeMs: null,
  }
  const track = {
    name: 'stable' as const,
    release,
    spec,
    image: BEHAVIOUR,
    env: { VERSION: String(release), ...env },
    replicas,
    weight: 100,
  }
  return { ref, target: null, workloads: [{ process: name, spec, tracks: [track] }] }
}
