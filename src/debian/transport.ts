/** How files of an archive reach the disk. Nothing is trusted here: whoever asked verifies what came. */
import { createHash } from 'node:crypto'
import { open, rm, stat } from 'node:fs/promises'
import { isMissing } from '../lib/atomic-file.ts'
import { runToEnd } from '../lib/process.ts'
import { DebianError } from './debian-error.ts'

export interface Download {
  readonly url: string
  /** Absolute path to write; what stands there is replaced. */
  readonly path: string
  /** Bytes after which the download is broken off. */
  readonly maxSize: number
}

export interface Transport {
  /**
   * Fetches all files; where one cannot be fetched its path does not exist afterwards.
   * @returns per download, in order: null where it arrived, else the reason
   */
  download(
    downloads: readonly Download[],
    signal?: AbortSignal,
  ): Promise<readonly (string | null)[]>
}

/**
 * apt's own downloader, with everything the host has configured for it: proxies, certificates, credentials in auth.conf, mirror: and file: addresses.
 * @param program path of apt-helper
 */
export class AptTransport implements Transport {
  readonly #program: string
  constructor(program: string) {
    this.#program = program
  }

  async download(
    downloads: readonly Download[],
    signal?: AbortSignal,
  ): Promise<readonly (string | null)[]> {
    signal?.throwIfAborted()
    await Promise.all(downloads.map(({ path }) => rm(path, { force: true })))
    if (downloads.length === 0) return []
    // Without a hash apt accepts any content; ours is checked by the caller against the signed index.
    const args = downloads.flatMap(({ url, path }) => [url, path, ''])
    const result = await runToEnd(this.#program, ['-q', 'download-file', ...args], {
      maxOutput: 64 * 1024,
      ...(signal === undefined ? {} : { signal }),
    })
    signal?.throwIfAborted()
    return Promise.all(
      downloads.map(async ({ path, maxSize, url }) => {
        const size = await sizeOf(path)
        if (size !== null && size <= maxSize) return null
        await rm(path, { force: true })
        return size === null ? aptReason(result.stderr, url) : tooLarge(size, maxSize)
      }),
    )
  }
}

/** HTTP by an injected fetch, at most `parallel` at once; file: addresses are read from disk. */
export class FetchTransport implements Transport {
  readonly #fetch: typeof fetch
  readonly #parallel: number
  constructor(fetchFile: typeof fetch, parallel = 6) {
    this.#fetch = fetchFile
    this.#parallel = parallel
  }

  async download(
    downloads: readonly Download[],
    signal?: AbortSignal,
  ): Promise<readonly (string | null)[]> {
    const results: (string | null)[] = downloads.map(() => 'not tried')
    const waiting = [...downloads.entries()]
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const [index, item] = next
        results[index] = await this.#one(item, signal)
      }
    }
    await Promise.all(Array.from({ length: this.#parallel }, work))
    return results
  }

  async #one(item: Download, signal?: AbortSignal): Promise<string | null> {
    await rm(item.path, { force: true })
    try {
      const response = await this.#fetch(item.url, signal === undefined ? {} : { signal })
      if (!response.ok || response.body === null) {
        await response.body?.cancel()
        return `HTTP ${response.status} ${response.statusText}`
      }
      await writeBody(response.body, item)
      return null
    } catch (error) {
      await rm(item.path, { force: true })
      signal?.throwIfAborted()
      return reasonOf(error)
    }
  }
}

/** Downloads one file that has to be there and to have this hash. @throws DebianError ARCHIVE_UNREACHABLE or SIGNATURE_INVALID, naming the address */
export async function verifyDownload(
  item: Download,
  expected: { readonly size: number; readonly sha256: string },
): Promise<void> {
  const actual = await hashFile(item.path)
  if (actual.size === expected.size && actual.sha256 === expected.sha256) return
  await rm(item.path, { force: true })
  throw new DebianError(
    'SIGNATURE_INVALID',
    `${item.url} is not the file of the signed index: expected sha256 ${expected.sha256} (${expected.size} bytes), ` +
      `got ${actual.sha256} (${actual.size} bytes)`,
  )
}

async function hashFile(path: string): Promise<{ readonly size: number; readonly sha256: string }> {
  const hash = createHash('sha256')
  let size = 0
  const file = await open(path, 'r')
  for await (const chunk of file.createReadStream({ highWaterMark: 1 << 20 })) {
    const bytes: Buffer = chunk as Buffer
    hash.update(bytes)
    size += bytes.length
  }
  return { size, sha256: hash.digest('hex') }
}

async function writeBody(body: ReadableStream<Uint8Array>, item: Download): Promise<void> {
  const file = await open(item.path, 'w', 0o644)
  try {
    let size = 0
    for await (const chunk of body) {
      size += chunk.length
      if (size > item.maxSize) throw new Error(tooLarge(size, item.maxSize))
      await file.writeFile(chunk)
    }
  } finally {
    await file.close()
  }
}

async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

function aptReason(stderr: string, url: string): string {
  const line = stderr.split('\n').find((text) => text.startsWith('E:') && text.includes(url))
  return (line ?? stderr.trim().split('\n').at(-1) ?? '').replace(/^E:\s*/, '')
}

function tooLarge(size: number, maxSize: number): string {
  return `larger than expected: ${size} bytes of at most ${maxSize}`
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
