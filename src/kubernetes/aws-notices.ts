import { backoffMs } from '../lib/backoff.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { Notice, NoticeSource } from '../model/notices.ts'
import { isRecord, textAt, timeAt } from './json-value.ts'

export interface AwsNoticesOptions {
  /** Of the node that this machine is. */
  readonly node: string
  /** Default `http://169.254.169.254`, where EC2 has it. */
  readonly baseUrl?: string
  readonly fetch: typeof fetch
  readonly clock: Clock
  readonly log: Log
  /** Between two looks, in milliseconds; default 5,000, as AWS advises. */
  readonly everyMs?: number
}

/** Link-local address of the instance metadata service. */
export const AWS_METADATA_URL = 'http://169.254.169.254'
const TOKEN_SECONDS = 21_600
const ANSWER_MS = 2_000
const LONGEST_WAIT_MS = 60_000
const SPOT = '/latest/meta-data/spot/instance-action'
const REBALANCE = '/latest/meta-data/events/recommendations/rebalance'
const SCHEDULED = '/latest/meta-data/events/maintenance/scheduled'

/** Termination notices of an EC2 instance, from its metadata service, version 2 (Amazon EC2 User Guide: "Spot Instance interruption notices", "EC2 instance rebalance recommendations", "Scheduled events"). */
export class AwsNotices implements NoticeSource {
  readonly #options: AwsNoticesOptions
  #token: string | null = null

  constructor(options: AwsNoticesOptions) {
    this.#options = options
  }

  async *notices(signal: AbortSignal): AsyncGenerator<readonly Notice[]> {
    const { clock, log, everyMs = 5_000 } = this.#options
    let last: string | null = null
    for (let failures = 0; !signal.aborted;) {
      try {
        const found = await this.#look(signal)
        if (failures > 0) log.info({}, 'the metadata service answers again')
        failures = 0
        const text = JSON.stringify(found)
        if (text !== last) yield found
        last = text
      } catch (error) {
        failures += 1
        this.#warn(error, failures, signal)
      }
      const wait = backoffMs(failures, { firstMs: everyMs, maxMs: LONGEST_WAIT_MS }) || everyMs
      await clock.sleep(wait, signal).catch(() => undefined)
    }
  }

  // Private

  #warn(error: unknown, failures: number, { aborted }: AbortSignal): void {
    if (aborted || failures > 1) return
    this.#options.log.warn({ error: messageOf(error) }, 'the metadata service does not answer')
  }

  async #look(signal: AbortSignal): Promise<readonly Notice[]> {
    const [spot, rebalance, scheduled] = [
      await this.#read(SPOT, signal),
      await this.#read(REBALANCE, signal),
      await this.#read(SCHEDULED, signal),
    ]
    return [
      ...this.#spotNotice(spot),
      ...this.#rebalanceNotice(rebalance),
      ...this.#scheduledNotices(scheduled),
    ]
  }

  /** `{"action":"terminate","time":"2026-01-02T08:22:00Z"}`; also `stop` and `hibernate`, after which it runs nothing either. */
  #spotNotice(answer: unknown): Notice[] {
    const deadline = timeAt(answer, 'time')
    if (deadline === null || textAt(answer, 'action') === '') return []
    // Two minutes before, as AWS promises: when it was first seen would change with every start of this program.
    return [{ node: this.#options.node, kind: 'terminate', at: deadline - 120_000, deadline }]
  }

  /** `{"noticeTime":"2026-01-02T08:22:00Z"}`. */
  #rebalanceNotice(answer: unknown): Notice[] {
    const at = timeAt(answer, 'noticeTime')
    return at === null ? [] : [{ node: this.#options.node, kind: 'rebalance', at, deadline: null }]
  }

  /** `[{"NotBefore":"21 Jan 2026 09:00:43 GMT","Code":"system-reboot","EventId":"…","State":"active",…}]`. */
  #scheduledNotices(answer: unknown): Notice[] {
    if (!Array.isArray(answer)) return []
    return answer.filter(isRecord).flatMap((event) => {
      const deadline = timeAt(event, 'NotBefore')
      if (deadline === null || textAt(event, 'State') !== 'active') return []
      return [{ node: this.#options.node, kind: 'scheduled' as const, at: deadline, deadline }]
    })
  }

  /** The answer as JSON; null for 404, by which the service says that there is nothing. */
  async #read(path: string, signal: AbortSignal): Promise<unknown> {
    for (let first = true; ; first = false) {
      this.#token ??= await this.#newToken(signal)
      const headers = { 'x-aws-ec2-metadata-token': this.#token }
      const response = await this.#request(path, { headers }, signal)
      const text = await response.text()
      if (response.status === 404) return null
      if (response.ok) return JSON.parse(text)
      // It forgets tokens before their time when the machine was stopped in between.
      this.#token = null
      if (response.status !== 401 || !first)
        throw new Error(`${path} answers ${String(response.status)}`)
    }
  }

  async #newToken(signal: AbortSignal): Promise<string> {
    const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': String(TOKEN_SECONDS) }
    const response = await this.#request('/latest/api/token', { method: 'PUT', headers }, signal)
    const text = await response.text()
    if (response.ok && text !== '') return text
    throw new Error(`/latest/api/token answers ${String(response.status)}`)
  }

  #request(path: string, init: RequestInit, signal: AbortSignal): Promise<Response> {
    const { baseUrl = AWS_METADATA_URL } = this.#options
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)])
    return this.#options.fetch(`${baseUrl}${path}`, { ...init, signal: limit, redirect: 'error' })
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message : error.message
}
