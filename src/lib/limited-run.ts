import { untilGrown } from './folder-size.ts'
import { LastLines } from './last-lines.ts'
import { start } from './process.ts'

export interface LimitedRun {
  readonly program: string
  readonly args: readonly string[]
  readonly cwd?: string
  readonly env: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly disk: { readonly folders: readonly string[]; readonly bytes: number }
  readonly onOutput: (text: string) => void
  readonly signal: AbortSignal
  /** Ends the program and everything that it started. */
  readonly kill: (pid: number) => Promise<void> | void
}

export interface LimitedResult {
  readonly code: number | null
  readonly reason: 'exited' | 'timeout' | 'disk' | 'aborted'
  readonly lastLines: readonly string[]
}

/** Runs a program to its end, or until it takes too long, writes too much or is not wanted any more. @throws ProgramError */
export async function runLimited(options: LimitedRun): Promise<LimitedResult> {
  if (options.signal.aborted) return { code: null, reason: 'aborted', lastLines: [] }
  const child = await start(options.program, options.args, {
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  const last = new LastLines()
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      last.push(text)
      options.onOutput(text)
    })
  }
  const done = new AbortController()
  const closed = new Promise<number | null>((resolve) => {
    child.once('close', (code) => resolve(code))
  })
  let reason: LimitedResult['reason'] = 'exited'
  const end = async (why: LimitedResult['reason']): Promise<void> => {
    if (reason !== 'exited' || done.signal.aborted) return
    reason = why
    await options.kill(child.pid ?? 0)
  }
  const onAbort = (): void => void end('aborted')
  const timer = setTimeout(() => void end('timeout'), options.timeoutMs)
  options.signal.addEventListener('abort', onAbort)
  const watching = untilGrown(options.disk.folders, options.disk.bytes, done.signal).then(() =>
    end('disk'),
  )
  try {
    return { code: await closed, reason, lastLines: last.lines() }
  } finally {
    clearTimeout(timer)
    options.signal.removeEventListener('abort', onAbort)
    done.abort()
    await watching
  }
}

/** Kills a process that was started detached, with every child that stayed in its group. */
export function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // EPERM: macOS says so of a group whose last members only wait for their parent.
    const gone =
      error instanceof Error && 'code' in error && /^(ESRCH|EPERM)$/.test(String(error.code))
    if (!gone) throw error
  }
}
