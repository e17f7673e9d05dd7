import { randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfExists } from '../lib/atomic-file.ts'
import { ChildDuplex } from '../lib/child-duplex.ts'
import { readProc } from '../lib/process-identity.ts'
import { runToEnd, start } from '../lib/process.ts'
import type { Clock } from '../model/clock.ts'
import type { ExitFacts } from '../model/instance.ts'
import type { ExecRequest, ExecSession } from '../model/runner.ts'
import type { InstanceFolder } from './instance-folder.ts'
import type { OciRuntime } from './runtime.ts'
import { signalName } from './signals.ts'

type ChildProcess = Awaited<ReturnType<typeof start>>

export interface ExecOptions {
  readonly folder: InstanceFolder
  readonly request: ExecRequest
  readonly runtime: OciRuntime
  readonly clock: Clock
}

/** Runs a command beside the instance's own, as the same user, with the same limits and the same confinement. */
export async function execIn(options: ExecOptions): Promise<ExecSession> {
  const { folder, request, runtime, clock } = options
  const name = `exec-${randomBytes(4).toString('hex')}`
  const specFile = join(folder.run, `${name}.json`)
  const pidFile = join(folder.run, `${name}.pid`)
  await writeFile(specFile, await execSpec(folder, request), { mode: 0o600 })
  const [program, args] = await runtime.execCommand(folder, specFile, pidFile)
  const child = request.tty ? await startInTerminal(program, args) : await startPiped(program, args)
  const exit = ended(child, clock).finally(() =>
    Promise.all([specFile, pidFile].map((file) => rm(file, { force: true }))),
  )
  return {
    stdio: new ChildDuplex(child),
    stderr: request.tty ? null : child.stderr,
    resize: (columns, rows) => {
      if (request.tty) void resizeTerminal(child.pid, columns, rows)
    },
    exit,
    kill: () => {
      void killExec(child, pidFile)
    },
  }
}

/** The instance's own process specification with another command. */
async function execSpec(folder: InstanceFolder, request: ExecRequest): Promise<string> {
  const config = JSON.parse(await readFile(join(folder.bundle, 'config.json'), 'utf8')) as {
    readonly process: { readonly env: readonly string[] }
  }
  const extra = { ...(request.tty ? { TERM: 'xterm' } : {}), ...request.env }
  const env = config.process.env.filter((entry) => !((entry.split('=')[0] ?? '') in extra))
  return JSON.stringify({
    ...config.process,
    terminal: request.tty,
    args: request.argv,
    env: [...env, ...Object.entries(extra).map(([name, value]) => `${name}=${value}`)],
  })
}

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

async function startPiped(program: string, args: readonly string[]): Promise<ChildProcess> {
  return await start(program, args, { env: { PATH }, stdio: ['pipe', 'pipe', 'pipe'] })
}

/**
 * A runtime wants a terminal of its own to copy between; script(1), part of every Debian, makes one. Its command is constant
 * text: what varies travels in variables, which a shell does not read as commands when quoted.
 */
async function startInTerminal(program: string, args: readonly string[]): Promise<ChildProcess> {
  const names = args.map((_, index) => `FAIRWAY_${String(index)}`)
  const command = ['exec "$FAIRWAY_PROGRAM"', ...names.map((name) => `"$${name}"`)].join(' ')
  const values = Object.fromEntries(args.map((value, index) => [`FAIRWAY_${String(index)}`, value]))
  return await start('script', ['-q', '-e', '-f', '-c', command, '/dev/null'], {
    env: { PATH, SHELL: '/bin/sh', TERM: 'xterm', FAIRWAY_PROGRAM: program, ...values },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

/** The kernel tells the runtime of the new size by SIGWINCH, and the runtime passes it on. */
async function resizeTerminal(
  pid: number | undefined,
  columns: number,
  rows: number,
): Promise<void> {
  if (pid === undefined) return
  const children = (await readProc(pid, `task/${String(pid)}/children`)) ?? ''
  const child = children.trim().split(' ')[0] ?? ''
  if (child === '') return
  const terminal = `/proc/${child}/fd/0`
  await runToEnd('stty', ['-F', terminal, 'rows', String(rows), 'cols', String(columns)])
}

/** Killing the runtime's client would leave the command running inside. */
async function killExec(child: ChildProcess, pidFile: string): Promise<void> {
  const pid = Number(await readIfExists(pidFile))
  try {
    if (pid > 0) process.kill(pid, 'SIGKILL')
    else child.kill('SIGKILL')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

function ended(child: ChildProcess, clock: Clock): Promise<ExitFacts> {
  return new Promise((resolve) => {
    child.once('close', (code, signal) => {
      const killed = code !== null && code > 128 && code <= 192 ? signalName(code - 128) : signal
      const reason = killed === null ? 'exited' : 'killed'
      resolve({ code: killed === null ? code : null, signal: killed, reason, at: clock.now() })
    })
  })
}
