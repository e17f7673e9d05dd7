/**
 * Parent of one instance, started detached: `node shim.ts <data directory> <instance id>`. Ends when the instance has ended and its
 * exit is on disk. File descriptor 3 tells the server, if it still lives, that the command runs or why it cannot.
 */
import { writeSync } from 'node:fs'
import { identify } from '../lib/process-identity.ts'
import { start } from '../lib/process.ts'
import type { ExitFacts } from '../model/instance.ts'
import { LogWriter } from './log-writer.ts'
import { killFamily } from './process-family.ts'
import { launchEnv, ProcessFolder } from './process-folder.ts'

const [, , dataDir = '', id = ''] = process.argv
const folder = new ProcessFolder(dataDir, id)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)
try {
  await supervise()
  process.exit(0)
} catch (error) {
  tell({ error: error instanceof Error ? error.message : String(error) })
  process.exit(1)
}

async function supervise(): Promise<void> {
  const launch = await folder.launch()
  if (launch === null) return
  const [program = '', ...args] = launch.argv
  const log = new LogWriter({
    file: launch.logFile,
    maxBytes: launch.logMaxBytes,
    keep: launch.logKeep,
    now: Date.now,
  })
  log.write('platform', Buffer.from(`${launch.notice}\n`))
  const child = await start(program, args, {
    cwd: launch.cwd,
    env: await launchEnv(launch),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const exit = new Promise<ExitFacts>((resolve) => {
    child.once('exit', (code, signal) => {
      resolve({ code, signal, reason: signal === null ? 'exited' : 'killed', at: Date.now() })
    })
  })
  const closed = new Promise((resolve) => child.once('close', resolve))
  child.stdout?.on('data', (chunk: Buffer) => log.write('stdout', chunk))
  child.stderr?.on('data', (chunk: Buffer) => log.write('stderr', chunk))
  await announce(child.pid ?? 0)
  const facts = await exit
  killGroup(child.pid ?? 0)
  await killFamily(id)
  // Where children cannot be found by their environment, one of them may hold the pipe for ever.
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 1000))])
  log.close()
  await folder.saveExit(facts)
}

async function announce(pid: number): Promise<void> {
  const [child, shim] = await Promise.all([identify(pid), identify(process.pid)])
  try {
    if (shim === null) throw new Error('this process cannot be identified')
    await folder.saveRunning({ process: child, shim, startedAt: Date.now() })
  } catch (error) {
    // The instance was removed meanwhile.
    killGroup(pid)
    throw error
  }
  tell({ started: true })
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // EPERM: macOS says so of a group whose last members only wait for their parent.
    if (!hasCode(error, 'ESRCH') && !hasCode(error, 'EPERM')) throw error
  }
}

function tell(message: { readonly started: true } | { readonly error: string }): void {
  try {
    writeSync(3, `${JSON.stringify(message)}\n`)
  } catch (error) {
    // The server went away: it will look at the folder when it is back.
    if (!hasCode(error, 'EPIPE')) throw error
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
