import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { armor, enums, readKeys, type Key } from 'openpgp'
import { isMissing } from '../lib/atomic-file.ts'
import type { SigningKeys } from './apt-source.ts'

/** The keyrings apt trusts where a source names none: etc/apt/trusted.gpg, trusted.gpg.d and the distribution's archive keyring. */
export async function defaultKeyrings(hostRoot = '/'): Promise<readonly SigningKeys[]> {
  const folder = join(hostRoot, 'etc/apt/trusted.gpg.d')
  const names = await readdir(folder).catch((error: unknown) => {
    if (isMissing(error)) return []
    throw error
  })
  return [
    join(hostRoot, 'usr/share/keyrings/debian-archive-keyring.gpg'),
    join(hostRoot, 'etc/apt/trusted.gpg'),
    ...names.filter((name) => /\.(gpg|asc)$/.test(name)).map((name) => join(folder, name)),
  ].map((file) => ({ file }))
}

/** Reads every key of the given keyrings, binary or armoured; a missing file holds no key. @throws where a keyring is broken */
export async function loadKeys(keyrings: readonly SigningKeys[]): Promise<readonly Key[]> {
  const loaded = await Promise.all(keyrings.map(loadKeyring))
  const unique = new Map(loaded.flat().map((key) => [key.getFingerprint(), key]))
  return [...unique.values()]
}

/** The keyring as text, whichever of the two forms it has; null where there is none. */
export async function keyringText(keyring: SigningKeys): Promise<string | null> {
  if ('armored' in keyring) return keyring.armored
  const bytes = await keyringBytes(keyring.file)
  if (bytes === null) return null
  if (isArmored(bytes)) return bytes.toString('latin1')
  return armor(enums.armor.publicKey, new Uint8Array(bytes))
}

async function loadKeyring(keyring: SigningKeys): Promise<readonly Key[]> {
  if ('armored' in keyring) return readKeys({ armoredKeys: keyring.armored })
  const bytes = await keyringBytes(keyring.file)
  if (bytes === null) return []
  return isArmored(bytes)
    ? readKeys({ armoredKeys: bytes.toString('latin1') })
    : readKeys({ binaryKeys: new Uint8Array(bytes) })
}

async function keyringBytes(file: string): Promise<Buffer | null> {
  const bytes = await readFile(file).catch((error: unknown) => {
    if (isMissing(error)) return null
    throw error
  })
  return bytes === null || bytes.length === 0 ? null : bytes
}

function isArmored(bytes: Buffer): boolean {
  return bytes.subarray(0, 5).toString('latin1') === '-----'
}
