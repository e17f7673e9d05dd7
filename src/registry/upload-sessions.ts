import type { BlobDraft } from '../oci/blob-store.ts'
import { RegistryError } from './registry-error.ts'

export interface Upload {
  readonly id: string
  readonly repository: string
  readonly draft: BlobDraft
}

interface Session extends Upload {
  usedAt: number
  busy: boolean
}

interface UploadSessionsOptions {
  readonly now: () => number
  readonly randomId: () => string
  readonly ttlMs: number
  readonly maxUploads: number
}

/** Blobs that are on their way. A session belongs to one repository, serves one request at a time and ends by itself when nobody uses it. */
export class UploadSessions {
  readonly #options: UploadSessionsOptions
  readonly #sessions = new Map<string, Session>()
  /** Being opened: they count before they are there. */
  #opening = 0

  constructor(options: UploadSessionsOptions) {
    this.#options = options
  }

  /** @throws RegistryError TOOMANYREQUESTS */
  async open(repository: string, begin: () => Promise<BlobDraft>): Promise<Upload> {
    await this.#expire()
    if (this.#sessions.size + this.#opening >= this.#options.maxUploads) {
      throw new RegistryError(
        { status: 429, code: 'TOOMANYREQUESTS', headers: { 'retry-after': '5' } },
        `${this.#options.maxUploads} uploads are open already`,
      )
    }
    const id = this.#options.randomId()
    const draft = await this.#begun(begin)
    const session = { id, repository, draft, usedAt: this.#options.now(), busy: false }
    this.#sessions.set(id, session)
    return session
  }

  /** Runs a task alone on the session. @throws RegistryError BLOB_UPLOAD_UNKNOWN, or BLOB_UPLOAD_INVALID where another request writes to it */
  async use<T>(
    upload: { id: string; repository: string },
    task: (it: Upload) => Promise<T>,
  ): Promise<T> {
    await this.#expire()
    const session = this.#sessions.get(upload.id)
    if (session?.repository !== upload.repository) {
      throw new RegistryError(
        { status: 404, code: 'BLOB_UPLOAD_UNKNOWN' },
        'there is no such upload',
      )
    }
    if (session.busy) {
      throw new RegistryError(
        { status: 409, code: 'BLOB_UPLOAD_INVALID' },
        'another request writes to this upload',
      )
    }
    session.busy = true
    try {
      return await task(session)
    } finally {
      session.busy = false
      session.usedAt = this.#options.now()
    }
  }

  /** Forgets it, whether it was finished or not. */
  async end({ id, draft }: Upload): Promise<void> {
    this.#sessions.delete(id)
    await draft.abort()
  }

  async close(): Promise<void> {
    for (const session of [...this.#sessions.values()]) await this.end(session)
  }

  // Private

  async #begun(begin: () => Promise<BlobDraft>): Promise<BlobDraft> {
    this.#opening += 1
    try {
      return await begin()
    } finally {
      this.#opening -= 1
    }
  }

  async #expire(): Promise<void> {
    const before = this.#options.now() - this.#options.ttlMs
    for (const session of [...this.#sessions.values()]) {
      if (!session.busy && session.usedAt < before) await this.end(session)
    }
  }
}
