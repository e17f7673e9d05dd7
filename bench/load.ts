import { Agent, request, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'

export interface LoadOptions {
  /** Router's port on 127.0.0.1; load never goes anywhere else. */
  readonly port: number
  readonly host: string
  /** Requests begun per second, whatever the answers do (open loop: slow answers do not slow the sender). */
  readonly rate: number
}

export interface LoadReport {
  readonly sent: number
  readonly failed: number
  readonly byKind: Readonly<Record<string, { readonly sent: number; readonly failed: number }>>
  /** First failures, for people. */
  readonly failures: readonly string[]
  /** Numbers of the POSTs that were answered with their own number. */
  readonly acknowledged: readonly string[]
  /** Milliseconds of plain GETs. */
  readonly latencies: readonly number[]
}

export interface Load {
  /** Stops sending, waits for what is under way. */
  stop(): Promise<LoadReport>
}

type Kind = 'get' | 'get-new-connection' | 'post' | 'slow' | 'stream' | 'websocket'

/** Shares of the mix in percent; WebSockets stay open for a second each. */
const MIX: readonly (readonly [Kind, number])[] = [
  ['get', 50],
  ['get-new-connection', 10],
  ['post', 30],
  ['slow', 6],
  ['stream', 3],
  ['websocket', 1],
]
const TICK_MS = 4
const TIMEOUT_MS = 20_000
const FAILURES_SHOWN = 20

/** An open-loop mix of requests against one host of the router. */
export function startLoad(options: LoadOptions): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const counts = new Map<Kind, { sent: number; failed: number }>()
  const failures: string[] = []
  const acknowledged: string[] = []
  const latencies: number[] = []
  const running = new Set<Promise<void>>()
  const began = performance.now()
  let begun = 0

  const send = async (kind: Kind, id: string): Promise<void> => {
    const count = counts.get(kind) ?? { sent: 0, failed: 0 }
    counts.set(kind, count)
    count.sent += 1
    const start = performance.now()
    try {
      await perform(kind, id, options, agent)
      if (kind === 'post') acknowledged.push(id)
      if (kind === 'get') latencies.push(performance.now() - start)
    } catch (error) {
      count.failed += 1
      if (failures.length < FAILURES_SHOWN)
        failures.push(`${kind} ${id}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }

  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - began) / 1000) * options.rate)
    for (; begun < due; begun++) {
      const work = send(kindOf(begun), String(begun)).finally(() => running.delete(work))
      running.add(work)
    }
  }, TICK_MS)

  return {
    stop: async () => {
      clearInterval(timer)
      await Promise.all(running)
      agent.destroy()
      const byKind = Object.fromEntries(counts)
      const sum = (field: 'sent' | 'failed'): number =>
        [...counts.values()].reduce((total, count) => total + count[field], 0)
      return { sent: sum('sent'), failed: sum('failed'), byKind, failures, acknowledged, latencies }
    },
  }
}

/** Spreads the kinds evenly: a fixed pattern of 100, so that runs are alike. */
function kindOf(index: number): Kind {
  let slot = (index * 37) % 100
  for (const [kind, share] of MIX) {
    if (slot < share) return kind
    slot -= share
  }
  return 'get'
}

async function perform(kind: Kind, id: string, options: LoadOptions, agent: Agent): Promise<void> {
  if (kind === 'websocket') return echo(id, options)
  const path =
    kind === 'slow' ? '/slow' : kind === 'stream' ? '/stream' : kind === 'post' ? '/post' : '/'
  const pool = kind === 'get-new-connection' ? false : agent
  const text = await fetchText({ ...options, path, agent: pool, body: kind === 'post' ? id : null })
  const wanted = { get: 'ok', 'get-new-connection': 'ok', post: id, slow: 'slow' }
  if (kind === 'stream' ? !text.endsWith('end\n') : text !== wanted[kind]) {
    throw new Error(`unexpected answer ${JSON.stringify(text.slice(0, 60))}`)
  }
}

interface FetchOptions extends LoadOptions {
  readonly path: string
  readonly agent: Agent | false
  readonly body: string | null
}

export function fetchText(options: Omit<FetchOptions, 'rate'>): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      host: '127.0.0.1',
      port: options.port,
      path: options.path,
      method: options.body === null ? 'GET' : 'POST',
      agent: options.agent,
      headers: { host: options.host },
      timeout: TIMEOUT_MS,
    })
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
    outgoing.end(options.body ?? undefined)
  })
}

/** Two messages a second apart over one connection; both must come back. */
async function echo(id: string, options: LoadOptions): Promise<void> {
  const socket = new WebSocket(`ws://127.0.0.1:${String(options.port)}/ws`, {
    headers: { host: options.host },
  })
  const closed = new Promise<never>((_, reject) => {
    socket.once('close', (code) => reject(new Error(`closed with ${String(code)}`)))
    socket.once('error', reject)
  })
  closed.catch(() => undefined)
  try {
    await Promise.race([new Promise((resolve) => socket.once('open', resolve)), closed])
    for (const message of [`${id}-a`, `${id}-b`]) {
      const answer = new Promise<string>((resolve) =>
        socket.once('message', (data: Buffer) => resolve(data.toString())),
      )
      socket.send(message)
      const text = await Promise.race([answer, closed])
      if (text !== message) throw new Error(`echoed ${text}`)
      await sleep(500)
    }
  } finally {
    socket.close()
  }
}
