import { runToEnd } from '../../src/lib/process.ts'
import type { Sandbox, SandboxRequest, SandboxResult } from '../../src/model/sandbox.ts'

/** Runs steps on the host without any isolation and remembers what it was asked; for suites that test who uses a sandbox. */
export class HostSandbox implements Sandbox {
  readonly flavour = 'host'
  readonly ownerOffset = 0
  readonly writer = 0
  readonly requests: SandboxRequest[] = []

  async run(
    request: SandboxRequest,
    onOutput: (text: string) => void,
    signal: AbortSignal,
  ): Promise<SandboxResult> {
    this.requests.push(request)
    const [program = '', ...args] = request.argv
    const result = await runToEnd(program, args, {
      cwd: request.cwd,
      env: request.env,
      timeoutMs: request.limits.timeoutMs,
      signal,
      onOutput: (chunk) => onOutput(chunk.toString()),
    })
    const lastLines = `${result.stdout}${result.stderr}`.trim().split('\n').slice(-40)
    const reason = signal.aborted ? 'aborted' : result.timedOut ? 'timeout' : 'exited'
    return { code: result.code, reason, lastLines }
  }
}
