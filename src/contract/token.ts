import { z } from 'zod'
import { id, label, time } from './name.ts'
import { grant, grantBody, MAX_GRANTS } from './grant.ts'

export const token = z
  .object({
    id,
    name: z.string(),
    /** Whose it is; null = a service's, which never approves. */
    person: z.string().nullable(),
    grants: z.array(grant),
    createdAt: time,
    expiresAt: time.nullable(),
    lastUsedAt: time.nullable(),
  })
  .meta({ id: 'Token' })

/** Who the caller is and what it may do where. */
export const whoami = z
  .object({
    id: z.string(),
    name: z.string(),
    kind: z.enum(['token', 'user']),
    groups: z.array(z.string()),
    grants: z.array(grant),
  })
  .meta({ id: 'Whoami' })

export const claimBody = z.strictObject({ code: z.string().min(1).max(200), name: label })

export const newTokenBody = z.strictObject({
  name: label,
  /** Whose token it is; null or absent = a service's. */
  person: label.nullable().optional(),
  grants: z.array(grantBody).min(1).max(MAX_GRANTS),
  /** Null or absent = until revoked. */
  expiresAt: time.nullable().optional(),
})

/** The only answer that ever holds a token. */
export const issuedToken = z.object({ token: z.string(), view: token }).meta({ id: 'IssuedToken' })

export type TokenBody = z.output<typeof token>
export type WhoamiBody = z.output<typeof whoami>
