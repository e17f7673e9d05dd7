/** The only file that starts programs. Argument arrays, never a shell: lint forbids node:child_process elsewhere. */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'

export interface RunOptions {
  readonly cwd?: string
  /** The whole environment of the child; nothing is inherited that is not named here. Default: PATH, HOME and LANG=C only. */
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string | Uint8Array
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
  /** Bytes kept of each output stream, the last ones win. Default 1 MiB. */
  readonly maxOutput?: number
  readonly onOutput?: (chunk: Buffer, stream: 'stdout' | 'stderr') => void
}

export interface RunResult {
  /** Null where a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  readonly timedOut: boolean
}

/** Exit other than 0 of `run`, or a program that could not be started (code null, spawnError set). */
export class ProgramError extends Error {
  override readonly name = 'ProgramError'
  readonly result: RunResult | null
  constructor(message: string, result: RunResult | null, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause })
    this.result = result
  }
}

export function minimalEnv(): Record<string, string> {
  const { PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME = '/' } =
    process.env
  return { PATH, HOME, LANG: 'C' }
}

/** Runs a program to its end and returns how it ended. @throws ProgramError only where it cannot be started at all */
export async function runToEnd(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const { maxOutput = 1 << 20 } = options
  const child = spawn(program, [...args], {
    env: options.env ?? minimalEnv(),
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  const out = new Tail(maxOutput)
  const err = new Tail(maxOutput)
  child.stdout.on('data', (chunk: Buffer) => {
    out.push(chunk)
    options.onOutput?.(chunk, 'stdout')
  })
  child.stderr.on('data', (chunk: Buffer) => {
    err.push(chunk)
    options.onOutput?.(chunk, 'stderr')
  })
  // A program that ends without reading its input is no error of ours.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input)
  const stop = stopper(child, options)
  try {
    const [code, signal] = await ended(child, program)
    return { code, signal, stdout: out.text(), stderr: err.text(), timedOut: stop.timedOut() }
  } finally {
    stop.clear()
  }
}

/** Runs a program that must succeed; returns its standard output. @throws ProgramError with the last lines of its standard error */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await runToEnd(program, args, options)
  if (result.code === 0) return result.stdout
  const how = result.timedOut
    ? 'took too long'
    : result.code === null
      ? `ended by ${String(result.signal)}`
      : `exit ${String(result.code)}`
  const said = (result.stderr.trim() || result.stdout.trim()).split('\n').slice(-3).join(' | ')
  throw new ProgramError(`${program}: ${how}${said === '' ? '' : `: ${said}`}`, result)
}

export interface StartOptions {
  readonly cwd?: string
  readonly env: Readonly<Record<string, string>>
  readonly stdio: StdioOptions
  /** Own session, so that it outlives us and can be signalled as a group. */
  readonly detached?: boolean
}

/** Starts a program and hands over the child once it really runs. @throws ProgramError where it cannot be started */
export async function start(
  program: string,
  args: readonly string[],
  options: StartOptions,
): Promise<ChildProcess> {
  const child = spawn(program, [...args], {
    env: options.env,
    stdio: options.stdio,
    detached: options.detached ?? false,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (cause) => {
      reject(new ProgramError(`cannot start ${program}: ${cause.message}`, null, cause))
    })
  })
  return child
}

function ended(
  child: ChildProcess,
  program: string,
): Promise<[number | null, NodeJS.Signals | null]> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      reject(new ProgramError(`cannot start ${program}: ${cause.message}`, null, cause))
    })
    child.once('close', (code, signal) => {
      resolve([code, signal])
    })
  })
}

function stopper(
  child: ChildProcess,
  options: RunOptions,
): { clear: () => void; timedOut: () => boolean } {
  let late = false
  const kill = (): void => {
    child.kill('SIGKILL')
  }
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          late = true
          kill()
        }, options.timeoutMs)
  options.signal?.addEventListener('abort', kill)
  if (options.signal?.aborted === true) kill()
  return {
    clear: () => {
      clearTimeout(timer)
      options.signal?.removeEventListener('abort', kill)
    },
    timedOut: () => late,
  }
}

/** Keeps the last `limit` bytes. */
class Tail {
  readonly #limit: number
  #chunks: Buffer[] = []
  #size = 0
  constructor(limit: number) {
    this.#limit = limit
  }
  push(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#size += chunk.length
    while (this.#chunks.length > 1 && this.#size - (this.#chunks[0]?.length ?? 0) >= this.#limit) {
      this.#size -= this.#chunks.shift()?.length ?? 0
    }
  }
  text(): string {
    return Buffer.concat(this.#chunks).subarray(-this.#limit).toString('utf8')
  }
}
