import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AuditLog } from '../src/audit/audit-log.ts'
import { ChainVerifier } from '../src/audit/chain-verifier.ts'
import { createSigner, newSigningKey } from '../src/audit/checkpoint.ts'
import { systemClock } from '../src/lib/clock.ts'
import { silentLog } from '../src/lib/log.ts'
import type { AuditEvent } from '../src/model/audit.ts'
import { openSqliteStore } from '../src/store/sqlite-store.ts'
import { median, quantile, row, type Bench, type BenchResult } from './result.ts'

const ALONE = 500
const TOGETHER = 20_000
/** Requests that are under way at the same time. */
const LANES = 64
const RUNS = 3
const EVENT: AuditEvent = {
  actor: { kind: 'user', id: 'u0123456789abcdef01234567', name: 'ada' },
  action: 'app:exec',
  outcome: 'allowed',
  app: 'shop',
  environment: 'production',
  target: 'instance web-3-85ab9e3c',
  facts: { program: 'psql', tty: true },
  from: '192.0.2.7',
  agent: 'fairway/0.1.0',
  request: 'm1x2y3-4567',
}

export const bench: Bench = {
  name: 'audit',
  summary:
    'records of the audit per second in SQLite, and the time of one that nobody shares a transaction with',
  needs: 'nothing',
  run: async ({ say }) => {
    const folder = await mkdtemp(join(tmpdir(), 'fairway-bench-audit-'))
    try {
      return await measure(folder, say)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}

async function measure(folder: string, say: (line: string) => void): Promise<BenchResult> {
  const store = await openSqliteStore({ path: join(folder, 'audit.db'), clock: systemClock })
  const audit = new AuditLog({
    store: store.audit,
    clock: systemClock,
    log: silentLog,
    signer: createSigner(newSigningKey()),
    memory: { read: () => Promise.resolve(null), write: () => Promise.resolve() },
    keptMs: 1e12,
  })
  await audit.open()
  try {
    await times(50, () => audit.record(EVENT))
    const alone = await times(ALONE, () => audit.record(EVENT))
    say(`${ALONE} one after the other`)
    const forced = await forcedWrites(join(folder, 'plain'))
    const rates: number[] = []
    for (let run = 0; run < RUNS; run += 1) rates.push(await rateOf(audit))
    say(`${RUNS} times ${TOGETHER} from ${LANES} at once`)
    const { records, perSecond } = await verified(audit)
    const other = { theirs: median(forced), against: 'a line appended to a file, fdatasync' }
    return {
      name: 'audit',
      results: [
        row('one record, median', 'ms', median(alone), other),
        row('one record, p99', 'ms', quantile(alone, 0.99)),
        row(`records, ${LANES} at once`, '/s', median(rates)),
        row('verified', 'records/s', perSecond),
      ],
      notes: [
        `a record is on the disk (synchronous=FULL) before it counts; ${ALONE} alone, median of ${RUNS} runs of ${TOGETHER} together`,
        `${records} records were read and verified at the end, without findings`,
      ],
    }
  } finally {
    await audit.close()
    await store.close()
  }
}

/** Milliseconds of each of `count` that follow each other. */
async function times(count: number, work: () => Promise<void>): Promise<readonly number[]> {
  const found: number[] = []
  for (let i = 0; i < count; i += 1) {
    const start = performance.now()
    await work()
    found.push(performance.now() - start)
  }
  return found
}

async function rateOf(audit: AuditLog): Promise<number> {
  let left = TOGETHER
  const start = performance.now()
  const lane = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await audit.record(EVENT)
    }
  }
  await Promise.all(Array.from({ length: LANES }, lane))
  return (TOGETHER * 1000) / (performance.now() - start)
}

/** What the disk takes for one forced write: nothing that is safe can be faster. */
async function forcedWrites(path: string): Promise<readonly number[]> {
  const file = await open(path, 'a')
  const line = `${JSON.stringify(EVENT)}\n`
  try {
    return await times(ALONE, async () => {
      await file.appendFile(line)
      await file.datasync()
    })
  } finally {
    await file.close()
  }
}

async function verified(
  audit: AuditLog,
): Promise<{ readonly records: number; readonly perSecond: number }> {
  const verifier = new ChainVerifier()
  const start = performance.now()
  for await (const line of audit.export()) verifier.take(line)
  const { records, findings } = verifier.end()
  if (findings.length > 0) throw new Error(findings.join('\n'))
  return { records, perSecond: (records * 1000) / (performance.now() - start) }
}
