import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { ProgramError, minimalEnv, runToEnd, start } from '../../src/lib/process.ts'
import { freePorts } from './private-platform.ts'
import { eventually } from './probe-app.ts'

/** False where Debian's package is there. */
export async function lacksPrometheus(): Promise<string | false> {
  try {
    const { code } = await runToEnd('prometheus', ['--version'], { env: minimalEnv() })
    return code === 0 ? false : 'needs prometheus'
  } catch (error) {
    if (error instanceof ProgramError) return 'needs prometheus'
    throw error
  }
}

/** A Prometheus of our own on loopback that reads what it scrapes every two seconds. */
export class Prometheus {
  readonly url: string
  readonly #child: Awaited<ReturnType<typeof start>>
  readonly #folder: string

  private constructor(url: string, child: Awaited<ReturnType<typeof start>>, folder: string) {
    this.url = url
    this.#child = child
    this.#folder = folder
  }

  /** @param scraped entries of `scrape_configs` */
  static async start(scraped: readonly unknown[]): Promise<Prometheus> {
    const folder = await mkdtemp(join(tmpdir(), 'fairway-prometheus-'))
    const config = join(folder, 'prometheus.yml')
    const global = { scrape_interval: '2s', scrape_timeout: '2s' }
    await writeFile(config, stringify({ global, scrape_configs: scraped }))
    const [port = 0] = await freePorts(1)
    const address = `127.0.0.1:${String(port)}`
    const child = await start(
      'prometheus',
      [
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=${address}`,
        '--log.level=error',
      ],
      { env: minimalEnv(), stdio: ['ignore', 'inherit', 'inherit'] },
    )
    const source = new Prometheus(`http://${address}`, child, folder)
    await eventually(async () => (await fetch(`${source.url}/-/ready`)).ok, { withinMs: 60_000 })
    return source
  }

  /** The answer to an instant query, as text. */
  async query(query: string): Promise<string> {
    const response = await fetch(`${this.url}/api/v1/query?query=${encodeURIComponent(query)}`)
    return response.text()
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await ended
    await rm(this.#folder, { recursive: true, force: true })
  }
}
