/**
 * What runs beside an app's own command in a pod that has an identity: makes a key, has the server sign for it, and serves both as on a machine, in files and at
 * the Workload API; all over again at half of the certificate's life, for as long as the pod lives. Its image has nothing but what it imports (helper-files.ts).
 *
 * In: what server-call.ts reads, as FAIRWAY_IDENTITY_…, and FAIRWAY_IDENTITY (folder in memory).
 * Out: the files of docs/identity.md, then the socket. Exit 1 where the server refuses the first certificate, with its words as the last line; later it never
 * ends by itself, as what is there stays good for a while.
 */
import { createPrivateKey, generateKeyPairSync, sign, X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { swapFiles } from '../lib/memory-files.ts'
import { revealedFiles, WORKLOAD_SOCKET } from '../model/secrets.ts'
import type { TrustedRoots } from '../model/workload.ts'
import type { X509Svid } from '../workload/certificate.ts'
import { FarAuthority, type AskServer } from '../workload/far-authority.ts'
import { Holder, identityFolder, renewalTime } from '../workload/holder.ts'
import { parseSpiffeId } from '../workload/spiffe-id.ts'
import { WorkloadApi } from '../workload/workload-api.ts'
import {
  callServer,
  given,
  isRefusal,
  messageOf,
  pauseAfter,
  recordOf,
  say,
  type Answer,
} from './server-call.ts'

const PREFIX = 'FAIRWAY_IDENTITY'
/** A server that has just started may not know this pod's release yet. */
const UNKNOWN_MS = 30_000
/** Looks at the clock so often: timers do not count the time in which a host sleeps, nor a clock that is set. */
const LOOK_MS = 60_000
/** Lives that are no life of a certificate of ours. */
const [SHORTEST_MS, LONGEST_MS] = [1_000, 2 * 86_400_000]
/** While the app runs and the server says no. */
const REFUSED_PAUSE_MS = 300_000

interface Identity {
  readonly svid: X509Svid
  readonly trusted: TrustedRoots
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(0))
const folder = given(PREFIX)
const socket = join(folder, WORKLOAD_SOCKET)
// The container is not the first of its pod: the app runs, with what an earlier one left.
const isLater = existsSync(socket)
const first = await untilSigned(isLater)
if (first === null) process.exit(1)
await keep(first)

async function keep({ svid, trusted }: Identity): Promise<never> {
  const authority = new FarAuthority({ ask, now: () => Date.now(), first: trusted })
  const holder = new Holder(svid)
  await place({ svid, trusted })
  await new WorkloadApi({ authority, caller: holder, log: { error: tell, warn: tell } }).listen(
    socket,
  )
  say(`has an identity for ${String(Math.round((svid.notAfter - svid.issuedAt) / 60_000))} min`)
  for (;;) {
    await untilTime(renewalTime(holder.svid(), Math.random()))
    const next = await untilSigned(true)
    if (next === null) continue
    await place(next)
    holder.take(next.svid)
    authority.trust(next.trusted)
    holder.announce()
  }
}

/** Null where the server refuses for good, which it cannot once the app runs. */
async function untilSigned(isRunning: boolean): Promise<Identity | null> {
  const began = Date.now()
  let said = ''
  for (let tries = 0; ; tries += 1) {
    const { answer, identity } = await request()
    if (identity !== null) return identity
    const isUnknown = answer.status === 404 && Date.now() - began < UNKNOWN_MS
    const isOver = isRefusal(answer) && !isUnknown && !isRunning
    const line = `${isOver ? 'refused' : 'waits for the server'}: ${messageOf(answer)}`
    if (line !== said) say(line)
    if (isOver) return null
    said = line
    await sleep(pauseAfter(tries, isRefusal(answer) && isRunning ? REFUSED_PAUSE_MS : undefined))
  }
}

async function untilTime(at: number): Promise<void> {
  for (let left = at - Date.now(); left > 0; left = at - Date.now())
    await sleep(Math.min(left, LOOK_MS))
}

/** A new key each time; it never leaves the pod. */
async function request(): Promise<{
  readonly answer: Answer
  readonly identity: Identity | null
}> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const answer = await callServer(PREFIX, (token) => {
    const proof = sign('sha256', Buffer.from(token), {
      key: privateKey,
      dsaEncoding: 'ieee-p1363',
    })
    return JSON.stringify({
      publicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
      proof: proof.toString('base64'),
    })
  })
  if (answer.status !== 200) return { answer, identity: null }
  const key = privateKey.export({ type: 'pkcs8', format: 'der' })
  const identity = identityOf(recordOf(answer.text), key)
  if (identity !== null) return { answer, identity }
  return { answer: { status: 0, text: 'the answer holds no certificate' }, identity }
}

/** By this pod's own clock: what counts is how long it is good. Null for what would not serve the app. */
function identityOf(answer: Readonly<Record<string, unknown>>, key: Buffer): Identity | null {
  const { id, certificate, lifeMs, trustDomain, roots, jwtBundle } = answer
  const parsed = typeof id === 'string' ? parseSpiffeId(id) : null
  if (parsed === null || typeof certificate !== 'string' || typeof lifeMs !== 'number') return null
  if (typeof trustDomain !== 'string' || typeof jwtBundle !== 'string') return null
  if (!isTexts(roots) || !(lifeMs >= SHORTEST_MS && lifeMs <= LONGEST_MS)) return null
  const [issuedAt, bytes] = [Date.now(), Buffer.from(certificate, 'base64')]
  if (!fits(bytes, key) || roots.length === 0) return null
  const svid = { id: parsed, certificate: bytes, key, issuedAt, notAfter: issuedAt + lifeMs }
  return { svid, trusted: { trustDomain, roots, jwtBundle } }
}

async function place({ svid, trusted }: Identity): Promise<void> {
  await swapFiles(folder, revealedFiles(identityFolder(svid, trusted)), null)
}

async function ask(question: Readonly<Record<string, unknown>>): ReturnType<AskServer> {
  const answer = await callServer(PREFIX, () => JSON.stringify(question))
  if (answer.status === 200) return recordOf(answer.text)
  return isRefusal(answer) ? messageOf(answer) : null
}

function fits(certificate: Buffer, key: Buffer): boolean {
  try {
    const held = createPrivateKey({ key, format: 'der', type: 'pkcs8' })
    return new X509Certificate(certificate).checkPrivateKey(held)
  } catch {
    return false
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string')
}

function tell(fields: object, message: string): void {
  say(`${message}: ${JSON.stringify(fields)}`)
}
