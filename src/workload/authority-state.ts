import { z } from 'zod'
import { isTrustDomain } from './spiffe-id.ts'

/** One generation of signing keys: a root certificate for X.509-SVIDs and a key for JWT-SVIDs, which come and go together. */
const root = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{16}$/),
  createdAt: z.number(),
  notAfter: z.number(),
  certificate: z.string(),
  /** PKCS#8 in PEM. */
  key: z.string(),
  jwtKey: z.string(),
})

const authority = z
  .strictObject({
    version: z.literal(1),
    trustDomain: z.string().refine(isTrustDomain),
    /** Grows with every change of the bundle: `spiffe_sequence`. */
    sequence: z.number().int().positive(),
    /** Id of the root that signs. */
    signer: z.string(),
    roots: z.array(root).min(1).max(2),
    /** `published`: the new root is in every bundle and signs nothing yet. `switched`: it signs, the old one is still trusted. */
    rotation: z
      .strictObject({ phase: z.enum(['published', 'switched']), since: z.number() })
      .nullable(),
  })
  .refine(({ roots, signer }) => roots.some(({ id }) => id === signer))
  .refine(({ roots, rotation }) => (rotation === null) === (roots.length === 1))

/** The root that it describes and its keys: never logged, never in an answer. */
export type Root = z.output<typeof root>
export type AuthorityState = z.output<typeof authority>

export interface RotationTimes {
  /** Life of an X.509-SVID. */
  readonly svidMs: number
  /** Life of a root; it is replaced at half of it. */
  readonly rootMs: number
}

export type RotationStep = 'publish' | 'switch' | 'retire'

/** @throws Error where it is not what `stateText` wrote; the text is not in the message */
export function parseState(text: string): AuthorityState {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error('the stored keys of the identity authority are not JSON')
  }
  const parsed = authority.safeParse(value)
  if (parsed.success) return parsed.data
  const where = parsed.error.issues.map(({ path }) => path.join('.')).join(', ')
  throw new Error(`the stored keys of the identity authority are damaged: ${where}`)
}

export function stateText(state: AuthorityState): string {
  return JSON.stringify(state)
}

/** What comes next in the life of the roots and when it is due, in milliseconds since the epoch. Each wait is the life of an SVID and a margin: nobody reads a bundle less often than its SVID ends. */
export function nextRotationStep(
  state: AuthorityState,
  times: RotationTimes,
): { readonly step: RotationStep; readonly at: number } {
  const { rotation } = state
  if (rotation === null) {
    const { createdAt, notAfter } = signerOf(state)
    return { step: 'publish', at: createdAt + (notAfter - createdAt) / 2 }
  }
  const at = rotation.since + times.svidMs + MARGIN_MS
  return { step: rotation.phase === 'published' ? 'switch' : 'retire', at }
}

/** Clocks of whoever trusts the bundle may differ this much. */
export const MARGIN_MS = 120_000

export function firstState(trustDomain: string, first: Root): AuthorityState {
  return {
    version: 1,
    trustDomain,
    sequence: 1,
    signer: first.id,
    roots: [first],
    rotation: null,
  }
}

/** From here on both roots are in the bundle. */
export function published(state: AuthorityState, next: Root, now: number): AuthorityState {
  const rotation = { phase: 'published' as const, since: now }
  return changed(state, { roots: [signerOf(state), next], rotation })
}

/** From here on the new root signs. */
export function switched(state: AuthorityState, now: number): AuthorityState {
  const next = state.roots.find(({ id }) => id !== state.signer)
  if (next === undefined) return state
  return { ...state, signer: next.id, rotation: { phase: 'switched', since: now } }
}

/** From here on only the new root is trusted. */
export function retired(state: AuthorityState): AuthorityState {
  return changed(state, { roots: [signerOf(state)], rotation: null })
}

/** From here on nothing is trusted but this root. */
export function replaced(state: AuthorityState, next: Root): AuthorityState {
  return changed(state, { roots: [next], signer: next.id, rotation: null })
}

export function signerOf({ roots, signer }: AuthorityState): Root {
  const found = roots.find(({ id }) => id === signer)
  if (found === undefined) throw new Error('the identity authority has no signing root')
  return found
}

function changed(state: AuthorityState, change: Partial<AuthorityState>): AuthorityState {
  return { ...state, ...change, sequence: state.sequence + 1 }
}
