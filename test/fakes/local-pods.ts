import { EventEmitter, once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Duplex, type Readable, type Writable } from 'node:stream'
import { minimalEnv, start } from '../../src/lib/process.ts'
import type { JobSandboxOptions } from '../../src/kubernetes/job-sandbox.ts'
import { at, listAt, recordAt, textAt, type Json } from '../../src/kubernetes/json-value.ts'
import { READY_FILE, SHARED } from '../../src/kubernetes/plan-build-step.ts'
import type { ExitFacts } from '../../src/model/instance.ts'
import type { ExecRequest, ExecSession } from '../../src/model/runner.ts'

type ChildProcess = Awaited<ReturnType<typeof start>>
type Client = JobSandboxOptions['client']
const COURIER = join(import.meta.dirname, '../../src/bin/courier.ts')

/** Runs the containers of a build step's Job as plain processes of this machine, each with the folder that they share: enough of a cluster for what happens between them. */
export class LocalPods implements Client {
  readonly #pods = new Map<string, LocalPod>()
  readonly applied: Json[] = []

  get left(): readonly string[] {
    return [...this.#pods.keys()]
  }

  async apply(_name: unknown, object: Json): Promise<Json> {
    this.applied.push(object)
    if (textAt(object, 'kind') !== 'Job') return object
    const name = textAt(object, 'metadata', 'name')
    this.#pods.set(name, await LocalPod.start(name, recordAt(object, 'spec', 'template', 'spec')))
    return object
  }

  list(
    _kind: unknown,
    { labels = '' }: { readonly labels?: string },
  ): Promise<{ items: readonly Json[]; resourceVersion: string }> {
    const pod = this.#pods.get(labels.split('=')[1] ?? '')
    const items = pod === undefined ? [] : [pod.object]
    return Promise.resolve({ items, resourceVersion: '1' })
  }

  async *watch(
    _kind: unknown,
    { labels = '' }: { readonly labels?: string },
    signal: AbortSignal,
  ): AsyncGenerator<{ type: 'MODIFIED'; object: Json }> {
    const pod = this.#pods.get(labels.split('=')[1] ?? '')
    for (;;) {
      signal.throwIfAborted()
      if (pod !== undefined) yield { type: 'MODIFIED', object: pod.object }
      if (pod === undefined) await once(new EventEmitter(), 'never', { signal })
      else await once(pod.changes, 'change', { signal })
    }
  }

  async delete({ name }: { readonly name: string }): Promise<boolean> {
    const pod = this.#pods.get(name)
    this.#pods.delete(name)
    await pod?.end()
    return pod !== undefined
  }

  async *podLog(_namespace: string, name: string): AsyncGenerator<string> {
    const pod = this.#pod(name)
    for (let told = 0; ;) {
      const line = pod.log[told]
      if (line !== undefined) {
        yield `2026-01-01T00:00:00Z ${line}`
        told += 1
      } else if (pod.isLogComplete) return
      else await once(pod.changes, 'logged')
    }
  }

  async exec(
    _namespace: string,
    name: string,
    _container: string,
    { argv }: ExecRequest,
  ): Promise<ExecSession> {
    const { root } = this.#pod(name)
    const args = argv.slice(2).map((word) => (word === SHARED ? root : word))
    const child = await start(process.execPath, [COURIER, ...args], {
      env: minimalEnv(),
      stdio: 'pipe',
    })
    const { stdin, stdout, stderr } = child
    if (stdin === null || stdout === null) throw new Error('no pipes')
    const exit = once(child, 'close').then(([code]: unknown[]): ExitFacts => {
      const number = typeof code === 'number' ? code : null
      return { code: number, signal: null, reason: 'exited', at: Date.now() }
    })
    return {
      stdio: channel(stdout, stdin),
      stderr,
      resize: () => undefined,
      exit,
      kill: () => child.kill('SIGKILL'),
    }
  }

  #pod(name: string): LocalPod {
    const pod = this.#pods.get(name)
    if (pod === undefined) throw new Error(`there is no pod ${name}`)
    return pod
  }
}

/** As an exec over WebSocket: input after the end is dropped, and output ends by itself. */
function channel(output: Readable, input: Writable): Duplex {
  input.on('error', () => undefined)
  const duplex = new Duplex({
    read: () => output.resume(),
    write: (chunk: Buffer, _encoding, done) => {
      input.write(chunk, () => done())
    },
    final: (done) => {
      input.end(() => done())
    },
  })
  output.on('data', (chunk: Buffer) => {
    if (!duplex.push(chunk)) output.pause()
  })
  output.once('close', () => duplex.push(null))
  return duplex
}

type State = Readonly<Record<string, unknown>>

class LocalPod {
  readonly changes = new EventEmitter()
  readonly root: string
  readonly #name: string
  readonly #children: ChildProcess[] = []
  readonly #states: Record<string, State> = {}
  /** Nothing begins any more. */
  #ended = false
  /** Lines that the step printed, kept from its first on: whoever asks late misses nothing. */
  readonly log: string[] = []
  isLogComplete = false

  private constructor(name: string, root: string) {
    this.#name = name
    this.root = root
  }

  static async start(name: string, spec: Json): Promise<LocalPod> {
    const pod = new LocalPod(name, await mkdtemp(join(tmpdir(), 'fairway-pod-')))
    const [receiver] = listAt(spec, 'initContainers')
    const [step, sender] = listAt(spec, 'containers')
    const waiting = await pod.#run(receiver, [process.execPath, COURIER, 'wait', pod.root])
    const begin = async (): Promise<void> => {
      if (pod.#ended || !existsSync(join(pod.root, READY_FILE))) return
      await pod.#run(step, listAt(step, 'command').map(String))
      const args = listAt(sender, 'command').slice(2, -1).map(String)
      await pod.#run(sender, [process.execPath, COURIER, ...args, pod.root])
    }
    waiting.once('close', () => void begin())
    return pod
  }

  get object(): Json {
    const statuses = (names: readonly string[]): unknown =>
      names.map((name) => ({ name, state: this.#states[name] ?? { waiting: {} } }))
    return {
      metadata: { name: this.#name },
      status: {
        initContainerStatuses: statuses(['receive']),
        containerStatuses: statuses(['step', 'send']),
      },
    }
  }

  async end(): Promise<void> {
    this.#ended = true
    const ends = this.#children.map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const closed = once(child, 'close')
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      await closed
    })
    await Promise.all(ends)
    await rm(this.root, { recursive: true, force: true })
  }

  /** Where a container's mounts are on this machine. */
  #local(container: unknown, text: string): string {
    const mounts = listAt(container, 'volumeMounts')
      .map((mount) => [textAt(mount, 'mountPath'), textAt(mount, 'subPath')] as const)
      .filter(([, subPath]) => subPath !== '')
    return mounts.reduce(
      (changed, [path, subPath]) =>
        changed === path || changed.startsWith(`${path}/`)
          ? `${join(this.root, subPath)}${changed.slice(path.length)}`
          : changed,
      text,
    )
  }

  async #run(
    container: unknown,
    [program = '', ...args]: readonly string[],
  ): Promise<ChildProcess> {
    const name = textAt(container, 'name')
    const env: Record<string, string> = {}
    for (const one of listAt(container, 'env'))
      env[textAt(one, 'name')] = this.#local(container, textAt(one, 'value'))
    const cwd = at(container, 'workingDir')
    const child = await start(program, args, {
      env: { PATH: '/usr/local/bin:/usr/bin:/bin', ...env },
      detached: true,
      ...(typeof cwd === 'string' ? { cwd: this.#local(container, cwd) } : {}),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#children.push(child)
    // It was being started when the pod ended, which could not end it.
    if (this.#ended && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    // Before anybody hears that it runs, and asks for its log.
    if (name === 'step') this.#keepLog(child)
    this.#states[name] = { running: { startedAt: new Date().toISOString() } }
    child.once('close', (code) => {
      this.#states[name] = { terminated: { exitCode: code ?? 137, reason: 'Error' } }
      this.changes.emit('change')
    })
    this.changes.emit('change')
    return child
  }

  #keepLog(step: ChildProcess): void {
    for (const input of [step.stdout, step.stderr]) {
      if (input === null) continue
      createInterface({ input }).on('line', (line) => {
        this.log.push(line)
        this.changes.emit('logged')
      })
    }
    step.once('close', () => {
      this.isLogComplete = true
      this.changes.emit('logged')
    })
  }
}
