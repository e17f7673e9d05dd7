import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect, isIP, isIPv4 } from 'node:net'
import { readIfExists } from '../lib/atomic-file.ts'

export interface DnsUpstream {
  readonly host: string
  readonly port: number
}

const TRY_MS = 2000

/** The name servers of a resolv.conf(5); empty where the file is missing. */
export async function readResolvers(path: string): Promise<readonly DnsUpstream[]> {
  const text = (await readIfExists(path)) ?? ''
  const found: DnsUpstream[] = []
  for (const line of text.split('\n')) {
    const host = /^\s*nameserver\s+(\S+)/.exec(line)?.[1]
    if (host !== undefined && isIP(host.replace(/%.*$/, '')) !== 0) found.push({ host, port: 53 })
  }
  return found.slice(0, 3)
}

/**
 * Asks the resolvers in turn; null where none answers. Each try has its own random id and source port, and only an answer from the asked address with that id
 * and the same question counts (RFC 5452).
 */
export async function forwardQuery(
  query: Buffer,
  upstreams: readonly DnsUpstream[],
  transport: 'udp' | 'tcp',
): Promise<Buffer | null> {
  for (const upstream of upstreams) {
    const message = Buffer.from(query)
    message.writeUInt16BE(randomInt(65_536), 0)
    const answer = await (transport === 'udp' ? overUdp : overTcp)(message, upstream)
    if (answer === null) continue
    query.copy(answer, 0, 0, 2)
    return answer
  }
  return null
}

function overUdp(message: Buffer, upstream: DnsUpstream): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv4(upstream.host) ? 'udp4' : 'udp6')
    const finish = (answer: Buffer | null): void => {
      clearTimeout(timer)
      socket.removeAllListeners()
      socket.on('error', () => undefined)
      socket.close()
      resolve(answer)
    }
    const timer = setTimeout(() => finish(null), TRY_MS)
    socket.on('error', () => finish(null))
    socket.on('message', (answer) => {
      if (answers(message, answer)) finish(answer)
    })
    // Connected: the system drops datagrams from any other source.
    socket.connect(upstream.port, upstream.host, () => socket.send(message))
  })
}

function overTcp(message: Buffer, upstream: DnsUpstream): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const socket = connect({ host: upstream.host, port: upstream.port })
    let input = Buffer.alloc(0)
    const finish = (answer: Buffer | null): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(TRY_MS, () => finish(null))
    socket.on('error', () => finish(null))
    socket.on('close', () => finish(null))
    socket.on('connect', () => {
      const length = Buffer.alloc(2)
      length.writeUInt16BE(message.length)
      socket.write(Buffer.concat([length, message]))
    })
    socket.on('data', (chunk: Buffer) => {
      input = Buffer.concat([input, chunk])
      if (input.length < 2 || input.length < 2 + input.readUInt16BE(0)) return
      const answer = Buffer.from(input.subarray(2, 2 + input.readUInt16BE(0)))
      finish(answers(message, answer) ? answer : null)
    })
  })
}

// Same id, a response, and the same question section (compared without case).
function answers(query: Buffer, answer: Buffer): boolean {
  if (answer.length < 12 || answer.readUInt16BE(0) !== query.readUInt16BE(0)) return false
  if (((answer[2] ?? 0) & 0x80) === 0) return false
  const end = questionEnd(query)
  if (end < 0 || answer.length < end || answer.readUInt16BE(4) !== 1) return false
  return (
    query.toString('latin1', 12, end).toLowerCase() ===
    answer.toString('latin1', 12, end).toLowerCase()
  )
}

function questionEnd(query: Buffer): number {
  let at = 12
  while (at < query.length) {
    const length = query[at] ?? 0
    if (length === 0) return at + 5 <= query.length ? at + 5 : -1
    if (length > 63) return -1
    at += length + 1
  }
  return -1
}
