import { posix } from 'node:path'
import { FairwayError } from '../model/errors.ts'
import { Secret, type SecretDocument } from '../model/secrets.ts'
import type { Openers } from '../sops/data-key.ts'
import { formatOf } from '../sops/format-of.ts'
import { textOf, type Scalar } from '../sops/scalar.ts'
import { decryptFile, type OpenValue } from '../sops/sops-file.ts'
import { named } from './failure.ts'

/**
 * The values of an encrypted file by the names of its top level: of a single value its text (`true`, `5432`, bytes as they are), of a map or list its JSON. A file that is
 * encrypted as a whole has one value, called as the file.
 * @throws FairwayError SECRETS_CLOSED, SECRETS_INVALID, SECRETS_TAMPERED naming the file; never a value
 */
export async function documentValues(
  { path, text }: SecretDocument,
  openers: Openers,
): Promise<ReadonlyMap<string, Secret>> {
  const format = formatOf(path)
  return named(path, async () => {
    const leaves = await (await decryptFile(format, text, openers)).values()
    if (format.name === 'binary')
      return new Map(leaves.map(({ scalar }) => [posix.basename(path), Secret.of(scalar.bytes)]))
    return valuesOf(leaves, path)
  })
}

function valuesOf(leaves: readonly OpenValue[], path: string): ReadonlyMap<string, Secret> {
  const groups = new Map<string, OpenValue[]>()
  for (const leaf of leaves) {
    const name = String(leaf.at[0])
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [leaf])
    else if (leaf.at.length > 1) group.push(leaf)
    else throw new FairwayError('SECRETS_INVALID', `${path}: ${name} is in it twice`)
  }
  return new Map([...groups].map(([name, group]) => [name, valueOf(group)]))
}

function valueOf(leaves: readonly OpenValue[]): Secret {
  const [first] = leaves
  if (first !== undefined && first.at.length === 1) return Secret.of(plainBytes(first.scalar))
  return Secret.of(jsonOf(leaves, 1))
}

function plainBytes(scalar: Scalar): Uint8Array | string {
  if (scalar.type === 'null') return ''
  return scalar.type === 'bool' ? textOf(scalar).toLowerCase() : scalar.bytes
}

/** By hand: numbers keep all their digits. */
function jsonOf(leaves: readonly OpenValue[], depth: number): string {
  const [first] = leaves
  if (first !== undefined && first.at.length === depth) return jsonScalar(first.scalar)
  const groups = new Map<string | number, OpenValue[]>()
  for (const leaf of leaves) {
    const key = leaf.at[depth] ?? ''
    groups.set(key, [...(groups.get(key) ?? []), leaf])
  }
  const isList = typeof first?.at[depth] === 'number'
  const items = [...groups].map(([key, group]) => {
    const value = jsonOf(group, depth + 1)
    return isList ? value : `${JSON.stringify(String(key))}:${value}`
  })
  return isList ? `[${items.join(',')}]` : `{${items.join(',')}}`
}

function jsonScalar(scalar: Scalar): string {
  const text = textOf(scalar)
  if (scalar.type === 'null') return 'null'
  if (scalar.type === 'bool') return text.toLowerCase()
  const isNumber = scalar.type === 'int' || scalar.type === 'float'
  return isNumber && /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/.test(text) ? text : JSON.stringify(text)
}
