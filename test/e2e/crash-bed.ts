import { once } from 'node:events'
import { openSync, closeSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { start, type RunResult } from '../../src/lib/process.ts'
import type { Death } from '../fakes/mortal-store.ts'
import { eventually } from './probe-app.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'

const root = resolve(import.meta.dirname, '../..')
const SERVER = [
  '--import',
  join(root, 'test/fakes/mortal-store.ts'),
  join(root, 'src/bin/server.ts'),
]

type ServerProcess = Awaited<ReturnType<typeof start>>

/** A server that lives this long after its command has ended does not die of it. */
const SURVIVES_MS = 20_000

export interface Outcome {
  readonly result: RunResult
  /** The writes up to the one at which the server died. */
  readonly writes: readonly string[]
}

/** What the database says of one app. */
export interface StoredApp {
  readonly active: number | null
  readonly releases: readonly { readonly number: number; readonly status: string }[]
  /** Newest first. */
  readonly rollouts: readonly { readonly id: string; readonly status: string }[]
}

/** A real platform whose server can be told at which write to its store it dies by SIGKILL. */
export class CrashBed {
  readonly platform: PrivatePlatform
  readonly #folder: string
  #server: ServerProcess | null = null
  #told = 0

  private constructor(platform: PrivatePlatform, folder: string) {
    this.platform = platform
    this.#folder = folder
  }

  static async open(runner: 'container' | 'process', subnet: string): Promise<CrashBed> {
    const platform = await startPrivatePlatform({ runner, subnet })
    const bed = new CrashBed(platform, await mkdtemp(join(tmpdir(), 'fairway-death-')))
    try {
      await platform.must(['down', '--keep-router'])
      await bed.startServer()
      return bed
    } catch (error) {
      await bed.close()
      throw error
    }
  }

  async close(): Promise<void> {
    await this.stopServer()
    await this.platform.destroy()
    await rm(this.#folder, { recursive: true, force: true })
  }

  /** The real server program, in which the store can kill; resolves when it answers. */
  async startServer(): Promise<void> {
    const server = await this.#spawn()
    this.#server = server
    await eventually(async () => {
      if (server.exitCode !== null || server.signalCode !== null)
        throw new Error(`the server ended: ${await this.#lastLines()}`)
      return answers(this.platform.apiPort)
    })
  }

  async stopServer(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server === null || server.exitCode !== null || server.signalCode !== null) return
    const ended = once(server, 'exit')
    server.kill('SIGTERM')
    await ended
  }

  /** Runs the command; the server dies at that write of it, and `recover` brings the next one. */
  async dieIn(
    args: readonly string[],
    death: Omit<Death, 'id'>,
    recover: () => Promise<void> = () => this.startServer(),
  ): Promise<Outcome> {
    const server = this.#server
    if (server === null) throw new Error('no server runs that could die')
    const died = once(server, 'exit')
    await this.#tell(death)
    const command = this.platform.fairway(args, { timeoutMs: 240_000 })
    // A command may see the broken connection before we see the end of the server.
    const survived = command.then(async ({ code, stdout, stderr }) => {
      await new Promise((done) => setTimeout(done, SURVIVES_MS))
      return `${args.join(' ')} ended with ${String(code)}: ${stdout}${stderr}`
    })
    const why = await Promise.race([died.then(() => null), survived])
    if (why !== null) throw new Error(`${why}\n${(await this.writes()).join('\n')}`)
    if (server.signalCode !== 'SIGKILL') throw new Error(await this.#lastLines())
    const writes = await this.writes()
    await rm(this.#deathFile, { force: true })
    await recover()
    return { result: await command, writes }
  }

  /** A server that dies at that write of what it resumes. */
  async resumeAndDie(death: Omit<Death, 'id'>): Promise<void> {
    await this.#tell(death)
    const server = await this.#spawn()
    await once(server, 'exit')
    if (server.signalCode !== 'SIGKILL') throw new Error(await this.#lastLines())
    await rm(this.#deathFile, { force: true })
  }

  /** The writes of a command at which nobody dies. */
  async trace(args: readonly string[]): Promise<readonly string[]> {
    await this.#tell({ at: 0, when: 'after' })
    await this.platform.must(args)
    return this.writes()
  }

  /** All writes since the last telling. */
  async writes(): Promise<readonly string[]> {
    const text = await readFile(`${this.#deathFile}.trace`, 'utf8')
    const mine = `${String(this.#told)} `
    return text
      .split('\n')
      .flatMap((line) => (line.startsWith(mine) ? [line.slice(mine.length)] : []))
  }

  stored(app: string): StoredApp | null {
    const database = new DatabaseSync(join(this.platform.dataDir, 'fairway.db'), { readOnly: true })
    try {
      const rows = (sql: string): Record<string, unknown>[] => database.prepare(sql).all(app)
      const [record] = rows('select active from apps where app = ?')
      if (record === undefined) return null
      return {
        active: record['active'] === null ? null : Number(record['active']),
        releases: rows('select number, status from releases where app = ? order by number').map(
          ({ number, status }) => ({ number: Number(number), status: String(status) }),
        ),
        rollouts: rows('select id, status from rollouts where app = ? order by sequence desc').map(
          ({ id, status }) => ({ id: String(id), status: String(status) }),
        ),
      }
    } finally {
      database.close()
    }
  }

  get #deathFile(): string {
    return join(this.#folder, 'death')
  }

  async #spawn(): Promise<ServerProcess> {
    const log = openSync(join(this.#folder, 'server.log'), 'a')
    return start(process.execPath, SERVER, {
      env: { ...this.platform.env, FAIRWAY_TEST_DEATH: this.#deathFile },
      stdio: ['ignore', log, log],
      detached: true,
    }).finally(() => closeSync(log))
  }

  async #tell(death: Omit<Death, 'id'>): Promise<void> {
    this.#told += 1
    await writeFile(this.#deathFile, JSON.stringify({ id: String(this.#told), ...death }))
  }

  async #lastLines(): Promise<string> {
    const text = await readFile(join(this.#folder, 'server.log'), 'utf8')
    return text.trimEnd().split('\n').slice(-5).join('\n')
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolveAnswer) => {
    const outgoing = request({ host: '127.0.0.1', port, path: '/v1/health', agent: false })
    outgoing.once('response', (response) => {
      response.resume()
      resolveAnswer(response.statusCode === 200)
    })
    outgoing.once('error', () => resolveAnswer(false))
    outgoing.end()
  })
}
