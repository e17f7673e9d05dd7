import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Admission, ClusterUser } from '../model/kube-access.ts'

export interface AccessSessionsOptions {
  readonly clock: Clock
  /** Between two looks at whoever has a request open. */
  readonly lookMs?: number
  /** How long nobody may have been able to say whether somebody may still go on. */
  readonly unknownMs?: number
  readonly most?: number
  readonly mostEach?: number
}

interface Session {
  readonly admission: Admission
  readonly cut: AbortController
  seenAt: number
}

/** Requests that are open: each ends when whoever made it may no longer make it, at the latest 30 seconds later. */
export class AccessSessions {
  readonly #clock: Clock
  readonly #lookMs: number
  readonly #unknownMs: number
  readonly #most: number
  readonly #mostEach: number
  readonly #open = new Set<Session>()
  #timer: NodeJS.Timeout | null = null

  constructor(options: AccessSessionsOptions) {
    const { clock, lookMs = 5_000, unknownMs = 20_000, most = 1000, mostEach = 200 } = options
    this.#clock = clock
    this.#lookMs = lookMs
    this.#unknownMs = unknownMs
    this.#most = most
    this.#mostEach = mostEach
  }

  /** Runs one request; its signal aborts when it has to end. @throws FairwayError LIMIT_EXCEEDED */
  async run<T>(admission: Admission, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { name } = admission.user
    const same = [...this.#open].filter(({ admission: { user } }) => user.name === name).length
    if (this.#open.size >= this.#most || same >= this.#mostEach)
      throw new FairwayError('LIMIT_EXCEEDED', 'too many requests to clusters are open')
    const session = { admission, cut: new AbortController(), seenAt: this.#clock.elapsed() }
    this.#open.add(session)
    this.#timer ??= setInterval(() => void this.look(), this.#lookMs).unref()
    try {
      return await task(session.cut.signal)
    } finally {
      this.#open.delete(session)
      this.#rest()
    }
  }

  /** Looks at everybody once; called by itself in time. */
  async look(): Promise<void> {
    await Promise.all([...this.#open].map((session) => this.#judge(session)))
  }

  /** Ends all of them. */
  close(): void {
    for (const { cut } of this.#open) cut.abort(new Error('the server is closing'))
  }

  #rest(): void {
    if (this.#open.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }

  async #judge(session: Session): Promise<void> {
    const { admission, cut } = session
    const asked = this.#clock.elapsed()
    try {
      const now = await admission.again()
      if (now !== null && isSame(now, admission.user)) session.seenAt = asked
      else cut.abort(new Error('the right to this was taken away'))
    } catch {
      // The store may be away for a moment; nobody stays for longer on what was known before.
      if (this.#clock.elapsed() - session.seenAt > this.#unknownMs)
        cut.abort(new Error('nobody can say whether this may go on'))
    }
  }
}

/** Less is reason to end as much as other rights are: what was opened was opened as the old one. */
function isSame(now: ClusterUser, then: ClusterUser): boolean {
  const held = new Set(now.groups)
  return now.name === then.name && then.groups.every((group) => held.has(group))
}
