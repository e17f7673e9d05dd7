import { KeyedMutex } from '../lib/mutex.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { IdentityStatus } from '../model/workload.ts'
import {
  firstState,
  nextRotationStep,
  parseState,
  published,
  replaced,
  retired,
  signerOf,
  stateText,
  switched,
  type AuthorityState,
  type Root,
  type RotationTimes,
} from './authority-state.ts'
import type { X509Leaf, X509Svid } from './certificate.ts'
import type { JwtVerdict } from './jwt-svid.ts'
import type { SpiffeId } from './spiffe-id.ts'

/** Where the signing keys are kept between two lives of the server. */
export interface AuthorityVault {
  /** Null where nothing was stored yet. @throws Error for what is there and cannot be read */
  load(): Promise<string | null>
  /** Stored for good when it resolves, in the place of what was there. */
  save(text: string): Promise<void>
}

/** What was signed, with the sequence of the bundle that it belongs to. */
export type Issued<Leaf extends X509Leaf> = Leaf & { readonly sequence: number }

/** A certificate and what a peer has to know beside it, of one moment. */
export interface Certified extends TrustBundle {
  readonly leaf: X509Leaf
  readonly jwtBundle: string
}

export interface AuthorityOptions {
  readonly trustDomain: string
  readonly vault: AuthorityVault
  readonly clock: Clock
  readonly log: Log
  readonly times: RotationTimes
}

/** What is trusted now, in the forms in which instances get it. */
export interface TrustBundle {
  readonly trustDomain: string
  /** Root certificates in PEM. */
  readonly roots: readonly string[]
  readonly sequence: number
}

export const JWT_LIFE_MS = 300_000
/** A failed step of a rotation is tried again after this. */
const RETRY_MS = 30_000
/** Timers of Node end at 2^31 ms. */
const LONGEST_SLEEP_MS = 86_400_000

/**
 * The SPIFFE authority of one trust domain: signs SVIDs, knows what is trusted, replaces its own root. Nothing is loaded or made before the first
 * instance needs an identity, unless keys are stored.
 */
export class Authority {
  readonly #options: AuthorityOptions
  readonly #mutex = new KeyedMutex()
  readonly #listeners = new Set<() => void>()
  #state: AuthorityState | null = null
  /** False: what is stored cannot be read and must not be lost. Keys are in memory alone then, until somebody replaces them on purpose. */
  #keeps = true

  constructor(options: AuthorityOptions) {
    this.#options = options
  }

  get trustDomain(): string {
    return this.#options.trustDomain
  }

  /**
   * Reads what is stored. Keys of another trust domain are replaced at the next use, and said so. What cannot be read stays as it is, and this server signs
   * with keys of its own while it runs, since no instance starts without an identity.
   */
  async open(): Promise<void> {
    const { vault, trustDomain, clock, log } = this.#options
    try {
      const text = await vault.load()
      if (text === null) return
      const state = parseState(text)
      if (state.trustDomain === trustDomain) this.#state = waitingAgain(state, clock.now())
      else log.warn({ before: state.trustDomain, now: trustDomain }, 'the trust domain has changed')
    } catch (error) {
      this.#keeps = false
      log.error(
        { error: String(error) },
        'stored keys of identities not read: others until they are',
      )
    }
  }

  /** A new key and certificate for one workload. @throws Error where what was signed does not pass for a peer, as with a clock that was set */
  async x509Svid(id: SpiffeId): Promise<Issued<X509Svid>> {
    const { leaf, state } = await this.#signed(async (root, times) =>
      (await certificates()).issueX509Svid(root, id, times),
    )
    return { ...leaf, sequence: state.sequence }
  }

  /** A certificate for a key that the workload made and keeps: DER of a SubjectPublicKeyInfo of P-256. @throws Error as `x509Svid`, and for any other key */
  async certify(id: SpiffeId, publicKey: Uint8Array<ArrayBuffer>): Promise<Certified> {
    const { leaf, state } = await this.#signed(async (root, times) =>
      (await certificates()).certifyKey(root, id, publicKey, times),
    )
    const { jwtBundle } = await import('./jwt-svid.ts')
    return { leaf, ...bundleOf(state), jwtBundle: jwtBundle(state.roots) }
  }

  async jwtSvid(id: SpiffeId, audience: readonly string[]): Promise<string> {
    const root = signerOf(await this.#ready())
    const { issueJwtSvid } = await import('./jwt-svid.ts')
    const now = this.#options.clock.now()
    return issueJwtSvid(root, id, { audience, now, lifeMs: JWT_LIFE_MS })
  }

  /** Null for whatever is not a JWT-SVID of this trust domain for this audience. */
  async validateJwtSvid(token: string, audience: string): Promise<JwtVerdict | null> {
    const { roots, trustDomain } = await this.#ready()
    const { validateJwtSvid } = await import('./jwt-svid.ts')
    const now = this.#options.clock.now()
    return validateJwtSvid(token, { roots, trustDomain, audience, now })
  }

  async bundle(): Promise<TrustBundle> {
    return bundleOf(await this.#ready())
  }

  async jwtBundle(): Promise<string> {
    const { roots } = await this.#ready()
    return (await import('./jwt-svid.ts')).jwtBundle(roots)
  }

  /** Told after every change of the bundle, or of who signs. Returns how to stop being told. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** What people may see of it: no key. */
  async status(): Promise<IdentityStatus> {
    const state = await this.#ready()
    const { step, at } = nextRotationStep(state, this.#options.times)
    return {
      trustDomain: state.trustDomain,
      svidLifeMs: this.#options.times.svidMs,
      sequence: state.sequence,
      phase: state.rotation?.phase ?? 'steady',
      next: { step, at },
      roots: state.roots.map(({ id, createdAt, notAfter }) => ({
        id,
        createdAt,
        notAfter,
        signs: id === state.signer,
      })),
    }
  }

  /** Begins to replace the root: publishes the new one. @throws FairwayError CONFLICT while that is under way */
  async rotate(): Promise<IdentityStatus> {
    await this.#ready()
    await this.#alone(async (state) => {
      if (state?.rotation != null) {
        throw new FairwayError('CONFLICT', 'the root is being replaced already', {
          hint: '`fairway identity status` shows how far it is.',
        })
      }
      return state === null ? null : await this.#publish(state)
    })
    return this.status()
  }

  /**
   * Trusts a new root and nothing else, at once: for keys that somebody else may have. Programs that hold something older and those that do not refuse each
   * other until all have read theirs anew.
   */
  async replace(): Promise<IdentityStatus> {
    await this.#ready()
    await this.#alone(async (state) => {
      if (state === null) return null
      this.#keeps = true
      return replaced(state, await this.#newRoot(state.trustDomain))
    })
    return this.status()
  }

  /** Takes the steps of a rotation when they are due, until the signal aborts; also those that fell due while no server ran. */
  async keepRotating(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options
    const over = (): boolean => signal.aborted
    while (!over()) {
      try {
        await clock.sleep(this.#pause(await this.#takeDueStep()), signal)
      } catch (error) {
        if (over()) return
        log.error({ error: String(error) }, 'the root of the identities was not replaced')
        await clock.sleep(RETRY_MS, signal).catch(() => undefined)
      }
    }
  }

  // Private

  /** When to look again. A rotation that somebody begins meanwhile is looked at in time: its first step is due later than the longest pause ends. */
  async #takeDueStep(): Promise<number | null> {
    if (this.#state === null) return null
    const next = await this.#alone(async (state) => {
      if (state === null) return null
      const now = this.#options.clock.now()
      const { step, at } = nextRotationStep(state, this.#options.times)
      if (at > now) return null
      if (step === 'publish') return await this.#publish(state)
      return step === 'switch' ? switched(state, now) : retired(state)
    })
    return next === null ? null : nextRotationStep(next, this.#options.times).at
  }

  #pause(at: number | null): number {
    const { svidMs } = this.#options.times
    const look = Math.min(svidMs, LONGEST_SLEEP_MS)
    if (at === null) return look
    return Math.max(1000, Math.min(at - this.#options.clock.now(), look))
  }

  async #publish(state: AuthorityState): Promise<AuthorityState> {
    const next = await this.#newRoot(state.trustDomain)
    return published(state, next, this.#options.clock.now())
  }

  async #newRoot(trustDomain: string): Promise<Root> {
    const { clock, times } = this.#options
    const { makeRoot } = await certificates()
    return makeRoot(trustDomain, { now: clock.now(), lifeMs: times.rootMs })
  }

  /** Nothing leaves that a peer would refuse, or whose root was replaced meanwhile. */
  async #signed<Leaf extends X509Leaf>(
    sign: (root: Root, times: { readonly now: number; readonly lifeMs: number }) => Promise<Leaf>,
  ): Promise<{ readonly leaf: Leaf; readonly state: AuthorityState }> {
    const state = await this.#ready()
    const now = this.#options.clock.now()
    const leaf = await sign(signerOf(state), { now, lifeMs: this.#options.times.svidMs })
    const bundles = new Map([[state.trustDomain, bundleOf(state).roots]])
    const { judge } = await certificates()
    const verdict = await judge(new Uint8Array(leaf.certificate), { bundles, now })
    if (!verdict.accepted)
      throw new Error(`the identity authority signed what nobody accepts: ${verdict.reason}`)
    return this.#state === state ? { leaf, state } : this.#signed(sign)
  }

  async #ready(): Promise<AuthorityState> {
    if (this.#state !== null) return this.#state
    const made = await this.#alone(async (state) => {
      if (state !== null) return null
      const { trustDomain } = this.#options
      return firstState(trustDomain, await this.#newRoot(trustDomain))
    })
    if (made === null) throw new Error('the identity authority has no keys')
    return made
  }

  /** One change at a time: stored first, then true, then told. Null = nothing to change. Resolves with what is true then. */
  async #alone(
    change: (state: AuthorityState | null) => Promise<AuthorityState | null>,
  ): Promise<AuthorityState | null> {
    return await this.#mutex.run('state', async () => {
      const next = await change(this.#state)
      if (next === null) return this.#state
      if (this.#keeps) await this.#options.vault.save(stateText(next))
      this.#state = next
      const { sequence, signer, rotation } = next
      const phase = rotation?.phase ?? 'steady'
      this.#options.log.info({ sequence, signer, phase }, 'roots of the identities changed')
      for (const listener of this.#listeners) listener()
      return next
    })
  }
}

/** Whether instances heard of a published root before the earlier server ended is not known: its time to be heard of begins anew. */
function waitingAgain(state: AuthorityState, now: number): AuthorityState {
  if (state.rotation?.phase !== 'published') return state
  return { ...state, rotation: { phase: 'published', since: now } }
}

function bundleOf({ trustDomain, roots, sequence }: AuthorityState): TrustBundle {
  return { trustDomain, roots: roots.map(({ certificate }) => certificate), sequence }
}

async function certificates() {
  const [made, { judgePeer }] = await Promise.all([import('./certificate.ts'), import('./peer.ts')])
  const { makeRoot, issueX509Svid, certifyKey } = made
  return { makeRoot, issueX509Svid, certifyKey, judge: judgePeer }
}
