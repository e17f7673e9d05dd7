import type { Notice } from '../model/notices.ts'
import { noticesMark, type NodeNotices } from './node-notices.ts'

export interface NoticedNode extends NodeNotices {
  readonly schedulable: boolean
}

export interface NoticePlan {
  /** `open`: cordoned for notices that are gone. `cordon` stops at that; `drain` also moves what runs there. */
  readonly wanted: 'nothing' | 'open' | 'cordon' | 'drain'
  /** When the machine goes away, where it is to be drained. */
  readonly deadline: number | null
  /** When to look again though nothing was reported; null = not. */
  readonly againAt: number | null
}

/** Before a scheduled restart or retirement a node is drained this long. */
export const SCHEDULED_LEAD_MS = 15 * 60_000

/** What to do with a node because of its notices. What somebody opened by hand stays open until the notices change. */
export function planNotices(
  { notices, cordonedFor, schedulable }: NoticedNode,
  now: number,
): NoticePlan {
  const due = notices.filter((notice) => isDue(notice, now))
  const againAt = earliest(notices.filter((notice) => !isDue(notice, now)).map(startOf))
  if (due.length === 0) {
    const isOurs = cordonedFor !== '' && (!schedulable || notices.length === 0)
    const wanted = isOurs ? 'open' : 'nothing'
    return { wanted, deadline: null, againAt }
  }
  if (schedulable && cordonedFor === noticesMark(notices))
    return { wanted: 'nothing', deadline: null, againAt: null }
  const final = due.filter(({ kind }) => kind !== 'rebalance')
  if (final.length === 0) return { wanted: 'cordon', deadline: null, againAt }
  return { wanted: 'drain', deadline: earliest(final.map(({ deadline }) => deadline)), againAt }
}

// Private

function startOf({ kind, deadline }: Notice): number {
  return kind === 'scheduled' && deadline !== null ? deadline - SCHEDULED_LEAD_MS : 0
}

function isDue(notice: Notice, now: number): boolean {
  return startOf(notice) <= now
}

function earliest(times: readonly (number | null)[]): number | null {
  const known = times.filter((time) => time !== null)
  return known.length === 0 ? null : Math.min(...known)
}
