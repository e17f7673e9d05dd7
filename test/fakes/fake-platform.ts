import { EventEmitter, once } from 'node:events'
import { PassThrough, Duplex } from 'node:stream'
import { PROCESS_DEFAULTS, type AppSpec } from '../../src/model/app-spec.ts'
import { FairwayError } from '../../src/model/errors.ts'
import type { SecretDocument } from '../../src/model/secrets.ts'
import type { ExitFacts, Instance } from '../../src/model/instance.ts'
import type { LogQuery } from '../../src/model/logs.ts'
import {
  parseAppName,
  parseEnvironmentName,
  parseProcessName,
  type AppRef,
} from '../../src/model/names.ts'
import { refKey } from '../../src/model/names.ts'
import type {
  Actor,
  AppPlan,
  AppStatus,
  Platform,
  RolloutEvent,
  RunRequest,
} from '../../src/model/platform.ts'
import type { DeployInput, Release, Rollout } from '../../src/model/release.ts'
import type { ExecRequest, ExecSession, LogLine } from '../../src/model/runner.ts'
import type { AppRecord } from '../../src/model/store.ts'

/** The app that `FakePlatform` knows from the start. */
export const SHOP: AppRef = {
  app: parseAppName('shop'),
  environment: parseEnvironmentName('production'),
}
/** Stands in configuration, image, release and app file: must never come out but through `getConfig`. */
export const SECRET = 'correct-horse-battery-staple'
export const INSTANCE = 'web-1-abc123'
const NOW = 1_700_000_000_000

/** One app, one release, one instance; deploys end when `finish` is called. Records what it was asked. */
export class FakePlatform implements Platform {
  readonly calls: string[] = []
  readonly signals: AbortSignal[] = []
  readonly inputs: DeployInput[] = []
  readonly rolloutList: Rollout[] = [rollout('r1')]
  readonly #changes = new EventEmitter().setMaxListeners(0)
  #finished = new Set(['r1'])
  #gone = false
  /** Lines that `logs` and `run` give before they wait. */
  logCount = 3
  /** Thrown by everything that is asked next. */
  failure: Error | null = null
  /** Kills seen by exec sessions. */
  kills = 0

  finish(id: string): void {
    this.#finished.add(id)
    this.#changes.emit('change')
  }

  async plan(ref: AppRef, input: DeployInput): Promise<AppPlan> {
    this.#record('plan', ref)
    this.inputs.push(input)
    const plan = { kind: 'node', version: null, lockfile: null, command: ['node', '.'] } as const
    return await Promise.resolve({
      ref,
      spec: SPEC,
      recognition: { plan, evidence: 'package.json' },
      changes: ['+ process web'],
      warnings: [],
    })
  }

  async deploy(ref: AppRef, input: DeployInput, actor: Actor): Promise<Rollout> {
    this.#record(`deploy by ${actor.name}`, ref)
    this.inputs.push(input)
    return await Promise.resolve(this.#add({ kind: 'deploy', ...input }))
  }

  async rollback(ref: AppRef, to: number | null): Promise<Rollout> {
    this.#record('rollback', ref)
    this.#known(ref)
    return await Promise.resolve(this.#add({ kind: 'rollback', to: to ?? 1 }))
  }

  async setConfig(
    ref: AppRef,
    changes: Readonly<Record<string, string | null>>,
  ): Promise<Rollout | null> {
    this.#record('setConfig', ref)
    const summary = Object.keys(changes).join(', ')
    return await Promise.resolve(this.#add({ kind: 'config', summary }))
  }

  async environmentKey(ref: AppRef): Promise<{ readonly recipient: string }> {
    this.#record('environmentKey', ref)
    return await Promise.resolve({ recipient: 'age1qqqq' })
  }

  async pushSecrets(ref: AppRef, documents: readonly SecretDocument[]): Promise<Rollout | null> {
    this.#record('pushSecrets', ref)
    this.#known(ref)
    return await Promise.resolve(this.#add({ kind: 'secrets', documents }))
  }

  async rotateGenerated(ref: AppRef, names: readonly string[]): Promise<readonly string[]> {
    this.#record('rotateGenerated', ref)
    this.#known(ref)
    return await Promise.resolve(names)
  }

  async judge(ref: AppRef, id: string, verdict: string, by: { name: string }): Promise<Rollout> {
    this.#record(`${verdict} by ${by.name}`, ref)
    return await this.rollout(ref, id)
  }

  async scale(ref: AppRef, changes: Readonly<Record<string, number | null>>): Promise<AppRecord> {
    this.#record('scale', ref)
    this.#known(ref)
    const scale = Object.entries(changes).flatMap(([k, v]) => (v === null ? [] : [[k, v] as const]))
    return await Promise.resolve({ ...RECORD, scale: Object.fromEntries(scale) })
  }

  async destroy(ref: AppRef): Promise<void> {
    this.#record('destroy', ref)
    this.#known(ref)
    this.#gone = true
    await Promise.resolve()
  }

  async *events(ref: AppRef, id: string, signal: AbortSignal): AsyncGenerator<RolloutEvent> {
    this.#record('events', ref)
    this.signals.push(signal)
    const found = this.rolloutList.find((one) => one.id === id)
    if (found === undefined) throw new FairwayError('NOT_FOUND', `there is no rollout ${id}`)
    const step = {
      name: 'bake',
      status: 'running',
      startedAt: NOW,
      endedAt: null,
      summary: 'x',
    } as const
    yield { type: 'step', at: NOW, step }
    yield { type: 'output', at: NOW, text: 'baking' }
    while (!this.#finished.has(id)) await once(this.#changes, 'change', { signal })
    yield { type: 'end', at: NOW, rollout: found, urls: ['http://shop.localhost/'] }
  }

  async list(sees: (ref: AppRef) => boolean): Promise<readonly AppStatus[]> {
    this.#record('list', null)
    return await Promise.resolve(this.#gone || !sees(SHOP) ? [] : [STATUS])
  }

  async status(ref: AppRef): Promise<AppStatus> {
    this.#record('status', ref)
    this.#known(ref)
    return await Promise.resolve(STATUS)
  }

  async *watch(ref: AppRef, signal: AbortSignal): AsyncGenerator<AppStatus> {
    this.#record('watch', ref)
    this.#known(ref)
    this.signals.push(signal)
    for (;;) {
      yield STATUS
      await once(this.#changes, 'change', { signal })
    }
  }

  async releases(ref: AppRef): Promise<readonly Release[]> {
    this.#record('releases', ref)
    this.#known(ref)
    return await Promise.resolve([RELEASE])
  }

  async rollouts(ref: AppRef): Promise<readonly Rollout[]> {
    this.#record('rollouts', ref)
    this.#known(ref)
    return await Promise.resolve(this.rolloutList)
  }

  async rollout(ref: AppRef, id: string): Promise<Rollout> {
    this.#record('rollout', ref)
    this.#known(ref)
    const found = this.rolloutList.find((one) => one.id === id)
    if (found !== undefined) return await Promise.resolve(found)
    throw new FairwayError('NOT_FOUND', `there is no rollout ${id}`)
  }

  async *logs(ref: AppRef, query: LogQuery, signal: AbortSignal): AsyncGenerator<LogLine> {
    this.#record(`logs ${JSON.stringify(query)}`, ref)
    this.#known(ref)
    this.signals.push(signal)
    for (let n = 0; n < this.logCount; n += 1) {
      yield line(`line ${n}`)
      await Promise.resolve()
    }
    while (query.follow) {
      await once(this.#changes, 'change', { signal })
      if (this.failure !== null) throw this.failure
      yield line('later')
    }
  }

  async run(
    ref: AppRef,
    request: RunRequest,
    onLine: (line: LogLine) => void,
    signal: AbortSignal,
  ): Promise<{ code: number | null; reason: string }> {
    this.#record(`run ${request.argv.join(' ')}`, ref)
    this.#known(ref)
    this.signals.push(signal)
    for (let n = 0; n < this.logCount; n += 1) onLine(line(`line ${n}`))
    if (request.argv[0] === 'sleep') await once(this.#changes, 'change', { signal })
    return await Promise.resolve({ code: 7, reason: 'exited' })
  }

  /** `echo`: upper-cases standard input until its end, then exits 3. `yes`: prints without end. */
  async exec(ref: AppRef, instance: string, request: ExecRequest): Promise<ExecSession> {
    this.#record(`exec ${request.argv.join(' ')}`, ref)
    this.#known(ref)
    if (instance !== INSTANCE) {
      throw new FairwayError('NOT_FOUND', `there is no instance ${instance}`)
    }
    return await Promise.resolve(this.#session(request))
  }

  async collect(): Promise<{ bytes: number; summary: string }> {
    this.#record('collect', null)
    return await Promise.resolve({ bytes: 12, summary: '1 image' })
  }

  change(): void {
    this.#changes.emit('change')
  }

  #session(request: ExecRequest): ExecSession {
    const input = new PassThrough()
    const output = new PassThrough()
    const stderr = new PassThrough()
    const exit = Promise.withResolvers<ExitFacts>()
    const end = (facts: Omit<ExitFacts, 'at'>): void => {
      output.end()
      stderr.end()
      exit.resolve({ ...facts, at: NOW })
    }
    input.on('data', (chunk: Buffer) => output.write(chunk.toString('utf8').toUpperCase()))
    input.on('end', () => {
      stderr.write('bye')
      end({ code: 3, signal: null, reason: 'exited' })
    })
    return {
      stdio: Duplex.from({ readable: output, writable: input }),
      stderr: request.tty ? null : stderr,
      resize: (columns, rows) => {
        output.write(`${columns}x${rows} `)
      },
      exit: exit.promise,
      kill: () => {
        this.kills += 1
        end({ code: null, signal: 'SIGKILL', reason: 'killed' })
      },
    }
  }

  #add(request: Rollout['request']): Rollout {
    const added = { ...rollout(`r${this.rolloutList.length + 1}`), request }
    this.rolloutList.unshift(added)
    return added
  }

  #record(call: string, ref: AppRef | null): void {
    this.calls.push(ref === null ? call : `${call} ${refKey(ref)}`)
    if (this.failure !== null) throw this.failure
  }

  #known(ref: AppRef): void {
    if (!this.#gone && refKey(ref) === refKey(SHOP)) return
    throw new FairwayError('NOT_FOUND', `there is no app ${refKey(ref)}`)
  }
}

function line(text: string): LogLine {
  return { time: NOW, stream: 'stdout', instance: INSTANCE, process: 'web', release: 1, text }
}

const WEB = parseProcessName('web')
const HEALTH = { ready: '/', live: null, startMs: 1, intervalMs: 1, timeoutMs: 1, failures: 1 }
const SPEC: AppSpec = {
  name: SHOP.app,
  environment: SHOP.environment,
  target: null,
  build: { image: null, command: null, context: '.' },
  env: { KEY: SECRET },
  release: null,
  processes: {
    [WEB]: {
      name: WEB,
      type: 'web',
      command: ['node', '.'],
      env: { KEY: SECRET },
      port: null,
      routes: [{ host: null, path: '/' }],
      health: HEALTH,
      shutdown: { signal: 'SIGTERM', drainMs: 1, stopMs: 1 },
      resources: { cpu: 1, memory: 1, pids: 1 },
      scale: { min: 1, max: 1 },
      strategy: 'rolling',
      maxAgeMs: null,
      ...PROCESS_DEFAULTS,
    },
  },
}

const RELEASE: Release = {
  ref: SHOP,
  number: 1,
  image: {
    digest: `sha256:${'a'.repeat(64)}`,
    flavour: 'image',
    command: ['node', '.'],
    env: { KEY: SECRET },
    workingDir: '/app',
    user: '',
    port: null,
    sizeBytes: 1,
  },
  spec: SPEC,
  config: { KEY: SECRET },
  configVersion: 1,
  createdAt: NOW,
  createdBy: 'ada',
  reason: 'deploy',
  status: 'active',
}

const RECORD: AppRecord = {
  ref: SHOP,
  createdAt: NOW,
  active: 1,
  config: { KEY: SECRET },
  configVersion: 1,
  scale: { web: 2 },
  deleting: false,
}

const WEB_INSTANCE: Instance = {
  id: INSTANCE,
  ref: SHOP,
  process: WEB,
  release: 1,
  track: 'stable',
  state: 'ready',
  reason: '',
  address: { host: '127.0.0.1', port: 8080 },
  startedAt: NOW,
  restarts: 0,
  exit: null,
}

const STATUS: AppStatus = {
  record: RECORD,
  release: RELEASE,
  rollout: rollout('r1'),
  instances: [WEB_INSTANCE],
  usage: new Map([[INSTANCE, { memoryBytes: 1, memoryLimitBytes: 2, cpuSeconds: 3, pids: 4 }]]),
  urls: ['http://shop.localhost/'],
}

function rollout(id: string): Rollout {
  return {
    id,
    ref: SHOP,
    release: 1,
    previous: null,
    request: {
      kind: 'deploy',
      source: `sha256:${'b'.repeat(64)}`,
      appFile: { path: 'fairway.yaml', text: `env: { KEY: ${SECRET} }` },
      image: null,
    },
    status: 'succeeded',
    steps: [{ name: 'bake', status: 'done', startedAt: NOW, endedAt: NOW, summary: '1 layer' }],
    share: 0,
    failure: null,
    createdAt: NOW,
    endedAt: NOW,
    createdBy: 'ada',
    approval: null,
  }
}
