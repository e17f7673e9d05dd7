import { randomBytes } from 'node:crypto'
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { detectContainerHost, runFolder } from '../src/container/container-host.ts'
import { ContainerRunner } from '../src/container/container-runner.ts'
import { systemClock } from '../src/lib/clock.ts'
import { silentLog } from '../src/lib/log.ts'
import { MachineEngine } from '../src/machine/engine.ts'
import type { DesiredApp } from '../src/model/engine.ts'
import type { ImageFacts } from '../src/model/release.ts'
import { connectTraffic } from '../src/router/control-client.ts'
import { startRouter, type Router } from '../src/router/router.ts'
import { createLogReader } from '../src/telemetry/log-reader.ts'
import { containersWork } from './containers-work.ts'
import { engineSuite, type EngineWorld } from './engine-suite.ts'
import { getThrough } from './get-through.ts'
import { noSecrets } from './fakes/no-secrets.ts'
import { sampleRootfs } from './sample-rootfs.ts'

const APP = join(import.meta.dirname, 'apps/behaviour')
const SUBNET = '10.222.0.0/20'
const GATEWAY = '10.222.0.1'
const IMAGE: ImageFacts = {
  digest: `sha256:${'0'.repeat(64)}`,
  flavour: 'image',
  command: ['node', 'app.js'],
  env: {},
  workingDir: '/app',
  user: '',
  port: null,
  sizeBytes: 0,
}

engineSuite({
  name: 'machine with runner container',
  skip: await containersWork(),
  open: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fairway-engine-'))
    const router = await startRouter({
      stateDir: join(folder, 'router'),
      controlSocket: join(folder, 'control.sock'),
      http: { host: '127.0.0.1', port: 0 },
      internal: { host: GATEWAY, port: 80 },
      dns: { host: GATEWAY, port: 53 },
    })
    const { ownerOffset } = await detectContainerHost(runFolder(folder))
    const layer = join(folder, 'layer')
    await mkdir(join(layer, 'app'), { recursive: true })
    await cp(APP, join(layer, 'app'), { recursive: true })
    await sampleRootfs(layer, ownerOffset)
    return openWorld({ folder, router, desired: [] })
  },
})

interface Host {
  readonly folder: string
  readonly router: Router
  readonly desired: readonly DesiredApp[]
}

async function openWorld({ folder, router, desired }: Host): Promise<EngineWorld> {
  const logDir = join(folder, 'logs')
  const runner = new ContainerRunner({
    dataDir: folder,
    host: await detectContainerHost(runFolder(folder)),
    images: { lowerDirs: () => Promise.resolve([join(folder, 'layer')]) },
    logDir,
    clock: systemClock,
    log: silentLog,
    subnet: SUBNET,
  })
  const engine = new MachineEngine({
    runner,
    traffic: connectTraffic(join(folder, 'control.sock')),
    secrets: noSecrets,
    logs: createLogReader({ logDir, clock: systemClock }),
    clock: systemClock,
    log: silentLog,
    randomId: () => randomBytes(4).toString('hex'),
  })
  for (const target of desired) await engine.apply(target)
  await engine.open()
  return {
    engine,
    image: IMAGE,
    get: (host, path) => getThrough(router.addresses.http.port, host, path),
    restart: async (targets) => {
      await engine.close()
      return openWorld({ folder, router, desired: targets })
    },
    remains: async () => (await runner.list()).map(({ spec }) => spec.id),
    close: async () => {
      await engine.close()
      await router.close()
      await runner.teardown()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
