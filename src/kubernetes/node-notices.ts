import { contentHash } from './object.ts'
import { isRecord, textAt, timeAt, type Json } from './json-value.ts'
import type { Notice, NoticeKind } from '../model/notices.ts'

/** On a Node: the notices that stand for its machine, as JSON. Whoever learns of them may write it; `node-agent` does. */
export const NOTICES_ANNOTATION = 'fairway/notices'
/** On a Node that was cordoned because of notices: which. On one that takes copies all the same: somebody overruled them. */
export const CORDONED_ANNOTATION = 'fairway/cordoned'

const MOST = 20

/** `[{"kind":"terminate","at":"…","deadline":"…"}]`, times as RFC 3339; null for none, which removes the annotation. */
export function noticesText(notices: readonly Notice[]): string | null {
  if (notices.length === 0) return null
  return JSON.stringify(
    notices.map(({ kind, at, deadline }) => ({
      kind,
      at: new Date(at).toISOString(),
      deadline: deadline === null ? null : new Date(deadline).toISOString(),
    })),
  )
}

/** What does not say its kind, or a time that is none, is left out: the annotation may be anybody's. */
export function parseNotices(node: string, text: string): readonly Notice[] {
  const parsed = parseJson(text)
  const entries = Array.isArray(parsed) ? parsed.slice(0, MOST) : []
  return entries.filter(isRecord).flatMap((entry) => {
    const kind = KINDS.find((one) => one === textAt(entry, 'kind'))
    const at = timeAt(entry, 'at')
    const deadline = timeAt(entry, 'deadline')
    if (kind === undefined || at === null) return []
    if (deadline === null && entry['deadline'] !== null) return []
    return [{ node, kind, at, deadline }]
  })
}

/** Names one set of notices; the same for the same set. */
export function noticesMark(notices: readonly Notice[]): string {
  return contentHash([...notices].map((notice) => JSON.stringify(notice)).sort(), 12)
}

/** What the annotations of a Node say. */
export interface NodeNotices {
  readonly notices: readonly Notice[]
  /** '' = not cordoned because of notices. */
  readonly cordonedFor: string
}

export function nodeNotices(node: Json): NodeNotices {
  const annotations = isRecord(node['metadata']) ? node['metadata']['annotations'] : undefined
  const name = textAt(node, 'metadata', 'name')
  return {
    notices: parseNotices(name, textAt(annotations, NOTICES_ANNOTATION)),
    cordonedFor: textAt(annotations, CORDONED_ANNOTATION),
  }
}

// Private

const KINDS: readonly NoticeKind[] = ['terminate', 'scheduled', 'rebalance']

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
