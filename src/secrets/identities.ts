import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfExists } from '../lib/atomic-file.ts'

export interface Home {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
}

/** The age keys of this user, all of them, from where sops looks: SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, `sops/age/keys.txt` of the configuration folder. */
export async function ownIdentities({ env, home }: Home): Promise<string> {
  const file = env['SOPS_AGE_KEY_FILE']
  const folder = env['XDG_CONFIG_HOME'] ?? join(home, '.config')
  const texts = [
    env['SOPS_AGE_KEY'],
    file === undefined || file === '' ? null : await readFile(file, 'utf8'),
    await readIfExists(join(folder, 'sops', 'age', 'keys.txt')),
  ]
  return texts.filter((text) => typeof text === 'string').join('\n')
}
