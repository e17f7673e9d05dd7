import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { askService, type ServiceAddress } from '../../bench/service-load.ts'
import { start, type RunResult } from '../../src/lib/process.ts'
import { lacksCluster } from '../cluster/test-cluster.ts'
import { lacksLab, startClusterPlatform, TARGET, type ClusterPlatform } from './cluster-platform.ts'
import { eventually, ProbeApp } from './probe-app.ts'

/** What every app of a suite on a cluster has, so that many fit beside each other. */
const SMALL = {
  command: 'node server.js',
  resources: { cpu: 0.2, memory: '64Mi' },
  shutdown: { drain: '1s', stop: '2s' },
  health: { ready: '/healthz', start: '40s' },
}

type Fields = Readonly<Record<string, unknown>>

export interface Following {
  text(): string
  /** As Ctrl-C; its exit code. */
  interrupt(): Promise<number | null>
}

/** The test app on the cluster, through the real CLI. */
export class ClusterProbe {
  readonly name: string
  readonly namespace: string
  readonly app: ProbeApp
  readonly bed: ClusterPlatform
  /** Known once asked: also while the API server is away. */
  #service: Promise<ServiceAddress> | null = null

  private constructor(bed: ClusterPlatform, app: ProbeApp) {
    this.bed = bed
    this.app = app
    this.name = app.name
    this.namespace = `${app.name}--production`
  }

  static async create(
    bed: ClusterPlatform,
    name: string,
    web: Fields = {},
    file: Fields = {},
  ): Promise<ClusterProbe> {
    const probe = new ClusterProbe(bed, await ProbeApp.create(bed.platform, name))
    await probe.describe(web, file)
    return probe
  }

  /** Writes fairway.yaml anew. */
  describe(web: Fields, file: Fields = {}): Promise<void> {
    return this.app.describe({
      processes: { web: { ...SMALL, ...web } },
      environments: { production: { target: TARGET } },
      ...file,
    })
  }

  /** Other files than before, so that its image is another one. */
  change(text: string): Promise<void> {
    return writeFile(join(this.app.folder, 'change.txt'), text)
  }

  deploy(): Promise<string> {
    return this.app.deploy()
  }

  /** Runs a command of the CLI on this app; its output, errors included. */
  async tell(
    command: string,
    ...args: readonly string[]
  ): Promise<RunResult & { readonly all: string }> {
    const result = await this.bed.platform.fairway([command, '--app', this.name, ...args])
    return { ...result, all: `${result.stdout}\n${result.stderr}` }
  }

  /** A deploy that must fail; what it said. */
  async refusedDeploy(): Promise<string> {
    const { platform } = this.bed
    const { code, stdout, stderr } = await platform.fairway(['deploy', this.app.folder])
    if (code === 0) throw new Error(`the deploy of ${this.name} succeeded: ${stdout}`)
    return `${stdout}\n${stderr}`
  }

  async must(...args: readonly string[]): Promise<string> {
    return this.bed.platform.must([...args, '--app', this.name])
  }

  /** GET through the Service in the cluster. */
  async get(path: string): Promise<string> {
    this.#service ??= this.bed.service(this.namespace)
    return (await askService(await this.#service, path)).trimEnd()
  }

  /** From a change on every node has to hear of it before all requests meet it. */
  async untilAnswer(what: RegExp): Promise<void> {
    await eventually(async () => what.test(await this.get('/')))
  }

  /** Release that answers. */
  async release(): Promise<number> {
    return Number(/release (\d+)/.exec(await this.get('/'))?.[1] ?? NaN)
  }

  /** Releases of all copies that the platform shows, sorted. */
  async copies(): Promise<string> {
    const { instances } = await this.app.status()
    return instances
      .filter(({ state }) => state !== 'stopping' && state !== 'draining')
      .map(({ release }) => release)
      .sort((a, b) => a - b)
      .join()
  }

  untilCopies(wanted: string): Promise<void> {
    return eventually(async () => (await this.copies()) === wanted, { withinMs: 60_000 })
  }

  /** Objects of a kind in its namespace, as `kubectl get -o name` prints them. */
  async objects(kind: string): Promise<readonly string[]> {
    const text = await this.bed.cluster.kubectl(['get', kind, '-n', this.namespace, '-o', 'name'])
    return text.split('\n').filter((line) => line !== '')
  }

  /** `fairway … -f` in the background. */
  async follow(...args: readonly string[]): Promise<Following> {
    const cli = resolve(import.meta.dirname, '../../src/bin/cli.ts')
    const child = await start(process.execPath, [cli, ...args, '--app', this.name], {
      env: this.bed.platform.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let text = ''
    child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
    const ended = new Promise<number | null>((done) => child.once('exit', (code) => done(code)))
    return {
      text: () => text,
      interrupt: () => {
        child.kill('SIGINT')
        return ended
      },
    }
  }

  /** Gone from server, cluster and disk. */
  async destroy(): Promise<void> {
    await this.bed.platform.must(['destroy', this.name, '--yes'])
    await this.app.remove()
  }
}

export async function lacksClusterBed(): Promise<string | false> {
  return lacksLab() || (await lacksCluster())
}

export { startClusterPlatform, TARGET, type ClusterPlatform }
