import { join } from 'node:path'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import { isInMemory } from '../lib/memory-files.ts'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Runner } from '../model/runner.ts'
import type { WorkloadIdentities } from '../model/workload.ts'
import { Authority, type AuthorityVault } from '../workload/authority.ts'
import { IdentifiedRunner } from '../workload/identified-runner.ts'
import type { Config } from './config.ts'
import type { DataFolder } from './data-folder.ts'

export interface IdentityOptions {
  readonly config: Config
  readonly folder: DataFolder
  readonly runner: Runner
  readonly clock: Clock
  readonly log: Log
  /** Name of this installation. */
  readonly owner: () => Promise<string>
}

const ROOT_MS = 365 * 86_400_000
const MINUTE_MS = 60_000

/** Gives the instances of a runner identities. Where files cannot be kept in memory they have none, and that is said: keys are never written to a disk. */
export async function openIdentities(
  options: IdentityOptions,
): Promise<{ readonly runner: Runner; readonly identities: WorkloadIdentities }> {
  const { config, folder, runner, clock, log, owner } = options
  if (!(await canKeep(runner))) {
    log.warn({}, 'no folder in memory on this host: instances have no identity')
    return { runner, identities: noIdentities('this host has no folder in memory for keys') }
  }
  const svidMs = config.svidMinutes * MINUTE_MS
  const authority = new Authority({
    trustDomain: config.trustDomain ?? `${await owner()}.internal`,
    vault: fileVault(join(folder.identities, 'authority.json')),
    clock,
    log,
    times: { svidMs, rootMs: ROOT_MS },
  })
  return {
    runner: new IdentifiedRunner({ runner, authority, clock, log, svidMs }),
    identities: authority,
  }
}

/** For a server whose instances are somebody else's to identify. */
export function noIdentities(why: string): WorkloadIdentities {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new FairwayError('NOT_FOUND', `instances of this server have no identities: ${why}`, {
        hint: 'docs/identity.md says where they are.',
      }),
    )
  return { status: refuse, rotate: refuse }
}

async function canKeep({ name }: Runner): Promise<boolean> {
  if (name === 'container') return true
  const places = ['/dev/shm', `/run/user/${String(process.getuid?.() ?? 0)}`]
  return (await Promise.all(places.map((place) => isInMemory(place)))).includes(true)
}

function fileVault(path: string): AuthorityVault {
  return {
    load: () => readIfExists(path),
    save: (text) => writeAtomically(path, text, { mode: 0o600 }),
  }
}
