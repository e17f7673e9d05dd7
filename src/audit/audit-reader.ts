import { z } from 'zod'
import type { AuditFilter, AuditQuery, AuditRow, AuditStore } from '../model/audit.ts'
import type { Clock } from '../model/clock.ts'
import type { Checkpoint } from './checkpoint.ts'

const PAGE = 500
const LOOK_AGAIN_MS = 500

/** Records as they are kept, oldest first: the newest that match, and with `follow` every later one until the signal aborts. */
export async function* listLines(
  store: AuditStore,
  { limit, follow, visible, ...filter }: AuditQuery,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): AsyncGenerator<string, void, undefined> {
  let last = (await store.head()).seq
  const asked = async (): Promise<AuditFilter> => ({
    ...filter,
    places: (await visible()) ?? undefined,
  })
  const newest = await store.newest(limit, await asked())
  for (const row of newest.toReversed()) {
    last = Math.max(last, row.seq)
    yield row.line
  }
  while (follow && !signal.aborted) {
    const rows = await store.after(last, PAGE, await asked())
    for (const row of rows) yield row.line
    last = rows.at(-1)?.seq ?? last
    if (rows.length < PAGE) await clock.sleep(LOOK_AGAIN_MS, signal).catch(() => undefined)
  }
}

/** Every record that is kept now, then the checkpoint of the last one. */
export async function* exportLines(
  store: AuditStore,
  swear: (place: { readonly seq: number; readonly hash: string }) => Checkpoint,
): AsyncGenerator<string, void, undefined> {
  const head = await store.head()
  let last = head.first.seq - 1
  while (last < head.seq) {
    const rows = await store.after(last, Math.min(PAGE, head.seq - last))
    for (const row of rows) {
      yield row.line
      if (!isIndexedAsWritten(row))
        yield JSON.stringify({ changed: `record ${String(row.seq)} is filed as something else` })
    }
    const next = rows.at(-1)?.seq
    // Records are missing: whoever verifies must see that, not wait for them.
    if (next === undefined) break
    last = next
  }
  yield JSON.stringify({ checkpoint: swear(head) })
}

const writtenSchema = z.object({
  seq: z.number(),
  time: z.number(),
  actor: z.object({ id: z.string().nullable(), name: z.string() }),
  action: z.string(),
  app: z.string().nullable(),
  environment: z.string().nullable(),
  outcome: z.string(),
})

/** Filters go by the columns: one that says something else than the record hides it from them. */
function isIndexedAsWritten({ line, actor, actorId, ...columns }: AuditRow): boolean {
  const written = writtenSchema.safeParse(jsonOf(line)).data
  if (written === undefined) return false
  const { actor: who, ...rest } = written
  const same = (key: keyof typeof rest): boolean => rest[key] === columns[key]
  return (
    who.id === actorId &&
    who.name === actor &&
    same('seq') &&
    same('time') &&
    same('action') &&
    same('app') &&
    same('environment') &&
    same('outcome')
  )
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
