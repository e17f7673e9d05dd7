import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { stringify } from 'yaml'
import { TARGET, type ClusterPlatform } from '../test/e2e/cluster-platform.ts'
import type { ServiceAddress } from './service-load.ts'

const APP = resolve(import.meta.dirname, 'apps/steady')

/** The app of bench/apps/steady in a folder of its own, for the cluster. */
export class ClusterApp {
  readonly name: string
  readonly namespace: string
  readonly folder: string
  readonly #bed: ClusterPlatform

  private constructor(bed: ClusterPlatform, name: string, folder: string) {
    this.#bed = bed
    this.name = name
    this.namespace = `${name}--production`
    this.folder = folder
  }

  static async create(bed: ClusterPlatform, name: string, replicas: number): Promise<ClusterApp> {
    const folder = await mkdtemp(join(tmpdir(), `fairway-bench-${name}-`))
    await cp(APP, folder, { recursive: true })
    const app = new ClusterApp(bed, name, folder)
    await app.#describe(replicas, null)
    return app
  }

  /** From the next deploy on. */
  releaseCommand(replicas: number, command: readonly string[]): Promise<void> {
    return this.#describe(replicas, command)
  }

  async writeVersion(version: string): Promise<void> {
    await writeFile(join(this.folder, 'version.js'), `export const version = '${version}'\n`)
  }

  /** Returns the milliseconds of the command. */
  async deploy(): Promise<number> {
    const start = performance.now()
    await this.#bed.platform.must(['deploy', this.folder])
    return performance.now() - start
  }

  service(): Promise<ServiceAddress> {
    return this.#bed.service(this.namespace)
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true })
  }

  async #describe(replicas: number, release: readonly string[] | null): Promise<void> {
    const web = {
      scale: { min: replicas },
      resources: { cpu: 0.2, memory: '64Mi' },
      shutdown: { drain: '5s', stop: '10s' },
    }
    const file = {
      version: 1,
      name: this.name,
      ...(release === null ? {} : { release: { command: release } }),
      processes: { web },
      environments: { production: { target: TARGET } },
    }
    await writeFile(join(this.folder, 'fairway.yaml'), stringify(file))
  }
}
