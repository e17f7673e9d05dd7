import { PassThrough, Writable } from 'node:stream'
import { systemClock } from '../../src/lib/clock.ts'
import type { CliIo, CliTerminal } from '../../src/cli/io.ts'
import type { CliPrograms, RunningPlatform } from '../../src/cli/programs.ts'

/** A terminal or a pipe in memory; without `home` its user has no home folder. */
export class TestIo implements CliIo {
  readonly stdin: PassThrough & { isTTY?: boolean; setRawMode?: (raw: boolean) => void }
  readonly stdout: Writable
  readonly stderr: Writable
  readonly isTTY: boolean
  readonly env: Record<string, string>
  readonly cwd: string
  readonly home: string
  clock = systemClock
  out = ''
  err = ''
  raw: boolean[] = []
  width = 80
  /** What `openTerminal` gives. */
  terminal: CliTerminal | null = null
  readonly #interrupts = new Set<() => void>()
  readonly #resizes = new Set<() => void>()

  constructor(
    options: {
      readonly isTTY?: boolean
      readonly env?: Record<string, string>
      readonly cwd?: string
      readonly home?: string
    } = {},
  ) {
    this.isTTY = options.isTTY ?? false
    this.home = options.home ?? '/nonexistent'
    this.cwd = options.cwd ?? this.home
    this.env = options.env ?? {}
    this.stdin = Object.assign(new PassThrough(), {
      isTTY: this.isTTY,
      setRawMode: (raw: boolean) => {
        this.raw.push(raw)
      },
    })
    this.stdout = collector((text) => (this.out += text))
    this.stderr = collector((text) => (this.err += text))
  }

  openTerminal(): Promise<CliTerminal | null> {
    return Promise.resolve(this.terminal)
  }
  columns(): number {
    return this.width
  }
  rows(): number {
    return 24
  }
  onInterrupt(listener: () => void): () => void {
    this.#interrupts.add(listener)
    return () => this.#interrupts.delete(listener)
  }
  onResize(listener: () => void): () => void {
    this.#resizes.add(listener)
    return () => this.#resizes.delete(listener)
  }
  get listeners(): number {
    return this.#interrupts.size + this.#resizes.size
  }
  interrupt(): void {
    for (const listener of [...this.#interrupts]) listener()
  }
  resize(): void {
    for (const listener of [...this.#resizes]) listener()
  }
}

/** Programs that only say what was asked of them. */
export function testPrograms(changes: Partial<CliPrograms> = {}): CliPrograms & {
  readonly asked: string[]
} {
  const asked: string[] = []
  return {
    asked,
    version: '1.2.3',
    doctor: () => Promise.reject(new Error('no doctor in this test')),
    platform: {
      up: (options, say) => {
        asked.push(`up ${JSON.stringify(options)}`)
        say('starting the server')
        return Promise.resolve(RUNNING)
      },
      down: (options) => {
        asked.push(`down ${JSON.stringify(options)}`)
        return Promise.resolve({ stopped: ['server', 'router'] })
      },
      status: () =>
        Promise.resolve({
          server: { state: 'running', pid: 1, url: 'http://127.0.0.1:7070', detail: 'since 09:12' },
          router: { state: 'stopped', pid: null, url: null, detail: '' },
          dataDir: '/data',
        }),
    },
    openBrowser: (url) => {
      asked.push(`open ${url}`)
      return Promise.resolve(true)
    },
    ...changes,
  }
}

export const RUNNING: RunningPlatform = {
  url: 'http://127.0.0.1:7070',
  routerUrls: ['http://localhost:8080'],
  caFile: null,
  claim: null,
  claimUrl: null,
  dataDir: '/data',
  runner: 'container',
  started: ['server', 'router'],
}

function collector(add: (text: string) => void): Writable {
  return new Writable({
    write(chunk: Buffer | string, _encoding, done) {
      add(chunk.toString())
      done()
    },
  })
}
