import { createHash, randomBytes } from 'node:crypto'
import type { FairwayClient } from '../client/fairway-client.ts'
import { ClientError } from '../client/client-error.ts'
import type { ResponseOf } from '../contract/endpoints.ts'
import type { UserBody } from '../contract/login.ts'
import { FairwayError } from '../model/errors.ts'
import { localName } from './claim-server.ts'
import type { Context } from './context.ts'
import { openLoopback, type Loopback } from './loopback.ts'
import { printable } from './text-width.ts'

export interface PersonLogin {
  readonly token: string
  readonly user: UserBody
}

/**
 * Login at the server's identity provider: in a browser that opens here, else by a code that is typed in elsewhere.
 * @throws ClientError LOGIN_UNAVAILABLE, LOGIN_REFUSED; FairwayError TIMEOUT
 */
export async function loginAtProvider(context: Context, server: string): Promise<PersonLogin> {
  const client = context.connect(server, null)
  // Binds the session to this process: who only sees URLs cannot have it.
  const verifier = randomText()
  if (context.args.flag('device')) return await byDevice(context, client, verifier)
  const state = randomText()
  const loopback = await openLoopback(state)
  try {
    const way = { kind: 'browser' as const, port: loopback.port, state }
    const begun = await client.beginLogin({ ...about(verifier), way })
    if (await context.programs.openBrowser(begun.url)) {
      tell(context, [
        `Go on in the browser, where the same code must stand: ${bold(context, begun.code)}`,
        `Nothing opened? ${begun.url}`,
        'No browser on this machine? `fairway login --device`',
      ])
    } else {
      const device = await deviceInstead(context, client, verifier)
      if (device !== null) return device
      tell(context, [
        `Open this in a browser on this machine: ${begun.url}`,
        `The same code must stand there: ${bold(context, begun.code)}`,
      ])
    }
    return await byBrowser(context, client, { loopback, begun, verifier })
  } finally {
    loopback.close()
  }
}

interface Browser {
  readonly loopback: Loopback
  readonly begun: ResponseOf<'beginLogin'>
  readonly verifier: string
}

async function byBrowser(
  context: Context,
  client: FairwayClient,
  { loopback, begun, verifier }: Browser,
): Promise<PersonLogin> {
  let code: string | null
  try {
    code = await loopback.arrived(Math.max(0, begun.expiresAt - context.now))
  } catch (cause) {
    throw new FairwayError('TIMEOUT', 'nobody finished the login in time', { cause })
  }
  const redeemed = await client.redeemLogin(begun.id, { verifier, code })
  if (redeemed.status === 'done') return redeemed
  throw new FairwayError('INTERNAL', 'the server waits for a login that has ended')
}

/** Null where the provider has no device codes. */
async function deviceInstead(
  context: Context,
  client: FairwayClient,
  verifier: string,
): Promise<PersonLogin | null> {
  let begun: ResponseOf<'beginLogin'>
  try {
    begun = await client.beginLogin({ ...about(verifier), way: { kind: 'device' } })
  } catch (error) {
    if (error instanceof ClientError && error.code === 'LOGIN_REFUSED') return null
    throw error
  }
  return await untilDone(context, client, begun, verifier)
}

async function byDevice(
  context: Context,
  client: FairwayClient,
  verifier: string,
): Promise<PersonLogin> {
  const begun = await client.beginLogin({ ...about(verifier), way: { kind: 'device' } })
  return await untilDone(context, client, begun, verifier)
}

async function untilDone(
  context: Context,
  client: FairwayClient,
  begun: ResponseOf<'beginLogin'>,
  verifier: string,
): Promise<PersonLogin> {
  const { clock } = context.io
  const url = printable(begun.completeUrl ?? begun.url, false)
  tell(context, [
    `Open this on any device: ${url}`,
    `and type in or compare the code: ${bold(context, begun.code)}`,
  ])
  let waitMs = begun.intervalMs ?? 5000
  while (clock.now() < begun.expiresAt) {
    await clock.sleep(waitMs)
    const redeemed = await client.redeemLogin(begun.id, { verifier, code: null })
    if (redeemed.status === 'done') return redeemed
    waitMs = Math.max(redeemed.intervalMs, 100)
  }
  throw new FairwayError('TIMEOUT', 'nobody finished the login in time')
}

function about(verifier: string): { readonly challenge: string; readonly client: string } {
  const challenge = createHash('sha256').update(verifier).digest('base64url')
  return { challenge, client: localName() }
}

/** On standard error: needed also with --json and in a pipe. */
function tell({ out }: Context, lines: readonly string[]): void {
  for (const line of lines) out.problem(line)
}

function bold({ out }: Context, text: string): string {
  return out.paint('bold', printable(text, false))
}

function randomText(): string {
  return randomBytes(32).toString('base64url')
}
