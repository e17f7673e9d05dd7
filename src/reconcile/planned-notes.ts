import type { AppSpec } from '../model/app-spec.ts'
import type { Engine } from '../model/engine.ts'
import type { AppRef } from '../model/names.ts'
import type { ImageFacts, Release } from '../model/release.ts'
import type { AppRecord } from '../model/store.ts'
import { desiredApp, desiredDuring, runsTwice } from './desired.ts'
import { engineNotes } from './engine-notes.ts'

/** Stands for an image that is not made yet: it says nothing of itself. */
const UNMADE: ImageFacts = {
  digest: `sha256:${'0'.repeat(64)}`,
  flavour: 'image',
  command: [],
  env: {},
  workingDir: '/',
  user: '',
  port: null,
  sizeBytes: 0,
}

/** What a deploy of this spec would be told on its way: at its end, and at each share of the traffic that a canary gets. */
export async function plannedNotes(
  ref: AppRef,
  spec: AppSpec,
  before: Release | null,
  record: Pick<AppRecord, 'scale'> | null,
  engine: Pick<Engine, 'notes'>,
): Promise<readonly string[]> {
  if (engine.notes === undefined) return []
  const candidate: Release = {
    ref,
    spec,
    number: (before?.number ?? 0) + 1,
    image: before?.image ?? UNMADE,
    config: {},
    configVersion: 0,
    createdAt: 0,
    createdBy: '',
    reason: '',
    status: 'pending',
  }
  const scaled = record ?? { scale: {} }
  const shares = Object.values(spec.processes).flatMap(({ canary }) => canary?.steps ?? [])
  const pair = before === null ? null : { stable: before, candidate }
  const targets = [
    desiredApp(candidate, scaled),
    ...(pair === null || !runsTwice(pair)
      ? []
      : shares.map((share) => desiredDuring(pair, share, scaled))),
  ]
  const notes = new Set<string>()
  for (const target of targets)
    for (const note of await engineNotes(engine, target)) notes.add(note)
  return [...notes]
}
