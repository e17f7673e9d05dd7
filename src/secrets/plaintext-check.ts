import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { formatOf } from '../sops/format-of.ts'
import { FairwayError } from '../model/errors.ts'
import { parseMetadata } from '../sops/metadata.ts'
import { plaintextLeaves, way } from '../sops/sops-file.ts'
import { named } from './failure.ts'
import { ruleFor } from './rules.ts'

export interface Plaintext {
  readonly path: string
  /** The value in clear; null where the whole file is. */
  readonly name: string | null
}

const SKIPPED = new Set(['.git', 'node_modules'])

/**
 * What stands in clear where a creation rule with a `path_regex` says encrypted, or inside an encrypted file. Needs no key: it looks at the form only.
 * @param paths files and folders; what does not exist is an error
 * @throws FairwayError SECRETS_INVALID for a file that cannot be read as what its name says
 */
export async function findPlaintext(paths: readonly string[]): Promise<Plaintext[]> {
  const found: Plaintext[] = []
  for (const path of paths) {
    if (!(await stat(path)).isDirectory()) {
      found.push(...(await check(path)))
      continue
    }
    const inside = (await readdir(path, { withFileTypes: true }))
      .filter((entry) => !SKIPPED.has(entry.name) && (entry.isFile() || entry.isDirectory()))
      .map(({ name }) => join(path, name))
    found.push(...(await findPlaintext(inside.sort())))
  }
  return found
}

/**
 * Says no to a file that is not encrypted, or not all of it. Needs no key: it looks at the form only.
 * @throws FairwayError SECRETS_INVALID
 */
export async function assertEncrypted(path: string, text: string): Promise<void> {
  const found = await named(path, async () => {
    const document = await formatOf(path).read(text)
    if (document.metadata === null) return null
    const { selector } = parseMetadata(document.metadata)
    return plaintextLeaves(document, selector).map(way)
  })
  if (found === null)
    throw new FairwayError('SECRETS_INVALID', `${path} is not encrypted: it was not sent`, {
      hint: `Encrypt it with \`sops encrypt --in-place ${path}\`, or begin it with \`fairway secrets set --file ${path} NAME=-\`.`,
    })
  if (found.length > 0)
    throw new FairwayError(
      'SECRETS_INVALID',
      `${path} was not sent: in clear stands ${found.slice(0, 5).join(', ')}`,
      { hint: `\`fairway secrets edit --file ${path}\` encrypts what is new.` },
    )
}

async function check(path: string): Promise<Plaintext[]> {
  const rule = await ruleFor(path)
  if (rule === null || rule.isForAll) return []
  const format = formatOf(path)
  const content = await readFile(path, format.name === 'binary' ? 'latin1' : 'utf8')
  return named(path, async () => {
    const document = await format.read(content)
    if (document.metadata === null) return content === '' ? [] : [{ path, name: null }]
    const { selector } = parseMetadata(document.metadata)
    return plaintextLeaves(document, selector).map((leaf) => ({ path, name: way(leaf) }))
  })
}
