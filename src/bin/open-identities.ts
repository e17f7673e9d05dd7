import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { isInMemory } from '../lib/memory-files.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import type { Runner } from '../model/runner.ts'
import type { Secret } from '../model/secrets.ts'
import type { Store } from '../model/store.ts'
import type { IdentitySigner, WorkloadIdentities } from '../model/workload.ts'
import { Authority } from '../workload/authority.ts'
import { IdentifiedRunner } from '../workload/identified-runner.ts'
import { InstanceSigner } from '../workload/instance-signer.ts'
import type { Config } from './config.ts'
import type { DataFolder } from './data-folder.ts'
import { identityVault } from './identity-vault.ts'

export interface IdentityOptions {
  readonly config: Pick<Config, 'svidMinutes' | 'trustDomain'>
  readonly folder: Pick<DataFolder, 'identities'>
  readonly store: Store
  readonly serverKey: () => Promise<Secret>
  readonly clock: Clock
  readonly log: Log
  /** Name of this installation. */
  readonly owner: () => Promise<string>
}

export interface OpenIdentities {
  /** As their administrators see them. */
  readonly identities: WorkloadIdentities
  /** For instances that this server does not start itself. */
  readonly signer: IdentitySigner
  /** The same runner, whose instances have identities. Where files cannot be kept in memory they have none, and that is said: keys are never written to a disk. */
  readonly identified: (runner: Runner) => Promise<Runner>
  readonly close: () => Promise<void>
}

const ROOT_MS = 365 * 86_400_000
const MINUTE_MS = 60_000

/** The authority of all instances of this installation, which replaces its root by itself from now on. */
export async function openIdentities(options: IdentityOptions): Promise<OpenIdentities> {
  const { config, folder, clock, log, owner } = options
  const svidMs = config.svidMinutes * MINUTE_MS
  const clearFile = join(folder.identities, 'authority.json')
  const authority = new Authority({
    trustDomain: config.trustDomain ?? `${await owner()}.internal`,
    vault: identityVault({ ...options, clearFile, random: randomBytes }),
    clock,
    log,
    times: { svidMs, rootMs: ROOT_MS },
  })
  await authority.open()
  const closing = new AbortController()
  const rotating = authority.keepRotating(closing.signal)
  return {
    identities: authority,
    signer: new InstanceSigner(authority, clock),
    identified: async (runner) => {
      if (await canKeep(runner))
        return new IdentifiedRunner({ runner, authority, clock, log, svidMs })
      log.warn({}, 'no folder in memory on this host: instances have no identity')
      return runner
    },
    close: async () => {
      closing.abort(new Error('the server stops'))
      await rotating
    },
  }
}

async function canKeep({ name }: Runner): Promise<boolean> {
  if (name === 'container') return true
  const places = ['/dev/shm', `/run/user/${String(process.getuid?.() ?? 0)}`]
  return (await Promise.all(places.map((place) => isInMemory(place)))).includes(true)
}
