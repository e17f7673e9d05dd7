import type { DeployEventBody, RolloutBody } from '../contract/rollout.ts'
import type { CliIo } from './io.ts'
import { secondsText } from './quantity.ts'
import { stepLine } from './step-line.ts'
import type { Terminal } from './terminal.ts'
import { printable } from './text-width.ts'

/** Lines of a build tool kept for the case that the step fails, where a terminal shows only the last one. */
const KEPT_OUTPUT = 40
const TICK_MS = 100

type Step = RolloutBody['steps'][number]

/** Shows a rollout as it happens: on a terminal one line per step and the running one redrawn, in a pipe plain lines, with --json the events. */
export class RolloutView {
  readonly #out: Terminal
  readonly #io: CliIo
  readonly #shown = new Set<string>()
  readonly #output: string[] = []
  #running: Step | null = null
  /** By this machine's clock: the server's may be another. */
  #runningSince = 0
  #detail = ''
  #ticker: NodeJS.Timeout | undefined

  constructor(out: Terminal, io: CliIo) {
    this.#out = out
    this.#io = io
  }

  show(event: DeployEventBody): void {
    if (this.#out.json) {
      this.#out.object(event)
      return
    }
    if (event.type === 'step') this.#step(event.step)
    if (event.type === 'output') this.#outputLine(event.text)
    if (event.type === 'end') {
      for (const step of event.rollout.steps) this.#step(step)
    }
  }

  /** What a failed step's tool printed, where it has not been shown. */
  get hiddenOutput(): readonly string[] {
    return this.#out.isTTY ? this.#output : []
  }

  /** Must be called in every case: stops the redrawing. */
  close(): void {
    clearInterval(this.#ticker)
    this.#ticker = undefined
    this.#running = null
    this.#out.clearStatus()
  }

  #step(step: Step): void {
    if (step.status === 'running') {
      if (this.#running?.name !== step.name) this.#runningSince = this.#io.clock.now()
      this.#running = step
      this.#detail = step.summary
      this.#redraw()
      if (this.#out.isTTY) this.#ticker ??= setInterval(() => this.#redraw(), TICK_MS)
      return
    }
    if (this.#running?.name === step.name) this.#running = null
    const key = `${step.name} ${String(step.startedAt)}`
    if (step.status === 'skipped' || this.#shown.has(key)) return
    this.#shown.add(key)
    if (step.status === 'done') this.#output.length = 0
    const ms = (step.endedAt ?? this.#io.clock.now()) - step.startedAt
    this.#out.note(
      stepLine(this.#out, step.status === 'done' ? 'done' : 'failed', step.name, ms, step.summary),
    )
  }

  #outputLine(text: string): void {
    const line = printable(text, false).trimEnd()
    if (line === '') return
    this.#output.push(line)
    if (this.#output.length > KEPT_OUTPUT) this.#output.shift()
    if (!this.#out.isTTY) {
      this.#out.note(`  ${line}`)
      return
    }
    this.#detail = line.trim()
    this.#redraw()
  }

  #redraw(): void {
    if (this.#running === null) return
    const ms = this.#io.clock.now() - this.#runningSince
    this.#out.status(stepLine(this.#out, 'running', this.#running.name, ms, this.#detail))
  }
}

/** 'release 4 of shop is live after 0.41 s'; the environment is named where it is not production. */
export function liveLine(rollout: RolloutBody, startedAt: number, now: number): string {
  const where = rollout.ref.environment === 'production' ? '' : ` in ${rollout.ref.environment}`
  const release = rollout.release === null ? 'nothing' : `release ${rollout.release}`
  return `${release} of ${rollout.ref.app}${where} is live after ${secondsText(now - startedAt)}`
}
