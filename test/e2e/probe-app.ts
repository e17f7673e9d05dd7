import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { z } from 'zod'
import { fetchText } from '../../bench/load.ts'
import type { PrivatePlatform } from './private-platform.ts'

const PROBE = resolve(import.meta.dirname, '../apps/probe')

/** The app of test/apps/probe in a folder of its own, under a name of its own. */
export class ProbeApp {
  readonly name: string
  readonly folder: string
  readonly #platform: PrivatePlatform

  private constructor(platform: PrivatePlatform, name: string, folder: string) {
    this.#platform = platform
    this.name = name
    this.folder = folder
  }

  /** `file`: what stands in fairway.yaml besides version and name. */
  static async create(
    platform: PrivatePlatform,
    name: string,
    file: Readonly<Record<string, unknown>> = {},
  ): Promise<ProbeApp> {
    const folder = await mkdtemp(join(tmpdir(), `fairway-${name}-`))
    await cp(PROBE, folder, { recursive: true })
    const app = new ProbeApp(platform, name, folder)
    await app.describe(file)
    return app
  }

  /** Writes fairway.yaml anew. */
  async describe(file: Readonly<Record<string, unknown>>): Promise<void> {
    const text = stringify({ version: 1, name: this.name, ...file })
    await writeFile(join(this.folder, 'fairway.yaml'), text)
  }

  deploy(...options: readonly string[]): Promise<string> {
    return this.#platform.must(['deploy', this.folder, ...options])
  }

  /** Body of a GET through the router; throws where the status is not 200. */
  get(path: string, environment = 'production'): Promise<string> {
    const host =
      environment === 'production'
        ? `${this.name}.localhost`
        : `${this.name}--${environment}.localhost`
    return fetchText({ port: this.#platform.httpPort, host, path, agent: false, body: null }).then(
      (text) => text.trimEnd(),
    )
  }

  /** What comes of calling the URL from inside the app. */
  async call(url: string, environment?: string): Promise<Called> {
    return called.parse(
      JSON.parse(await this.get(`/call?url=${encodeURIComponent(url)}`, environment)),
    )
  }

  async status(environment = 'production'): Promise<AppStatus> {
    const text = await this.#platform.must([
      'ps',
      '--app',
      this.name,
      '--env',
      environment,
      '--json',
    ])
    const app = shown.parse(JSON.parse(text)).apps[0]
    if (app === undefined) throw new Error(`ps shows no ${this.name}`)
    return app
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }
}

export type Called = z.infer<typeof called>
export type AppStatus = z.infer<typeof app>

const called = z.object({
  status: z.number().optional(),
  body: z.string().optional(),
  error: z.string().optional(),
})
const instance = z.object({
  id: z.string(),
  process: z.string(),
  release: z.number(),
  state: z.string(),
  reason: z.string(),
  restarts: z.number(),
  startedAt: z.number(),
  address: z.object({ host: z.string(), port: z.number() }).nullable(),
})
const app = z.object({ active: z.number().nullable(), instances: z.array(instance) })
const shown = z.object({ apps: z.array(app) })

/** Waits until it holds; what it last threw or said is in the error. */
export async function eventually(
  what: () => Promise<boolean>,
  { withinMs = 60_000 }: { readonly withinMs?: number } = {},
): Promise<void> {
  const deadline = Date.now() + withinMs
  for (;;) {
    const found = await what().catch((error: unknown) => error)
    if (found === true) return
    if (Date.now() > deadline)
      throw new Error(`did not come true within ${withinMs} ms`, { cause: found })
    await new Promise((done) => setTimeout(done, 50))
  }
}
