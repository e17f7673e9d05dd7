import { FairwayError } from '../model/errors.ts'
import type { Release, Rollout } from '../model/release.ts'
import { activeRelease, readApp } from './app-planner.ts'
import type { ReconcileDeps } from './deps.ts'
import type { RolloutFeed } from './rollout-feed.ts'
import type { RolloutSteps, Save } from './rollout-steps.ts'
import { namedDocuments } from './secret-files.ts'
import { keptRelease } from './target-now.ts'

interface MadeRelease {
  readonly rollout: Rollout
  readonly release: Pick<Release, 'image' | 'spec' | 'reason'> &
    Partial<Pick<Release, 'config' | 'configVersion' | 'secrets'>>
}

/** Makes the release that a rollout brings in: baked, copied from a kept one, or one that is still ready. Done again it finds what it made. */
export class ReleaseMaker {
  readonly #deps: ReconcileDeps
  readonly #feed: RolloutFeed
  readonly #steps: RolloutSteps

  constructor(deps: ReconcileDeps, feed: RolloutFeed, steps: RolloutSteps) {
    this.#deps = deps
    this.#feed = feed
    this.#steps = steps
  }

  async make(rollout: Rollout, save: Save, signal: AbortSignal): Promise<Release> {
    const { store } = this.#deps
    if (rollout.release !== null) {
      const made = await store.getRelease(rollout.ref, rollout.release)
      if (made !== null) return made
    }
    const kept = await this.#keptRelease(rollout)
    if (kept !== null) {
      const record = await store.getApp(rollout.ref)
      await save({ ...rollout, release: kept.number, previous: record?.active ?? null })
      return kept
    }
    const { request } = rollout
    const fields =
      request.kind === 'deploy'
        ? await this.#bake(rollout, save, signal)
        : await this.#copyRelease(rollout)
    const record = await store.ensureApp(rollout.ref, this.#deps.clock.now())
    const release = await store.addRelease({
      ref: rollout.ref,
      config: record.config,
      configVersion: record.configVersion,
      createdAt: this.#deps.clock.now(),
      createdBy: rollout.createdBy,
      status: 'pending',
      ...fields.release,
    })
    const made = { ...fields.rollout, release: release.number, previous: record.active }
    await save(made)
    return release
  }

  // Private

  /** The release to go back to where it is still ready: it serves again as it is, at once, under its own number. */
  async #keptRelease({ ref, request }: Rollout): Promise<Release | null> {
    if (request.kind !== 'rollback') return null
    const { store, clock } = this.#deps
    const active = await activeRelease(ref, store)
    const kept = active === null ? null : await keptRelease(active, store)
    if (kept === null || kept.until <= clock.now()) return null
    return kept.release.number === request.to ? kept.release : null
  }

  async #bake(rollout: Rollout, save: Save, signal: AbortSignal): Promise<MadeRelease> {
    const { request } = rollout
    if (request.kind !== 'deploy') throw new TypeError('only a deploy is baked')
    const { baker, engine, clock } = this.#deps
    const begun = await this.#steps.begin(rollout, 'bake', save)
    const app = await readApp(rollout.ref, request, this.#deps)
    const result = await baker.bake(
      {
        ref: rollout.ref,
        spec: app.spec,
        plan: app.recognition.plan,
        source: app.tree,
        flavour: engine.flavourOf(app.spec),
      },
      ({ kind, text }) => {
        if (kind === 'output' || text !== '') this.#feed.output(rollout, text, clock.now())
      },
      signal,
    )
    const ended = await this.#steps.end(begun, 'bake', result.summary, save)
    const secrets = namedDocuments(app.spec, request.secrets)
    return {
      rollout: ended,
      release: { image: result.image, spec: app.spec, secrets, reason: 'deploy' },
    }
  }

  /** A rollback or a change of configuration: nothing is baked, an image that is here gets a new number. */
  async #copyRelease(rollout: Rollout): Promise<MadeRelease> {
    const { store } = this.#deps
    const { request, ref } = rollout
    if (request.kind === 'rollback') {
      const target = await store.getRelease(ref, request.to)
      if (target === null)
        throw new FairwayError('NOT_FOUND', `release ${String(request.to)} is not kept any more`)
      const { image, spec, config, configVersion, secrets = [] } = target
      const reason = `rollback to ${String(request.to)}`
      return { rollout, release: { image, spec, config, configVersion, secrets, reason } }
    }
    const active = await activeRelease(ref, store)
    if (active === null) throw new FairwayError('NOT_RUNNING', 'no release serves yet')
    const { image, spec } = active
    if (request.kind === 'secrets') {
      const secrets = namedDocuments(spec, request.documents)
      return { rollout, release: { image, spec, secrets, reason: 'secrets push' } }
    }
    const reason = request.kind === 'config' ? request.summary : 'deploy'
    return { rollout, release: { image, spec, secrets: active.secrets ?? [], reason } }
  }
}
