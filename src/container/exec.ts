import { randomBytes } from 'node:crypto'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfExists } from '../lib/atomic-file.ts'
import { ChildDuplex } from '../lib/child-duplex.ts'
import { start } from '../lib/process.ts'
import { signalName } from '../lib/signal-name.ts'
import { resizeTerminal, startInTerminal } from '../lib/terminal.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { ExitFacts } from '../model/instance.ts'
import type { ExecRequest, ExecSession } from '../model/runner.ts'
import type { InstanceFolder } from './instance-folder.ts'
import { executableInRoot } from './path-in-root.ts'
import type { OciRuntime } from './runtime.ts'

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
  // It repeats the environment of the instance: where that is private, so is this.
  const config = processIn(await readFile(join(folder.bundle, 'config.json'), 'utf8'))
  await checkProgram(folder, request, config)
  const isPrivate = ((await folder.spec())?.privateEnv ?? []).length > 0
  const specFile = join(isPrivate ? folder.private : folder.run, `${name}.json`)
  const pidFile = join(folder.run, `${name}.pid`)
  await writeFile(specFile, execSpec(config, request), { mode: 0o600 })
  const [program, args] = await runtime.execCommand(folder, specFile, pidFile)
  const child = request.tty
    ? await startInTerminal(program, args, { env: { PATH } })
    : await startPiped(program, args)
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

interface ProcessConfig {
  readonly env: readonly string[]
  readonly cwd: string
}

function processIn(bundle: string): ProcessConfig {
  return (JSON.parse(bundle) as { readonly process: ProcessConfig }).process
}

/** A runtime would say so in its own log format, as output of the command. Looked up as the instance sees it, with what it wrote to /tmp. */
async function checkProgram(
  folder: InstanceFolder,
  { argv: [command = ''] }: ExecRequest,
  { env, cwd }: ProcessConfig,
): Promise<void> {
  const pid = (await folder.record())?.process.pid
  if (pid === undefined) return
  const path = env.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? ''
  const root = `/proc/${String(pid)}/root`
  if ((await executableInRoot(root, command, { path, cwd })) !== null) return
  throw new FairwayError('COMMAND_FAILED', `the image has no program ${JSON.stringify(command)}`, {
    hint: 'Images have what their app needs and no more: a runtime, seldom a shell.',
  })
}

/** The instance's own process specification with another command. */
function execSpec(config: ProcessConfig, request: ExecRequest): string {
  const extra = { ...(request.tty ? { TERM: 'xterm' } : {}), ...request.env }
  const env = config.env.filter((entry) => !((entry.split('=')[0] ?? '') in extra))
  return JSON.stringify({
    ...config,
    terminal: request.tty,
    args: request.argv,
    env: [...env, ...Object.entries(extra).map(([name, value]) => `${name}=${value}`)],
  })
}

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

async function startPiped(program: string, args: readonly string[]): Promise<ChildProcess> {
  return await start(program, args, { env: { PATH }, stdio: ['pipe', 'pipe', 'pipe'] })
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
