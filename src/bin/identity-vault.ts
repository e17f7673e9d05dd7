import { hkdfSync } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { readIfExists } from '../lib/atomic-file.ts'
import { openBytes, sealBytes } from '../lib/sealed-bytes.ts'
import type { Secret } from '../model/secrets.ts'
import type { Store } from '../model/store.ts'
import { parseState, stateText } from '../workload/authority-state.ts'
import type { AuthorityVault } from '../workload/authority.ts'

export interface IdentityVaultOptions {
  readonly store: Pick<Store, 'getSetting' | 'setSetting'>
  /** The installation's key: 32 bytes or more that the store has not. */
  readonly serverKey: () => Promise<Secret>
  /** Where earlier versions kept the same in clear: taken over once, and removed. */
  readonly clearFile: string
  readonly random: (bytes: number) => Uint8Array
}

const NAME = 'identities.authority'
const VERSION = 'v1.'
/** What the sealed text is, so that no other one of the store can take its place. */
const BOUND = Buffer.from('fairway identity authority')

/**
 * The signing keys of identities in the store, under the installation's key: all servers of one store are one authority, and nobody who has the database alone
 * can sign. Nothing that cannot be read is lost: it is told, and stays until `save`.
 */
export function identityVault(options: IdentityVaultOptions): AuthorityVault {
  const { store, clearFile } = options
  return {
    load: async () => {
      const sealed = await store.getSetting(NAME)
      const clear = await readIfExists(clearFile)
      if (sealed === null && clear === null) return null
      const text = sealed === null ? clear : opened(sealed, await wrapping(options))
      if (text === null)
        throw new Error(
          'the signing keys of identities are under another server key, or of a newer version',
        )
      // Throws for a damaged file, which is not taken over then.
      if (sealed === null) await save(options, stateText(parseState(text)))
      if (clear !== null) await rm(clearFile, { force: true })
      return text
    },
    save: (text) => save(options, text),
  }
}

// Private

async function save(options: IdentityVaultOptions, text: string): Promise<void> {
  const seal = { key: await wrapping(options), bound: BOUND }
  const sealed = sealBytes(Buffer.from(text), seal, options.random)
  await options.store.setSetting(NAME, `${VERSION}${sealed}`)
}

function opened(sealed: string, key: Buffer): string | null {
  if (!sealed.startsWith(VERSION)) return null
  return openBytes(sealed.slice(VERSION.length), { key, bound: BOUND })?.toString('utf8') ?? null
}

async function wrapping({ serverKey }: IdentityVaultOptions): Promise<Buffer> {
  const bytes = (await serverKey()).reveal()
  return Buffer.from(hkdfSync('sha256', bytes, '', 'fairway identity authority: wrapping', 32))
}
