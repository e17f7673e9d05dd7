import { mkdir, rm } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { FairwayError, type ErrorCode } from '../model/errors.ts'
import type { SandboxLimits, SandboxRequest } from '../model/sandbox.ts'
import type { BakeJob } from './bake-job.ts'
import { giveTo } from './owner.ts'

const MIB = 1024 ** 2

/** What a build step may use at most. */
export const BUILD_LIMITS: SandboxLimits = {
  cpu: 2,
  memory: 2048 * MIB,
  pids: 512,
  disk: 4096 * MIB,
  timeoutMs: 15 * 60_000,
}

export interface BuildStep {
  /** 'npm ci': how messages call it. */
  readonly name: string
  /** INSTALL_FAILED for package managers, BAKE_FAILED for the app's own commands. */
  readonly failure: ErrorCode
  readonly request: Omit<SandboxRequest, 'limits'>
}

/**
 * Runs one step to its success.
 * @throws FairwayError with `failure` and the last lines printed, TIMEOUT, DISK_FULL, SUPERSEDED where aborted
 */
export async function runStep(job: BakeJob, step: BuildStep): Promise<void> {
  const { sandbox } = job.kitchen
  await giveTo(step.request.workDir, sandbox.writer)
  for (const cache of step.request.caches) await giveTo(cache.dir, sandbox.writer)
  const result = await sandbox.run(
    { ...step.request, limits: BUILD_LIMITS },
    job.output,
    job.signal,
  )
  if (result.reason === 'exited' && result.code === 0) return
  job.signal.throwIfAborted()
  const { code, message } = explain(step, result.reason, result.code)
  const last = result.lastLines.slice(-20)
  throw new FairwayError(code, [message, ...last.slice(-5)].join('\n'), {
    details: { lastLines: last },
  })
}

/** Runs `task` with an empty folder that is deleted afterwards, whatever happens. */
export async function withWorkFolder<T>(
  job: BakeJob,
  task: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = join(job.kitchen.cacheDir, 'work', randomBytes(8).toString('hex'))
  await mkdir(folder, { recursive: true, mode: 0o755 })
  try {
    return await task(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Where a host folder is seen by a step: at `inside` in a box of its own, at its own path on the host itself. */
export function seenAt(job: BakeJob, folder: string, inside: string): string {
  return job.kitchen.sandbox.flavour === 'image' ? inside : folder
}

function explain(
  step: BuildStep,
  reason: string,
  exitCode: number | null,
): { code: ErrorCode; message: string } {
  const gib = (bytes: number): string => `${String(bytes / 1024 ** 3)} GiB`
  switch (reason) {
    case 'oom':
      return {
        code: step.failure,
        message: `${step.name} needed more than ${gib(BUILD_LIMITS.memory)} of memory`,
      }
    case 'timeout':
      return {
        code: 'TIMEOUT',
        message: `${step.name} took longer than ${String(BUILD_LIMITS.timeoutMs / 60_000)} minutes`,
      }
    case 'disk':
      return {
        code: 'DISK_FULL',
        message: `${step.name} wrote more than ${gib(BUILD_LIMITS.disk)}`,
      }
    default:
      return {
        code: step.failure,
        message: `${step.name} failed with exit code ${String(exitCode)}`,
      }
  }
}
