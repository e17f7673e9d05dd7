import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { InstallBody } from '../contract/target.ts'
import { FairwayError } from '../model/errors.ts'
import { parseDotenv } from './dotenv.ts'

type ServerSettings = NonNullable<InstallBody['settings']>

/** Variables that lead to a file. */
const LEADS_TO_FILE = /(?:_FILE|^NODE_EXTRA_CA_CERTS|^GOOGLE_APPLICATION_CREDENTIALS)$/

/**
 * Variables of a server as a file has them (`parseDotenv`), and what the files hold that they lead to; their paths are relative to its folder.
 * @throws FairwayError INVALID_REQUEST naming the line, or the variable whose file cannot be read; never with a value
 */
export function readServerSettings(path: string, cwd: string): ServerSettings {
  const file = resolve(cwd, path)
  const variables: Record<string, string> = {}
  const files: Record<string, string> = {}
  for (const [name, value] of Object.entries(parseDotenv(givenText(file, path), path))) {
    if (LEADS_TO_FILE.test(name)) files[name] = givenText(resolve(dirname(file), value), name)
    else variables[name] = value
  }
  return { variables, files }
}

/** What a file holds. @param what how messages call it @throws FairwayError INVALID_REQUEST where it cannot be read */
export function givenText(file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'an error'
    throw new FairwayError('INVALID_REQUEST', `${what}: the file cannot be read (${reason})`)
  }
}
