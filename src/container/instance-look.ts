import { isMissing } from '../lib/missing-file.ts'
import { identify, isAlive } from '../lib/process-identity.ts'
import type { FoundInstance, InstanceSpec } from '../model/instance.ts'
import { judgeExit, lostExit, type ExitLook } from './exit.ts'
import type { RunRecord } from './instance-folder.ts'
import { portOf } from './instance-maker.ts'
import type { OciRuntime } from './runtime.ts'

export interface InstanceLook extends ExitLook {
  readonly runtime: OciRuntime
  /** Whether pid 1 of an instance is our init and not the app itself. */
  readonly hasInit: boolean
}

/**
 * What there is of an instance now; null where nothing is, where only the rest of a start is that never got to its spec, and where somebody removes it meanwhile.
 * Keeps what it sees first: how the instance ended, and that a start of an earlier server succeeded.
 */
export async function findInstance(look: InstanceLook): Promise<FoundInstance | null> {
  try {
    const spec = await look.folder.spec()
    return spec === null ? null : await judge(look, spec)
  } catch (error) {
    // What was seen could not be kept: its folder went.
    if (isMissing(error) && (await look.folder.spec()) === null) return null
    throw error
  }
}

async function judge(look: InstanceLook, spec: InstanceSpec): Promise<FoundInstance> {
  const { folder } = look
  const record = (await folder.record()) ?? (await adoptCutOffStart(look, spec))
  const lease = await folder.leased()
  const address =
    lease === null || record === null || record.port === null
      ? null
      : { host: lease.address, port: record.port }
  const source = lease?.address ?? null
  const startedAt = record?.startedAt ?? spec.createdAt
  const known = (await folder.exit()) ?? (await judgeExit(look))
  if (known !== null) return { spec, state: 'exited', address, source, startedAt, exit: known }
  if (record !== null && (await isAlive(record.process))) {
    return { spec, state: 'running', address, source, startedAt, exit: null }
  }
  const exit = await lostExit(look, record !== null)
  return { spec, state: 'exited', address, source, startedAt, exit }
}

/** The start of an earlier server ended between running the command and recording it. */
async function adoptCutOffStart(
  { folder, runtime, clock, hasInit }: InstanceLook,
  spec: InstanceSpec,
): Promise<RunRecord | null> {
  const pid = await folder.pid(folder.containerPid)
  if (pid === null || (await runtime.status(folder.id)) !== 'running') return null
  const process = await identify(pid)
  if (process === null) return null
  const record = { process, startedAt: clock.now(), port: portOf(spec), hasInit }
  await folder.saveRecord(record)
  return record
}
