import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import type { RunResult } from '../../src/lib/process.ts'
import type { PrivatePlatform } from './private-platform.ts'

type Platform = Pick<PrivatePlatform, 'fairway'>

/** The folder of an app called vault, with rules for encrypted files and a key of its owner's, and all that commands in it ever printed. */
export class SecretsRepository {
  readonly folder: string
  /** Lets programs find the owner's key. */
  readonly env: Readonly<Record<string, string>>
  readonly said: string[] = []
  readonly #home: string

  private constructor(home: string) {
    this.#home = home
    this.folder = join(home, 'vault')
    this.env = { SOPS_AGE_KEY_FILE: join(home, 'keys.txt') }
  }

  /** @param files by name, beside package.json and .sops.yaml */
  static async create(files: Readonly<Record<string, string>>): Promise<SecretsRepository> {
    const repository = new SecretsRepository(await mkdtemp(join(tmpdir(), 'fairway-secrets-home-')))
    const identity = await generateX25519Identity()
    await writeFile(join(repository.#home, 'keys.txt'), identity)
    await mkdir(repository.folder)
    const rules = `creation_rules:\n  - path_regex: secrets\n    age: ${await identityToRecipient(identity)}\n`
    const all = {
      'package.json': '{"name":"vault","version":"1.0.0"}',
      '.sops.yaml': rules,
      ...files,
    }
    for (const [name, text] of Object.entries(all))
      await writeFile(join(repository.folder, name), text)
    return repository
  }

  async fairway(platform: Platform, args: readonly string[], input?: string): Promise<RunResult> {
    const options = { cwd: this.folder, ...(input === undefined ? {} : { input }) }
    const result = await platform.fairway(args, options)
    this.said.push(result.stdout, result.stderr)
    return result
  }

  async must(platform: Platform, args: readonly string[], input?: string): Promise<string> {
    const { code, stdout, stderr } = await this.fairway(platform, args, input)
    assert.equal(code, 0, `${args.join(' ')}\n${stdout}\n${stderr}`)
    return `${stdout}${stderr}`
  }

  async remove(): Promise<void> {
    await rm(this.#home, { recursive: true, force: true })
  }
}
