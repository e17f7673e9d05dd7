import { basename } from 'node:path'
import { identify, listPids, readProc, signalProcess } from '../lib/process-identity.ts'
import type { Clock } from '../model/clock.ts'
import type { InstanceFolder } from './instance-folder.ts'

/** Programs that a server may have started for an instance before it was killed itself. */
const OURS = new Set([
  'conmon',
  'runc',
  'crun',
  'mount',
  'umount',
  'ip',
  'bridge',
  'loopback',
  'tuning',
])
const PATIENCE_MS = 3000

/**
 * Ends the instance's command and its monitor. Where a start was cut off, lets the programs that a killed server left at work
 * finish first: killing a runtime in the middle of its work is what leaves things behind.
 */
export async function endLeftovers(folder: InstanceFolder, clock: Clock): Promise<void> {
  const record = await folder.record()
  if (record === null) {
    await untilUndisturbed(folder.id, clock)
    await killAll((await helpers(folder.id)).filter(isMonitor))
    await waitUntil(clock, async () => (await helpers(folder.id)).length === 0)
    await killAll(await helpers(folder.id))
    return
  }
  await signalProcess(record.process, 'SIGKILL')
  const monitor = await folder.pid(folder.conmonPid)
  if (monitor === null || !(await belongs(monitor, folder.id))) return
  await waitUntil(clock, async () => (await identify(monitor)) === null)
  if (await belongs(monitor, folder.id)) await killAll([{ pid: monitor, program: 'conmon' }])
}

/** Waits until the programs that a killed server left at work for this instance have finished; its monitor stays. */
export async function untilUndisturbed(id: string, clock: Clock): Promise<void> {
  await waitUntil(clock, async () => (await helpers(id)).every(isMonitor))
}

interface Helper {
  readonly pid: number
  readonly program: string
}

function isMonitor(helper: Helper): boolean {
  return helper.program === 'conmon'
}

async function helpers(id: string): Promise<readonly Helper[]> {
  const found: Helper[] = []
  for (const pid of await listPids()) {
    const program = basename((await readProc(pid, 'cmdline'))?.split('\0')[0] ?? '')
    if (OURS.has(program) && (await belongs(pid, id))) found.push({ pid, program })
  }
  return found
}

async function belongs(pid: number, id: string): Promise<boolean> {
  const command = (await readProc(pid, 'cmdline')) ?? ''
  return new RegExp(`(?:^|[^a-z0-9-])${id}(?:[^a-z0-9-]|$)`).test(command)
}

async function killAll(all: readonly Helper[]): Promise<void> {
  for (const { pid } of all) {
    const identity = await identify(pid)
    if (identity !== null) await signalProcess(identity, 'SIGKILL')
  }
}

async function waitUntil(clock: Clock, isTrue: () => Promise<boolean>): Promise<void> {
  for (const end = clock.elapsed() + PATIENCE_MS; clock.elapsed() < end;) {
    if (await isTrue()) return
    await clock.sleep(5)
  }
}
