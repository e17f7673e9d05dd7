import { ChildDuplex } from '../lib/child-duplex.ts'
import { start } from '../lib/process.ts'
import { resizeTerminal, startInTerminal } from '../lib/terminal.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { ExecRequest, ExecSession } from '../model/runner.ts'
import { launchEnv, type Launch } from './process-folder.ts'

/** Runs a command with the folder and the environment of an instance. */
export async function execBeside(
  launch: Launch,
  request: ExecRequest,
  clock: Clock,
): Promise<ExecSession> {
  const [program = '', ...args] = request.argv
  const env = { ...(await launchEnv(launch)), ...request.env }
  const child = request.tty
    ? await startInTerminal(program, args, { env, cwd: launch.cwd })
    : await start(program, args, {
        env,
        cwd: launch.cwd,
        stdio: ['pipe', 'pipe', 'pipe'],
        detached: true,
      }).catch((cause: unknown) => {
        throw new FairwayError('COMMAND_FAILED', `cannot run ${program}`, { cause })
      })
  return {
    stdio: new ChildDuplex(child),
    stderr: request.tty ? null : child.stderr,
    resize: (columns, rows) => {
      if (request.tty) void resizeTerminal(child.pid, columns, rows)
    },
    exit: new Promise((resolve) => {
      child.once('close', (code, signal) => {
        resolve({ code, signal, reason: signal === null ? 'exited' : 'killed', at: clock.now() })
      })
    }),
    kill: () => {
      child.kill('SIGKILL')
    },
  }
}
