import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { getCACertificates } from 'node:tls'
import { writeAtomically } from '../lib/atomic-file.ts'

/**
 * The authorities that this program trusts, Node's own and those of NODE_EXTRA_CA_CERTS, as one PEM file. Build tools take a bundle instead of their own one: with the
 * company's authority alone they would trust no public package source.
 * @returns its path, below `folder`
 */
export async function writeCaBundle(folder: string): Promise<string> {
  const path = join(folder, 'ca-bundle.pem')
  await mkdir(folder, { recursive: true })
  await writeAtomically(path, `${getCACertificates('default').join('\n')}\n`, { mode: 0o644 })
  return path
}
