/** JWT-SVIDs (JWT-SVID sections 2 to 4). Loaded when the first one is asked for. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { errors, jwtVerify, SignJWT, type JWK, type JWTPayload } from 'jose'
import type { Root } from './authority-state.ts'
import { parseSpiffeId, spiffeIdText, type SpiffeId } from './spiffe-id.ts'

const ALGORITHM = 'ES256'
/** Longer ones are refused before anything is computed. */
const MAX_TOKEN = 16_384
const SKEW_SECONDS = 60

export interface JwtVerdict {
  readonly id: SpiffeId
  readonly claims: JWTPayload
}

/** One token for the audiences, which are never empty. `now` and `lifeMs` in milliseconds. */
export async function issueJwtSvid(
  root: Root,
  id: SpiffeId,
  options: {
    readonly audience: readonly string[]
    readonly now: number
    readonly lifeMs: number
  },
): Promise<string> {
  const seconds = Math.floor(options.now / 1000)
  return new SignJWT({})
    .setProtectedHeader({ alg: ALGORITHM, kid: root.id, typ: 'JWT' })
    .setSubject(spiffeIdText(id))
    .setAudience([...options.audience])
    .setIssuedAt(seconds)
    .setExpirationTime(seconds + Math.floor(options.lifeMs / 1000))
    .sign(createPrivateKey(root.jwtKey))
}

/** Null where it is not a JWT-SVID of these roots for this audience, now: whoever asks must not learn why. */
export async function validateJwtSvid(
  token: string,
  options: {
    readonly roots: readonly Root[]
    readonly trustDomain: string
    readonly audience: string
    readonly now: number
  },
): Promise<JwtVerdict | null> {
  if (token.length > MAX_TOKEN) return null
  // Not a key set of the library: it wants `use: sig`, a bundle says `jwt-svid`.
  const keyFor = ({ kid }: { readonly kid?: string }): KeyObject => {
    const root = options.roots.find(({ id }) => id === kid)
    if (root === undefined) throw new errors.JWKSNoMatchingKey()
    return createPublicKey(root.jwtKey)
  }
  try {
    const { payload } = await jwtVerify(token, keyFor, {
      algorithms: [ALGORITHM],
      audience: options.audience,
      requiredClaims: ['sub', 'aud', 'exp'],
      clockTolerance: SKEW_SECONDS,
      currentDate: new Date(options.now),
    })
    const id = parseSpiffeId(payload.sub ?? '')
    if (id === null || id.path === '' || id.trustDomain !== options.trustDomain) return null
    return { id, claims: payload }
  } catch (error) {
    if (error instanceof errors.JOSEError) return null
    throw error
  }
}

/** The JWT half of the bundle (SPIFFE Trust Domain and Bundle, section 4): what the Workload API gives per trust domain. */
export function jwtBundle(roots: readonly Root[]): string {
  return JSON.stringify({ keys: roots.map(jwtKey) })
}

function jwtKey(root: Root): JWK {
  const { kty, crv, x, y } = createPublicKey(root.jwtKey).export({ format: 'jwk' })
  if (kty === undefined || crv === undefined || x === undefined || y === undefined)
    throw new Error('a root has a JWT key of another kind')
  return { kty, crv, x, y, kid: root.id, use: 'jwt-svid', alg: ALGORITHM }
}
