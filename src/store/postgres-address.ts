import pg from 'pg'
import { FairwayError } from '../model/errors.ts'

/** A database by its URL, which holds a password: only `label` may be shown. */
export interface PostgresAddress {
  /** `user@host:port/database`, for people. */
  readonly label: string
  /** Most connections that a server keeps; parameter `max` of the URL. */
  readonly maxConnections: number
  readonly url: string
}

const DEFAULT_CONNECTIONS = 10
const MOST_CONNECTIONS = 500

/**
 * Reads a connection URL as libpq writes it: `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=FILE`.
 * What it leaves out comes from PGHOST, PGUSER, PGPASSWORD and the like, or ~/.pgpass.
 * @throws FairwayError INVALID_REQUEST, whose text never has the URL or parts of it
 */
export function parsePostgresUrl(url: string): PostgresAddress {
  const parsed = URL.parse(url)
  if (parsed === null || !['postgres:', 'postgresql:'].includes(parsed.protocol))
    throw invalid('is not a URL such as postgres://user:password@host:5432/database')
  // An unencoded / or # in the password would make a part of it look like host or database, which are shown.
  if (parsed.hash !== '' || parsed.pathname.includes('@') || parsed.search.includes('@'))
    throw invalid('has a character that must be percent-encoded, such as %2F for / or %40 for @')
  const parameters = parsed.searchParams
  const user = parameters.get('user') ?? decoded(parsed.username)
  const host = parameters.get('host') ?? decoded(parsed.hostname)
  const port = parameters.get('port') ?? parsed.port
  const name = decoded(parsed.pathname.slice(1))
  readable(url)
  return {
    label: `${user === '' ? '' : `${user}@`}${host || 'localhost'}:${port || '5432'}/${name}`,
    maxConnections: connections(parameters.get('max')),
    url,
  }
}

/** Files of certificates and the like are read once, so that what is wrong with them is said at the start. */
function readable(url: string): void {
  try {
    new pg.Client({ connectionString: url })
  } catch (error) {
    const file = error instanceof Error && 'path' in error ? String(error.path) : null
    throw invalid(
      file === null ? 'has a parameter that is not valid' : `names ${file}, which cannot be read`,
    )
  }
}

function connections(text: string | null): number {
  if (text === null) return DEFAULT_CONNECTIONS
  const number = Number(text)
  if (Number.isInteger(number) && number >= 1 && number <= MOST_CONNECTIONS) return number
  throw invalid(`has a \`max\` that is no number from 1 to ${String(MOST_CONNECTIONS)}`)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('has a % that encodes nothing')
  }
}

function invalid(what: string): FairwayError {
  return new FairwayError('INVALID_REQUEST', `the URL of the database ${what}`, {
    hint: 'Correct FAIRWAY_DATABASE; docs/operating.md describes it.',
  })
}
