import { SYSTEM } from '../model/audit.ts'
import type { Digest, Release } from '../model/release.ts'
import { refKey } from '../model/names.ts'
import type { ReconcileDeps } from './deps.ts'

export interface CollectOptions {
  /** Releases of an app that can be rolled back to, besides the active one. */
  readonly releasesKept: number
  /** Nothing younger is removed: what is being made right now is not referred to yet. */
  readonly graceMs: number
  readonly logsKeptMs: number
}

/** Removes releases beyond the kept ones, then images, sources and logs that nothing refers to. What runs or can be rolled back to stays. */
export async function collectGarbage(
  deps: ReconcileDeps,
  options: CollectOptions,
): Promise<{ readonly bytes: number; readonly summary: string }> {
  const { store, images, sources, logs, engine, audit } = deps
  const unfinished = await store.listUnfinishedRollouts()
  const busy = new Set(unfinished.map(({ ref, release }) => `${refKey(ref)} ${String(release)}`))
  const releases = await store.listAllReleases()
  const active = new Map(
    (await store.listApps()).map(({ ref, active: number }) => [refKey(ref), number]),
  )
  const gone = removable(releases, { active, busy, kept: options.releasesKept })
  for (const { ref, number } of gone) {
    // The name first: a release that is gone would not be found again to take it away.
    await images.withdraw(ref, number)
    await store.deleteRelease(ref, number)
    void audit.note({
      ...{ actor: SYSTEM, action: 'release:collected', outcome: 'done' },
      ...{ app: ref.app, environment: ref.environment, facts: { release: number } },
    })
  }
  const kept = releases.filter((release) => !gone.includes(release))
  const digests = new Set<Digest>(kept.map(({ image }) => image.digest))
  const running = new Set<string>()
  for (const { ref } of await store.listApps())
    for (const { id } of engine.actual(ref).instances) running.add(id)
  const collected = await images.collect(digests, options.graceMs)
  const sourcesKept = new Set(
    unfinished.flatMap(({ request }) =>
      request.kind === 'deploy' && request.source !== null ? [request.source] : [],
    ),
  )
  const sourceBytes = await sources.collect(sourcesKept, options.graceMs)
  const logBytes = await logs.collect(running, options.logsKeptMs)
  const bytes = collected.bytes + sourceBytes + logBytes
  return {
    bytes,
    summary: `${String(gone.length)} releases, ${String(collected.images)} images`,
  }
}

/** Pure: which releases nothing needs: not active, not being rolled out, not among the newest `kept` that once served. */
export function removable(
  releases: readonly Release[],
  options: {
    readonly active: ReadonlyMap<string, number | null>
    readonly busy: ReadonlySet<string>
    readonly kept: number
  },
): readonly Release[] {
  const byApp = Map.groupBy(releases, ({ ref }) => refKey(ref))
  return [...byApp].flatMap(([key, all]) => {
    const idle = all
      .filter(
        ({ number }) =>
          number !== options.active.get(key) && !options.busy.has(`${key} ${String(number)}`),
      )
      .sort((a, b) => b.number - a.number)
    const served = idle.filter(({ status }) => status === 'superseded')
    return idle.filter((release) => !served.slice(0, options.kept).includes(release))
  })
}
