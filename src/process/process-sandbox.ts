import { minimalEnv, ProgramError } from '../lib/process.ts'
import { killGroup, runLimited } from '../lib/limited-run.ts'
import { FairwayError } from '../model/errors.ts'
import type { Sandbox, SandboxRequest, SandboxResult } from '../model/sandbox.ts'
import { randomBytes } from 'node:crypto'
import { killFamily, MARKER } from './process-family.ts'

/**
 * Build steps on the host itself: time and disk are limited, memory and processors are not, and nothing is kept from the step but
 * the platform's own environment.
 */
export class ProcessSandbox implements Sandbox {
  readonly flavour = 'host'
  readonly ownerOffset = 0
  readonly writer = 0

  async run(
    request: SandboxRequest,
    onOutput: (text: string) => void,
    signal: AbortSignal,
  ): Promise<SandboxResult> {
    const id = `step-${randomBytes(8).toString('hex')}`
    const [program = '', ...args] = request.argv
    try {
      return await runLimited({
        program,
        args,
        cwd: request.cwd,
        env: { ...minimalEnv(), ...request.env, [MARKER]: id },
        timeoutMs: request.limits.timeoutMs,
        disk: {
          folders: [request.workDir, ...request.caches.map(({ dir }) => dir)],
          bytes: request.limits.disk,
        },
        onOutput,
        signal,
        kill: async (pid) => {
          killGroup(pid)
          await killFamily(id)
        },
      })
    } catch (error) {
      if (!(error instanceof ProgramError)) throw error
      throw new FairwayError('BAKE_FAILED', error.message, {
        cause: error,
        hint: `Install ${program} on this machine, or use the container runner, which brings its own.`,
      })
    } finally {
      await killFamily(id)
    }
  }
}
