import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../lib/log.ts'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import { parsePublished } from './control-schema.ts'
import type { Published } from './plane.ts'

/** The routing table on disk, so that a router that starts anew serves at once. */
export class TableFile {
  readonly #path: string
  readonly #log: Log

  constructor(stateDir: string, log: Log) {
    this.#path = join(stateDir, 'table.json')
    this.#log = log
  }

  /** Null where there is none. A file that cannot be understood is reported and not used: the server publishes anew. */
  async read(): Promise<Published | null> {
    const text = await readIfExists(this.#path)
    if (text === null) return null
    try {
      return parsePublished(JSON.parse(text))
    } catch (error) {
      this.#log.error({ path: this.#path, error: String(error) }, 'stored routing table is damaged')
      return null
    }
  }

  /**
   * For the next router of this boot, so it is not forced to the disk: after a loss of power no instance that it names runs, and the server
   * publishes anew.
   */
  async write(published: Published): Promise<void> {
    await writeAtomically(this.#path, JSON.stringify(published), { durable: false })
  }

  async prepare(): Promise<void> {
    await mkdir(join(this.#path, '..'), { recursive: true, mode: 0o700 })
  }
}
