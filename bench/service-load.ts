import { Agent, request, type IncomingMessage } from 'node:http'

/** Where requests go: the address of a Service of a lab, which routes it to this host. */
export interface ServiceAddress {
  readonly host: string
  readonly port: number
  /** What requests ask for where several hosts share the address. */
  readonly name?: string
}

export interface ServiceReport {
  readonly sent: number
  readonly failed: number
  readonly byKind: Readonly<Record<string, { readonly sent: number; readonly failed: number }>>
  /** First failures with the time since the start, for people. */
  readonly failures: readonly string[]
  /** Milliseconds of the answered GETs. */
  readonly latencies: readonly number[]
  /** Longest time in milliseconds that the sender itself did not get to run: a machine too busy to measure anything. */
  readonly heldUp: number
}

export interface ServiceLoad {
  /** Stops sending, waits for what is under way. */
  stop(): Promise<ServiceReport>
}

const KINDS = ['kept', 'new', 'kept', 'post', 'new', 'kept', 'new', 'post', 'slow', 'kept'] as const
/** How a request is sent: over a kept connection, a new one, … */
export type Kind = (typeof KINDS)[number]

const TICK_MS = 5
const TIMEOUT_MS = 10_000
const FAILURES_SHOWN = 10

/**
 * Requests begun at a constant rate, whatever the answers do. Nothing is tried again: kept connections and new ones, GET and POST, quick and slow ones
 * must all be answered with 200.
 */
export function startServiceLoad(
  address: ServiceAddress,
  rate: number,
  kinds: readonly Kind[] = KINDS,
): ServiceLoad {
  // In turns, so that no connection is idle for long.
  const agent = new Agent({ keepAlive: true, maxSockets: 8, scheduling: 'fifo' })
  const counts = new Map<Kind, { sent: number; failed: number }>()
  const failures: string[] = []
  const latencies: number[] = []
  const running = new Set<Promise<void>>()
  const began = performance.now()
  let begun = 0
  let heldUp = 0
  let ticked = began

  const send = async (kind: Kind, id: string): Promise<void> => {
    const count = counts.get(kind) ?? { sent: 0, failed: 0 }
    counts.set(kind, count)
    count.sent += 1
    const start = performance.now()
    try {
      await ask(address, kind, id, agent)
      if (kind === 'kept' || kind === 'new') latencies.push(performance.now() - start)
    } catch (error) {
      count.failed += 1
      const at = ((start - began) / 1000).toFixed(1)
      const why = error instanceof Error ? error.message : String(error)
      if (failures.length < FAILURES_SHOWN) failures.push(`${kind} after ${at} s: ${why}`)
    }
  }

  const timer = setInterval(() => {
    heldUp = Math.max(heldUp, performance.now() - ticked - TICK_MS)
    ticked = performance.now()
    const due = Math.floor(((performance.now() - began) / 1000) * rate)
    for (; begun < due; begun++) {
      const kind = kinds[begun % kinds.length] ?? 'new'
      const work = send(kind, String(begun)).finally(() => running.delete(work))
      running.add(work)
    }
  }, TICK_MS)

  return {
    stop: async () => {
      clearInterval(timer)
      await Promise.all(running)
      agent.destroy()
      const sum = (field: 'sent' | 'failed'): number =>
        [...counts.values()].reduce((total, count) => total + count[field], 0)
      const byKind = Object.fromEntries(counts)
      return { sent: sum('sent'), failed: sum('failed'), byKind, failures, latencies, heldUp }
    },
  }
}

/** One GET over a connection of its own. */
export function askService(address: ServiceAddress, path = '/'): Promise<string> {
  return fetchText(address, { path, agent: false, body: null })
}

// Private

async function ask(address: ServiceAddress, kind: Kind, id: string, agent: Agent): Promise<void> {
  const path = kind === 'slow' ? '/slow' : '/'
  const kept = kind === 'kept' || (kind === 'post' && Number(id) % 2 === 0)
  const body = kind === 'post' ? id : null
  const text = await fetchText(address, { path, agent: kept ? agent : false, body })
  if (body !== null && text !== body) throw new Error(`answered ${text} to ${body}`)
}

function fetchText(
  { host, port, name }: ServiceAddress,
  how: { readonly path: string; readonly agent: Agent | false; readonly body: string | null },
): Promise<string> {
  const { path, agent, body } = how
  return new Promise((resolve, reject) => {
    const method = body === null ? 'GET' : 'POST'
    const headers = name === undefined ? {} : { host: name }
    const outgoing = request({ host, port, path, method, headers, agent, timeout: TIMEOUT_MS })
    outgoing.once('timeout', () => outgoing.destroy(new Error('timeout')))
    outgoing.once('error', reject)
    outgoing.once('response', (response: IncomingMessage) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('error', reject)
      response.once('end', () => {
        const text = Buffer.concat(chunks).toString()
        if (response.statusCode === 200) resolve(text)
        else reject(new Error(`status ${String(response.statusCode)} ${text.slice(0, 80)}`))
      })
    })
    outgoing.end(body ?? undefined)
  })
}
