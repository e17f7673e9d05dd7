import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../src/lib/clock.ts'
import { silentLog } from '../src/lib/log.ts'
import { MachineEngine } from '../src/machine/engine.ts'
import type { DesiredApp } from '../src/model/engine.ts'
import type { ImageFacts } from '../src/model/release.ts'
import type { Runner } from '../src/model/runner.ts'
import { ProcessRunner } from '../src/process/process-runner.ts'
import { connectTraffic } from '../src/router/control-client.ts'
import { startRouter, type Router } from '../src/router/router.ts'
import { createLogReader } from '../src/telemetry/log-reader.ts'
import { engineSuite, type EngineWorld } from './engine-suite.ts'
import { noSecrets } from './fakes/no-secrets.ts'
import { getThrough } from './get-through.ts'

const APP = join(import.meta.dirname, 'apps/behaviour')
const IMAGE: ImageFacts = {
  digest: `sha256:${'0'.repeat(64)}`,
  flavour: 'host',
  command: [process.execPath, 'app.js'],
  env: {},
  workingDir: '/',
  user: '',
  port: null,
  sizeBytes: 0,
}

engineSuite({
  name: 'machine with runner process',
  skip: false,
  open: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fairway-engine-'))
    const router = await startRouter({
      stateDir: join(folder, 'router'),
      controlSocket: join(folder, 'control.sock'),
      http: { host: '127.0.0.1', port: 0 },
    })
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
  const runner: Runner = new ProcessRunner({
    dataDir: folder,
    logDir,
    rootfs: () => Promise.resolve(APP),
    clock: systemClock,
    log: silentLog,
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
      for (const { spec } of await runner.list()) await runner.remove(spec.id)
      await router.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
