import type { Track } from '../model/engine.ts'

/**
 * Where a track's Deployment lives. A candidate that becomes stable keeps its slot, so nothing is renamed and no pod restarts; a rolling
 * update stays in one slot and is the cluster's own.
 */
export type Slot = 'a' | 'b'
export const SLOTS = ['a', 'b'] as const

/** What runs in the slots of one process, as the cluster shows it. */
export type ObservedSlots = Readonly<Partial<Record<Slot, ObservedSlot>>>

export interface ObservedSlot {
  readonly release: number
  /** Copies that serve; the fuller slot is the one that a new release rolls into. */
  readonly ready: number
}

export interface SlottedTrack<T = Track> {
  readonly slot: Slot
  readonly track: T
}

/** Pure: one slot per track, at most two; the stable track comes first. A track whose release runs already stays where it is. */
export function assignSlots<T extends Pick<Track, 'name' | 'release'>>(
  tracks: readonly T[],
  observed: ObservedSlots,
): readonly SlottedTrack<T>[] {
  const ordered = [...tracks].sort((a, b) => (a.name === b.name ? 0 : a.name === 'stable' ? -1 : 1))
  const kept = new Map<T, Slot>()
  for (const track of ordered) {
    const slot = SLOTS.find(
      (one) => observed[one]?.release === track.release && ![...kept.values()].includes(one),
    )
    if (slot !== undefined) kept.set(track, slot)
  }
  const free = SLOTS.filter((slot) => ![...kept.values()].includes(slot)).sort(
    (a, b) => (observed[b]?.ready ?? -1) - (observed[a]?.ready ?? -1),
  )
  return ordered.flatMap((track) => {
    const slot = kept.get(track) ?? free.shift()
    return slot === undefined ? [] : [{ slot, track }]
  })
}
