import { z } from 'zod'
import { id, label, time } from './name.ts'

/** 32 to 128 letters that a URL takes as they are: RFC 7636, section 4.1. */
const urlText = z
  .string()
  .regex(/^[A-Za-z0-9._~-]{32,128}$/, 'expected 32 to 128 of A-Z, a-z, 0-9 and ._~-')

/** Base64url of a SHA-256. */
const challenge = z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'expected base64url of a SHA-256')

export const loginBody = z.strictObject({
  way: z.discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('browser'),
      /** On 127.0.0.1 of the machine with the browser. */
      port: z.number().int().min(1024).max(65_535),
      state: urlText,
    }),
    z.strictObject({ kind: z.literal('device') }),
  ]),
  challenge,
  client: label,
})

export const begunLogin = z
  .object({
    id,
    url: z.string(),
    completeUrl: z.string().nullable(),
    code: z.string(),
    intervalMs: z.number().int().nullable(),
    expiresAt: time,
  })
  .meta({ id: 'Login' })

export const redemptionBody = z.strictObject({
  verifier: urlText,
  code: z.string().min(1).max(200).nullable(),
})

export const user = z
  .object({
    id,
    name: z.string(),
    email: z.string().nullable(),
    groups: z.array(z.string()),
    createdAt: time,
    lastLoginAt: time,
  })
  .meta({ id: 'User' })

export const session = z
  .object({
    id,
    client: z.string(),
    createdAt: time,
    lastUsedAt: time,
    confirmedAt: time,
    expiresAt: time,
  })
  .meta({ id: 'Session' })

export const userWithSessions = user.extend({ sessions: z.array(session) })

/** The only answer that ever holds a session token. */
export const redeemed = z.discriminatedUnion('status', [
  z.object({ status: z.literal('waiting'), intervalMs: z.number().int() }),
  z.object({ status: z.literal('done'), token: z.string(), user }),
])

export const ownSession = z.object({
  session,
  groups: z.array(z.string()),
  /** What the session's owner must know; null = nothing. */
  notice: z.string().nullable(),
})

export type UserBody = z.output<typeof user>
export type SessionBody = z.output<typeof session>
export type UserWithSessionsBody = z.output<typeof userWithSessions>
export type RedeemedBody = z.output<typeof redeemed>
