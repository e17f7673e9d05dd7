import { createHash } from 'node:crypto'
import type { Clock } from '../model/clock.ts'
import type { JobRequest, JobResult } from '../model/engine.ts'
import type { ExitFacts, InstanceSpec } from '../model/instance.ts'
import type { LogReader } from '../model/logs.ts'
import type { LogLine, Runner } from '../model/runner.ts'
import type { InstanceSecrets } from '../model/secrets.ts'
import { payloadOf, plannedNames, whileHeld } from './payload.ts'
import { describeExit } from './tracked.ts'

export interface JobDeps {
  readonly runner: Runner
  readonly logs: LogReader
  readonly secrets: InstanceSecrets
  readonly clock: Clock
  /** Told the source address before the command runs, where it has one. */
  readonly introduce: (source: string) => Promise<void>
}

const STOP_MS = 5_000
const LINES = 20
/** A followed log ends this long after the job, when all it wrote has been read. */
const LOG_SETTLE_MS = 300

/**
 * Runs a command in a fresh instance to its end. The id follows from the request's key: a second call finds the first one's instance, running or
 * ended, instead of starting another.
 */
export function runJob(
  job: JobRequest,
  deps: JobDeps,
  onLine: (line: LogLine) => void,
  signal: AbortSignal,
): Promise<JobResult> {
  return whileHeld(job, deps.secrets, () => runHeld(job, deps, onLine, signal))
}

async function runHeld(
  job: JobRequest,
  deps: JobDeps,
  onLine: (line: LogLine) => void,
  signal: AbortSignal,
): Promise<JobResult> {
  const spec = jobSpec(job, deps.clock.now())
  const { runner, logs, clock } = deps
  const payload = await payloadOf(job.ref, job.secrets, deps.secrets)
  const started = await runner.start(spec, deps.introduce, payload)
  if (started.source !== null && started.state === 'running') await deps.introduce(started.source)
  const reading = new AbortController()
  const follow = followLog(spec, logs, onLine, reading.signal)
  const ended = await endOf(spec, job.timeoutMs, deps, signal)
  await clock.sleep(LOG_SETTLE_MS)
  reading.abort()
  await follow
  const tail = await logs.tail(job.ref, spec.id, LINES)
  return {
    instance: spec.id,
    code: ended === 'timeout' || ended === 'aborted' ? null : (ended?.code ?? null),
    reason: describeEnd(ended, spec, job.timeoutMs),
    lastLines: tail.map(({ text }) => text),
  }
}

export function jobId(job: Pick<JobRequest, 'process' | 'release' | 'key' | 'ref'>): string {
  const key = `${job.ref.app}/${job.ref.environment}/${job.key}`
  return `${job.process}-${String(job.release)}-${createHash('sha256').update(key).digest('hex').slice(0, 10)}`
}

type End = ExitFacts | null | 'timeout' | 'aborted'

async function endOf(
  spec: InstanceSpec,
  timeoutMs: number,
  { runner, clock }: JobDeps,
  signal: AbortSignal,
): Promise<End> {
  const timeout = new AbortController()
  const left = spec.createdAt + timeoutMs - clock.now()
  const exit = runner.waitForExit(spec.id, signal).catch((error: unknown): End => {
    if (signal.aborted) return 'aborted'
    throw error
  })
  const late = clock.sleep(Math.max(0, left), timeout.signal).then(
    (): End => 'timeout',
    (): End => null,
  )
  const end = await Promise.race([exit, late])
  timeout.abort()
  if (end === 'timeout' || end === 'aborted')
    await runner.stop(spec.id, { signal: 'SIGTERM', graceMs: STOP_MS })
  return end
}

async function followLog(
  spec: InstanceSpec,
  logs: LogReader,
  onLine: (line: LogLine) => void,
  signal: AbortSignal,
): Promise<void> {
  for await (const line of logs.read(
    spec.ref,
    { instance: spec.id, limit: 10_000, follow: true },
    signal,
  ))
    onLine(line)
}

function describeEnd(end: End, spec: InstanceSpec, timeoutMs: number): string {
  if (end === 'timeout') return `took longer than ${String(Math.round(timeoutMs / 1000))} s`
  if (end === 'aborted') return 'cancelled'
  return end === null ? 'lost' : describeExit(end, spec.resources.memory)
}

function jobSpec(job: JobRequest, now: number): InstanceSpec {
  const process = job.spec.processes[job.process] ?? Object.values(job.spec.processes)[0]
  if (process === undefined) throw new Error('an app without processes cannot run a job')
  return {
    id: jobId(job),
    ref: job.ref,
    process: job.process,
    kind: 'job',
    release: job.release,
    image: job.image,
    argv: job.argv,
    env: { ...job.env },
    port: null,
    listens: false,
    health: process.health,
    shutdown: process.shutdown,
    resources: process.resources,
    ...plannedNames(job.secrets),
    createdAt: now,
  }
}
