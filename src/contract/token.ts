import { z } from 'zod'
import { ROLES } from '../model/identity.ts'
import { id, label, time } from './name.ts'

export const role = z.enum(ROLES)

export const token = z
  .object({
    id,
    name: z.string(),
    role,
    createdAt: time,
    expiresAt: time.nullable(),
    lastUsedAt: time.nullable(),
  })
  .meta({ id: 'Token' })

export const claimBody = z.strictObject({ code: z.string().min(1).max(200), name: label })

export const newTokenBody = z.strictObject({
  name: label,
  role,
  /** Null or absent = until revoked. */
  expiresAt: time.nullable().optional(),
})

/** The only answer that ever holds a token. */
export const issuedToken = z.object({ token: z.string(), view: token }).meta({ id: 'IssuedToken' })

export type TokenBody = z.output<typeof token>
