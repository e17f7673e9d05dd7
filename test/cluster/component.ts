import { open } from 'node:fs/promises'
import { minimalEnv, start } from '../../src/lib/process.ts'
import { inside, onlyChild, type Child } from './namespaces.ts'

export interface ComponentOptions {
  readonly name: string
  /** First process of the namespaces it runs in; null = those of the host. */
  readonly within: number | null
  readonly program: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly logFile: string
}

const RESTART_MS = 1000

/** A program of the cluster that is started again when it ends by itself, as a service manager would. */
export class Component {
  readonly name: string
  readonly #options: ComponentOptions
  #child: Child | null = null
  #ended: Promise<void> = Promise.resolve()
  #isWanted = false
  #restarts = 0

  constructor(options: ComponentOptions) {
    this.name = options.name
    this.#options = options
  }

  get restarts(): number {
    return this.#restarts
  }

  get isRunning(): boolean {
    return this.#child !== null
  }

  async start(): Promise<void> {
    if (this.#isWanted) return
    this.#isWanted = true
    await this.#launch()
  }

  /** SIGTERM, and SIGKILL after ten seconds; it stays ended until `start`. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    this.#isWanted = false
    const { pid } = this.#child ?? {}
    if (pid === undefined) return
    // What we started for namespaces is nsenter; the program is its only child.
    const program = (await onlyChild(pid)) ?? pid
    process.kill(program, signal)
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), 10_000)
    await this.#ended
    clearTimeout(timer)
  }

  /** Its namespaces are about to end: it is not started again. */
  abandon(): void {
    this.#isWanted = false
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  async #launch(): Promise<void> {
    const { within, program, args, env, logFile } = this.#options
    const log = await open(logFile, 'a', 0o600)
    try {
      const [enter = '', ...rest] = inside(within, program, args)
      const child = await start(enter, rest, {
        env: { ...minimalEnv(), ...env },
        stdio: ['ignore', log.fd, log.fd],
      })
      this.#child = child
      this.#ended = new Promise((resolve) => {
        child.once('exit', () => {
          this.#child = null
          resolve()
          if (this.#isWanted) this.#again()
        })
      })
    } finally {
      await log.close()
    }
  }

  #again(): void {
    this.#restarts++
    setTimeout(() => {
      if (this.#isWanted && this.#child === null) void this.#launch()
    }, RESTART_MS)
  }
}
