import pg from 'pg'

/**
 * What a failure of PostgreSQL means for who asked.
 * - `conflict`: another transaction was in the way, again is right (40001, 40P01)
 * - `outage`: the connection broke or could not be made; another one may work soon
 * - `refused`: it answers, but not us: password, name of the database, TLS, permissions
 * - `slow`: a statement took longer than it may
 * - `full`: its disk is full
 * - `text`: a text has a NUL, which it does not store
 * - `other`: a defect of ours
 */
export type PostgresFailureKind =
  'conflict' | 'outage' | 'refused' | 'slow' | 'full' | 'text' | 'other'

/** Every error of the driver comes out of the pool as this. It keeps code and message only: what else is in them can hold rows. */
export class PostgresFailure extends Error {
  override readonly name = 'PostgresFailure'
  readonly kind: PostgresFailureKind
  /** SQLSTATE, the code of a system error, or null. */
  readonly code: string | null

  constructor(error: unknown) {
    super(error instanceof Error ? error.message || error.name : String(error))
    this.code = codeOf(error)
    this.kind = kindOf(error, this.code)
  }

  /** False where the connection must not be used again. */
  get connectionLives(): boolean {
    return this.kind !== 'outage' && this.kind !== 'refused'
  }
}

/** SQLSTATE (appendix A of the manual) -> kind; the longest prefix counts. */
const KINDS: readonly (readonly [string, PostgresFailureKind])[] = [
  ['40001', 'conflict'],
  ['40P01', 'conflict'],
  ['08', 'outage'],
  ['57P', 'outage'],
  ['53300', 'outage'],
  ['25P03', 'outage'],
  // A standby after a failover: the next connection may reach the new primary.
  ['25006', 'outage'],
  ['28', 'refused'],
  ['3D000', 'refused'],
  ['42501', 'refused'],
  ['57014', 'slow'],
  ['53100', 'full'],
  ['22021', 'text'],
]

function kindOf(error: unknown, code: string | null): PostgresFailureKind {
  if (error instanceof pg.DatabaseError)
    return KINDS.find(([prefix]) => code?.startsWith(prefix) === true)?.[1] ?? 'other'
  if (!(error instanceof Error)) return 'other'
  if (/^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|HOSTNAME_)/.test(code ?? ''))
    return 'refused'
  if (/^SASL|does not support SSL|authentication/i.test(error.message)) return 'refused'
  if (error instanceof TypeError || error instanceof RangeError) return 'other'
  // The driver's own: connection terminated, not queryable, no connection in time, no answer in time; and those of sockets.
  return 'outage'
}

function codeOf(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error)) return null
  return typeof error.code === 'string' ? error.code : null
}
