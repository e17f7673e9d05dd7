import { createLocalJWKSet, errors, jwtVerify, SignJWT } from 'jose'
import { z } from 'zod'
import type { Clock } from '../model/clock.ts'
import { ALGORITHM, type AccessKeys } from './access-keys.ts'

/** What a token for a cluster says. */
export interface AccessClaims {
  /** As the cluster knows them: `fairway:user:ann`. */
  readonly user: string
  /** Names the credential with which it was asked for; the token ends with it. */
  readonly credential: string
  /** Only this environment counts; null = all. */
  readonly environment: string | null
  /** For clusters that believe the token itself; empty where rights are looked up at each use. */
  readonly groups: readonly string[]
}

export interface AccessTokensOptions {
  readonly keys: AccessKeys
  readonly clock: Clock
  /** https URL of this issuer, without a slash at the end. */
  readonly issuer: () => string
  readonly randomId: () => string
}

export const LIFETIME_S = 300
/** Clocks of clusters may be behind ours. */
const SKEW_S = 30
const MAX_LENGTH = 16_384

const claims = z.object({
  sub: z.string().min(1).max(300),
  credential: z.string().min(1).max(100),
  environment: z.string().max(100).optional(),
  groups: z.array(z.string().max(300)).default([]),
})

/** Signed tokens (RFC 7519), each good for one cluster and five minutes. */
export class AccessTokens {
  readonly #options: AccessTokensOptions

  constructor(options: AccessTokensOptions) {
    this.#options = options
  }

  /** @param audience the one cluster that it is for */
  async sign(
    { user, credential, environment, groups }: AccessClaims,
    audience: string,
  ): Promise<{ readonly token: string; readonly expiresAt: number }> {
    const { keys, clock, issuer, randomId } = this.#options
    const { kid, key } = await keys.signing()
    const now = Math.floor(clock.now() / 1000)
    const token = await new SignJWT({
      credential,
      groups: [...groups],
      ...(environment === null ? {} : { environment }),
    })
      .setProtectedHeader({ alg: ALGORITHM, kid, typ: 'JWT' })
      .setIssuer(issuer())
      .setSubject(user)
      .setAudience(audience)
      .setJti(randomId())
      .setIssuedAt(now)
      .setNotBefore(now - SKEW_S)
      .setExpirationTime(now + LIFETIME_S)
      .sign(key)
    return { token, expiresAt: (now + LIFETIME_S) * 1000 }
  }

  /** Null for whatever is not a token of ours for exactly this cluster and now. */
  async verify(token: string, audience: string): Promise<AccessClaims | null> {
    if (token.length > MAX_LENGTH) return null
    const { keys, clock, issuer } = this.#options
    const { keys: published } = await keys.published()
    try {
      const { payload } = await jwtVerify(token, createLocalJWKSet({ keys: [...published] }), {
        algorithms: [ALGORITHM],
        typ: 'JWT',
        issuer: issuer(),
        audience,
        requiredClaims: ['exp', 'iat', 'nbf', 'sub', 'jti'],
        maxTokenAge: LIFETIME_S,
        clockTolerance: 0,
        currentDate: new Date(clock.now()),
      })
      // One audience and no list: a token for two clusters would carry the rights of one into the other.
      if (typeof payload.aud !== 'string') return null
      const parsed = claims.safeParse(payload)
      if (!parsed.success) return null
      const { sub, credential, environment = null, groups } = parsed.data
      return { user: sub, credential, environment, groups }
    } catch (error) {
      if (error instanceof errors.JOSEError || error instanceof TypeError) return null
      throw error
    }
  }
}
