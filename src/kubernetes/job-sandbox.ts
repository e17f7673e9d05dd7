import { once } from 'node:events'
import { mkdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { folderSize } from '../lib/folder-size.ts'
import { LastLines } from '../lib/last-lines.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { ExecSession } from '../model/runner.ts'
import type { Sandbox, SandboxRequest, SandboxResult } from '../model/sandbox.ts'
import { nameOf } from './apply.ts'
import type { ClusterClient } from './cluster-client.ts'
import { KINDS } from './kinds.ts'
import { packageEgress, type PackageSource } from './package-egress.ts'
import {
  planBuildStep,
  planPackagePolicy,
  RECEIVER,
  SENDER,
  SHARED,
  sharedFolders,
  STEP,
} from './plan-build-step.ts'
import { stepPods, type StepPod } from './step-pod.ts'

/** Folders as one stream and back; what comes back is not trusted. */
export interface FolderArchive {
  pack(folders: Readonly<Record<string, string>>): AsyncIterable<Uint8Array>
  unpack(source: AsyncIterable<Uint8Array>, root: string, maxBytes: number): Promise<void>
}

export interface JobSandboxOptions {
  readonly client: Pick<ClusterClient, 'apply' | 'list' | 'watch' | 'delete' | 'podLog' | 'exec'>
  readonly clock: Clock
  readonly log: Log
  /** Where steps run; `planBuildNamespace` made it. */
  readonly namespace: string
  /** Reference of the control plane's own image. */
  readonly courier: string
  readonly pullSecrets: readonly string[]
  /** Makes an image of these folders, topmost first, known to the nodes; its reference by digest. */
  readonly imageOf: (lowerDirs: readonly string[]) => Promise<string>
  /** Where packages come from now. */
  readonly sources: () => Promise<readonly PackageSource[]>
  readonly archive: FolderArchive
  readonly randomId: () => string
  /** How long a step may wait for a node and its images. Default ten minutes. */
  readonly beginMs?: number
}

const MIB = 1024 ** 2
/** Caches above this are not carried to the step and back: filling them anew costs less. */
const CACHE_BYTES = 256 * MIB
const END_OF_LOG_MS = 5_000
const BEGIN_MS = 600_000

/**
 * Build steps as Jobs of the cluster: the files that a step sees are an image, its folders travel over exec, so that its pod needs neither a token nor a way to the server. Network policies
 * let it out to package sources alone.
 */
export class JobSandbox implements Sandbox {
  readonly flavour = 'image'
  readonly ownerOffset = 0
  readonly writer = 0
  readonly #options: JobSandboxOptions

  constructor(options: JobSandboxOptions) {
    this.#options = options
  }

  async run(
    request: SandboxRequest,
    onOutput: (text: string) => void,
    signal: AbortSignal,
  ): Promise<SandboxResult> {
    const last = new LastLines()
    const tell = (text: string): void => {
      last.push(text)
      onOutput(text)
    }
    const name = `step-${this.#options.randomId()}`
    const done = new AbortController()
    const run = new StepRun(this.#options, name, request, AbortSignal.any([signal, done.signal]))
    try {
      signal.throwIfAborted()
      return { ...(await run.toEnd(tell)), lastLines: last.lines() }
    } catch (error) {
      if (!signal.aborted) throw error
      return { code: null, reason: 'aborted', lastLines: last.lines() }
    } finally {
      done.abort()
      await this.#remove(name)
    }
  }

  // Private

  /** A Job that stays is ended by its own deadline: no reason to fail what was built. */
  async #remove(name: string): Promise<void> {
    const { client, namespace, log } = this.#options
    try {
      await client.delete({ kind: KINDS.Job, namespace, name }, { graceSeconds: 0 })
    } catch (error) {
      log.warn({ step: name, error: String(error) }, 'a build step was not removed')
    }
  }
}

type Outcome = Omit<SandboxResult, 'lastLines'>

/** One step, from its Job to its folders. */
class StepRun {
  readonly #options: JobSandboxOptions
  readonly #name: string
  readonly #request: SandboxRequest
  readonly #signal: AbortSignal

  constructor(
    options: JobSandboxOptions,
    name: string,
    request: SandboxRequest,
    signal: AbortSignal,
  ) {
    this.#options = options
    this.#name = name
    this.#request = request
    this.#signal = signal
  }

  async toEnd(tell: (text: string) => void): Promise<Outcome> {
    const { namespace } = this.#options
    const inputs = await this.#inputs()
    await this.#create(inputs.bytes)
    const waiting = await this.#until(({ waitsForInputs }) => waitsForInputs)
    await this.#send(waiting.name, inputs.folders)
    const begun = await this.#until(({ hasBegun }) => hasBegun)
    const lines = this.#follow(begun.name, tell)
    const end = begun.end ?? (await this.#untilEnded())
    if (end === 'timeout') return { code: null, reason: 'timeout' }
    await Promise.race([lines, this.#pause(END_OF_LOG_MS)])
    if (end.reason === 'lost') throw lost(namespace, begun.name, end.message)
    if (end.reason === 'exited') await this.#receive(begun.name, inputs.bytes)
    return { code: end.code, reason: end.reason }
  }

  async #create(inputBytes: number): Promise<void> {
    const { client, namespace, courier, pullSecrets, imageOf, sources } = this.#options
    const request = this.#request
    const image = await imageOf(request.lowerDirs)
    if (request.network) {
      const policy = planPackagePolicy(namespace, packageEgress(await sources()))
      await client.apply(nameOf(policy), policy, { force: true })
    }
    const job = planBuildStep({
      namespace,
      name: this.#name,
      image,
      courier,
      pullSecrets,
      request,
      inputBytes,
    })
    await client.apply(nameOf(job), job)
  }

  async #inputs(): Promise<{
    readonly folders: Readonly<Record<string, string>>
    readonly bytes: number
  }> {
    const { workDir, caches, readOnly } = this.#request
    const names = sharedFolders(this.#request)
    const folders: Record<string, string> = { [names.work]: workDir }
    let bytes = await folderSize(workDir)
    for (const [at, { dir }] of caches.entries()) {
      const size = await folderSize(dir)
      if (size > CACHE_BYTES) continue
      folders[`cache-${String(at)}`] = dir
      bytes += size
    }
    for (const [at, { file }] of readOnly.entries()) folders[`file-${String(at)}`] = file
    return { folders, bytes }
  }

  /** @throws FairwayError RUNNER_UNAVAILABLE where it never comes to that */
  async #until(holds: (pod: StepPod) => boolean): Promise<StepPod> {
    const { client, namespace, beginMs = BEGIN_MS } = this.#options
    let said = ''
    const pod = await this.#within(beginMs, async (signal) => {
      for await (const now of stepPods(client, namespace, this.#name, signal)) {
        if (now === null) continue
        if (now.waiting !== '') said = now.waiting
        if (now.end?.reason === 'lost') throw lost(namespace, now.name, now.end.message)
        if (now.hopeless) throw notBegun(namespace, said)
        if (holds(now)) return now
      }
      throw new TypeError('watching ends with its signal')
    })
    if (pod === null) throw notBegun(namespace, said)
    return pod
  }

  async #untilEnded(): Promise<NonNullable<StepPod['end']> | 'timeout'> {
    const { client, namespace } = this.#options
    const end = await this.#within(this.#request.limits.timeoutMs, async (signal) => {
      for await (const now of stepPods(client, namespace, this.#name, signal))
        if (now !== null && now.end !== null) return now.end
      throw new TypeError('watching ends with its signal')
    })
    return end ?? 'timeout'
  }

  /** Null where the time was not enough. */
  async #within<T>(ms: number, task: (signal: AbortSignal) => Promise<T>): Promise<T | null> {
    const late = new AbortController()
    const done = new AbortController()
    const timer = this.#options.clock
      .sleep(ms, AbortSignal.any([this.#signal, done.signal]))
      .then(() => late.abort())
      .catch(() => undefined)
    try {
      return await task(AbortSignal.any([this.#signal, late.signal]))
    } catch (error) {
      this.#signal.throwIfAborted()
      if (late.signal.aborted) return null
      throw error
    } finally {
      done.abort()
      await timer
    }
  }

  async #follow(pod: string, tell: (text: string) => void): Promise<void> {
    const { client, namespace } = this.#options
    try {
      const options = { container: STEP, follow: true }
      for await (const line of client.podLog(namespace, pod, options, this.#signal))
        tell(`${line.slice(line.indexOf(' ') + 1)}\n`)
    } catch {
      // A log that breaks off: how the step ended does not depend on it.
    }
  }

  async #send(pod: string, folders: Readonly<Record<string, string>>): Promise<void> {
    const { work, caches } = sharedFolders(this.#request)
    const session = await this.#courier(pod, RECEIVER, ['unpack', work, ...caches])
    session.stdio.resume()
    const ended = new AbortController()
    void session.exit.then(() => ended.abort())
    for await (const chunk of this.#options.archive.pack(folders)) {
      if (ended.signal.aborted) break
      if (!session.stdio.write(chunk))
        await once(session.stdio, 'drain', { signal: ended.signal }).catch(() => undefined)
    }
    session.stdio.end()
    await this.#expectDone(session, 'inputs were not taken')
  }

  /** What the step made takes the place of what was there. */
  async #receive(pod: string, inputBytes: number): Promise<void> {
    const { workDir, caches, limits } = this.#request
    const names = sharedFolders(this.#request)
    const fresh = join(dirname(workDir), `.${this.#name}`)
    const wanted = [names.work, ...names.caches.map((name) => `${name}:${String(CACHE_BYTES)}`)]
    await mkdir(fresh, { mode: 0o700 })
    try {
      const session = await this.#courier(pod, SENDER, ['pack', ...wanted])
      await this.#options.archive.unpack(session.stdio, fresh, inputBytes + limits.disk)
      await this.#expectDone(session, 'results were not sent')
      await replace(join(fresh, names.work), workDir)
      for (const [at, { dir }] of caches.entries())
        await replace(join(fresh, `cache-${String(at)}`), dir)
    } finally {
      await rm(fresh, { recursive: true, force: true })
    }
  }

  async #courier(pod: string, container: string, args: readonly string[]): Promise<ExecSession> {
    const { client, namespace } = this.#options
    const argv = ['node', 'src/bin/courier.ts', ...args, SHARED]
    const session = await client.exec(namespace, pod, container, { argv, env: {}, tty: false })
    this.#signal.addEventListener('abort', () => session.kill(), { once: true })
    return session
  }

  async #expectDone(session: ExecSession, what: string): Promise<void> {
    let said = ''
    session.stderr?.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-500)))
    const { code } = await session.exit
    if (code === 0) return
    throw new FairwayError('CLUSTER_UNREACHABLE', `a build step's ${what}: ${said.trim()}`)
  }

  async #pause(ms: number): Promise<void> {
    await this.#options.clock.sleep(ms, this.#signal).catch(() => undefined)
  }
}

/** A cache that was too large to come back begins anew. */
async function replace(fresh: string, place: string): Promise<void> {
  await rm(place, { recursive: true, force: true })
  await mkdir(fresh, { recursive: true, mode: 0o755 })
  await rename(fresh, place)
}

function lost(namespace: string, pod: string, message: string): FairwayError {
  return new FairwayError(
    'RUNNER_UNAVAILABLE',
    `a build step was lost: pod ${pod} in ${namespace}${message === '' ? '' : `: ${message}`}`,
    { hint: 'Deploy again.' },
  )
}

function notBegun(namespace: string, said: string): FairwayError {
  return new FairwayError(
    'RUNNER_UNAVAILABLE',
    `a build step in namespace ${namespace} did not begin${said === '' ? '' : `: ${said}`}`,
    { hint: `kubectl -n ${namespace} describe pods` },
  )
}
