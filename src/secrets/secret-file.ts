import { readFile } from 'node:fs/promises'
import { isMissing, writeAtomically } from '../lib/atomic-file.ts'
import { FairwayError } from '../model/errors.ts'
import type { CreationRule } from '../sops/creation-rules.ts'
import { masterKeyOf, type MasterKey } from '../sops/data-key.ts'
import { checkAgeRecipient } from '../sops/keys/age.ts'
import { namesOf, typeOfId } from '../sops/keys/key-names.ts'
import { edited, type Format, type Leaf } from '../sops/document.ts'
import { formatOf } from '../sops/format-of.ts'
import type { KeyKind } from '../sops/keys/key-kind.ts'
import { scalar } from '../sops/scalar.ts'
import { chooser } from '../sops/selector.ts'
import {
  decryptFile,
  encryptAgain,
  encryptFile,
  rotateFile,
  way,
  type OpenFile,
  type Sources,
} from '../sops/sops-file.ts'
import { named } from './failure.ts'

export interface SecretName {
  readonly name: string
  /** str, int, float, bool, time or null. */
  readonly type: string
  readonly encrypted: boolean
}

export type ChangeKind = 'added' | 'removed' | 'changed' | 'type changed'
export interface SecretChange {
  readonly name: string
  readonly kind: ChangeKind
}

export interface Outside extends Pick<Sources, 'now' | 'random'> {
  /** Those of keyring.ts. Files that are opened with the same ask a person only once. */
  readonly keys: readonly KeyKind[]
}

/** An encrypted file of an app's repository, opened. Nothing is written before `save`, `rotate` or a change of recipients. */
export class SecretFile {
  readonly path: string
  readonly #format: Format
  readonly #outside: Outside
  readonly #file: OpenFile | null
  #text: string

  private constructor(path: string, outside: Outside, file: OpenFile | null) {
    this.path = path
    this.#format = formatOf(path)
    this.#outside = outside
    this.#file = file
    this.#text = file?.text ?? ''
  }

  /** @throws FairwayError NOT_FOUND, SECRETS_INVALID, SECRETS_CLOSED, SECRETS_TAMPERED */
  static async open(path: string, outside: Outside): Promise<SecretFile> {
    const content = await contentOf(path)
    if (content === null) {
      throw new FairwayError('NOT_FOUND', `there is no file ${path}`, {
        hint: '`fairway secrets set --file FILE NAME=-` makes one, by the rules of .sops.yaml.',
      })
    }
    return SecretFile.read(path, content, outside)
  }

  /** The same for a content that does not stand at this path now. @throws FairwayError as `open` */
  static async read(path: string, content: Buffer, outside: Outside): Promise<SecretFile> {
    const format = formatOf(path)
    const file = await named(path, () =>
      decryptFile(format, content.toString(encoding(format)), outside.keys),
    )
    return new SecretFile(path, outside, file)
  }

  /** Opens the file, or begins a new one that `.sops.yaml` has a rule for. */
  static async openOrNew(path: string, outside: Outside): Promise<SecretFile> {
    if ((await contentOf(path)) !== null) return SecretFile.open(path, outside)
    return new SecretFile(path, outside, null)
  }

  /** The whole document in clear. */
  get text(): string {
    return this.#text
  }

  /** How `text` is written to a file. */
  get encoding(): 'utf8' | 'latin1' {
    return encoding(this.#format)
  }

  get recipients(): readonly (readonly MasterKey[])[] {
    return this.#file?.metadata.groups.map((group) => group.map(masterKeyOf)) ?? []
  }

  async names(): Promise<SecretName[]> {
    const leaves = await this.#leaves()
    const isEncrypted = this.#file === null ? () => true : chooser(this.#file.metadata.selector)
    return leaves.map((leaf) => ({
      name: way(leaf),
      type: leaf.scalar.type,
      encrypted: leaf.scalar.type !== 'null' && isEncrypted(leaf),
    }))
  }

  /** One value. @throws FairwayError NOT_FOUND */
  async value(name: string): Promise<Buffer> {
    const file = this.#file
    const values =
      file !== null && file.text === this.#text ? await file.values() : await this.#leaves()
    const found = values.find((each) => way(each) === name)
    if (found === undefined) throw this.#lacks(name)
    return found.scalar.bytes
  }

  /** Sets a value as text, at a name that is there or one that a map can take. @throws FairwayError SECRETS_INVALID */
  async set(name: string, value: string): Promise<void> {
    const leaf = (await this.#leaves()).find((each) => way(each) === name)
    const text = scalar('str', value)
    const edit = await named(this.path, async () =>
      leaf === undefined
        ? (await this.#format.read(this.#text)).add(pathOf(name), text)
        : { start: leaf.start, end: leaf.end, text: leaf.write(text) },
    )
    this.#text = edited(this.#text, [edit])
  }

  /** @throws FairwayError NOT_FOUND, SECRETS_INVALID for one that cannot be taken out alone */
  async unset(name: string): Promise<void> {
    const { item } = await this.#leaf(name)
    if (item === undefined) {
      throw new FairwayError(
        'SECRETS_INVALID',
        `${this.path}: ${name} shares its line with others; use \`fairway secrets edit\``,
      )
    }
    this.#text = edited(this.#text, [{ start: item.start, end: item.end, text: '' }])
  }

  /** Takes an edited form of `text`. */
  replace(text: string): void {
    this.#text = text
  }

  /** Encrypts and writes; false where nothing had changed. @throws FairwayError SECRETS_INVALID */
  async save(): Promise<boolean> {
    const file = this.#file
    if (file !== null && file.text === this.#text) return false
    const sources = await this.#sources()
    const encrypted = await named(this.path, async () =>
      file === null
        ? encryptFile(this.#format, this.#text, await this.#rule(), sources)
        : encryptAgain(this.#format, this.#text, file, sources),
    )
    await this.#write(encrypted)
    return true
  }

  /** A new data key for the same readers. */
  async rotate(): Promise<void> {
    await this.#rotate(null)
  }

  /** A new data key for other readers: who left cannot read what is written from now on, but knows the values of before. */
  async changeRecipients(add: readonly string[], remove: readonly string[]): Promise<void> {
    const known = new Set(this.recipients.flat().map(({ id }) => id))
    for (const id of remove) {
      if (!known.has(id)) throw new FairwayError('NOT_FOUND', `${this.path}: ${id} is no recipient`)
    }
    const added = await named(this.path, () =>
      Promise.all(add.filter((id) => !known.has(id)).map(masterKeyFor)),
    )
    const groups = this.recipients.map((group, index) => [
      ...group.filter(({ id }) => !remove.includes(id)),
      ...(index === 0 ? added : []),
    ])
    await this.#rotate(groups)
  }

  /** What became of the names of an older form of this file. */
  async changesSince(older: SecretFile): Promise<SecretChange[]> {
    const before = new Map((await older.#leaves()).map((leaf) => [way(leaf), leaf.scalar]))
    const after = new Map((await this.#leaves()).map((leaf) => [way(leaf), leaf.scalar]))
    const names = [...new Set([...before.keys(), ...after.keys()])]
    return names.flatMap((name): SecretChange[] => {
      const [old, now] = [before.get(name), after.get(name)]
      if (old === undefined) return [{ name, kind: 'added' }]
      if (now === undefined) return [{ name, kind: 'removed' }]
      if (old.type !== now.type) return [{ name, kind: 'type changed' }]
      return old.bytes.equals(now.bytes) ? [] : [{ name, kind: 'changed' as const }]
    })
  }

  async #rotate(groups: readonly (readonly MasterKey[])[] | null): Promise<void> {
    const file = this.#file
    if (file === null) throw new FairwayError('NOT_FOUND', `there is no file ${this.path}`)
    const sources = await this.#sources()
    await this.#write(await named(this.path, () => rotateFile(this.#format, file, groups, sources)))
  }

  async #sources(): Promise<Sources> {
    const { now, random, keys } = this.#outside
    const { ruleFor } = await import('./rules.ts')
    const indents = (await ruleFor(this.path))?.indents
    const { name } = this.#format
    const indent = name === 'dotenv' || name === 'ini' ? null : (indents?.[name] ?? null)
    return { now, random, keys, indent }
  }

  async #rule(): Promise<CreationRule> {
    const { ruleFor } = await import('./rules.ts')
    const rule = await ruleFor(this.path)
    if (rule !== null) return rule
    throw new FairwayError(
      'SECRETS_INVALID',
      `${this.path}: no creation rule of a .sops.yaml says who may read it`,
      {
        hint: 'docs/secrets.md has a .sops.yaml to start from.',
      },
    )
  }

  async #write(text: string): Promise<void> {
    await writeAtomically(this.path, Buffer.from(text, encoding(this.#format)), { mode: 0o644 })
  }

  async #leaves(): Promise<Leaf[]> {
    const document = await named(this.path, () => this.#format.read(this.#text))
    return document.leaves.filter(({ scalar: { type } }) => type !== 'comment')
  }

  async #leaf(name: string): Promise<Leaf> {
    const leaf = (await this.#leaves()).find((each) => way(each) === name)
    if (leaf !== undefined) return leaf
    throw this.#lacks(name)
  }

  #lacks(name: string): FairwayError {
    return new FairwayError('NOT_FOUND', `${this.path} has no value ${JSON.stringify(name)}`, {
      hint: '`fairway secrets list` shows the names.',
    })
  }
}

async function masterKeyFor(id: string): Promise<MasterKey> {
  const type = typeOfId(id)
  if (type === 'age') await checkAgeRecipient(id)
  return { type, id, names: namesOf(type, id) }
}

/** `a.b[0]` as keys and positions. */
function pathOf(name: string): (string | number)[] {
  return [...name.matchAll(/\[(\d+)\]|[^.[\]]+/g)].map(([part, index]) =>
    index === undefined ? part : Number(index),
  )
}

function encoding({ name }: Format): 'utf8' | 'latin1' {
  return name === 'binary' ? 'latin1' : 'utf8'
}

async function contentOf(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path)
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}
