import type { DesiredApp } from '../model/engine.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { Release, Rollout } from '../model/release.ts'
import type { AppRecord, Store } from '../model/store.ts'
import { desiredApp, desiredDuring, desiredKeeping, runsTwice } from './desired.ts'
import { isStepDone } from './rollout.ts'

const ROLLOUTS_SCANNED = 20

/** A release that stays ready beside the one that serves, and until when. */
export interface KeptRelease {
  readonly release: Release
  readonly until: number
}

/**
 * What the engine should make true for an app right now, from the store alone: the rollout that brings a release in, else the release that serves and what
 * is kept warm beside it. Null where nothing serves and nothing is brought in.
 */
export async function targetNow(
  record: AppRecord,
  store: Store,
  now: number,
): Promise<DesiredApp | null> {
  const running = await rolloutInFlight(record.ref, store)
  if (running === null || running.release === null) return restingTarget(record, store, now)
  const candidate = await store.getRelease(record.ref, running.release)
  if (candidate === null) return restingTarget(record, store, now)
  const stable = await servingBefore(record, running, store)
  return stable !== null && runsTwice({ stable, candidate })
    ? desiredDuring({ stable, candidate }, running.share, record)
    : desiredApp(candidate, record)
}

/** For a server that starts: an app under way from one place to another stays where it serves until the new place does, so the engine is told of both, the old one first. */
export async function targetsNow(
  record: AppRecord,
  store: Store,
  now: number,
): Promise<readonly DesiredApp[]> {
  const target = await targetNow(record, store, now)
  const serving = await restingTarget(record, store, now)
  return [serving?.target === target?.target ? null : serving, target].filter((one) => one !== null)
}

/**
 * A release of which instances may still begin, null for any other: the one that serves, what a rollout that has not ended brings in and what it replaces, and
 * what is kept ready. A copy of any of them that lost its node starts anew.
 */
export async function wantedRelease(
  ref: AppRef,
  number: number,
  store: Store,
  now: number,
): Promise<Release | null> {
  const record = await store.getApp(ref)
  if (record === null || record.deleting) return null
  const unfinished = (await store.listUnfinishedRollouts()).filter(
    (rollout) => refKey(rollout.ref) === refKey(ref),
  )
  const active = record.active === null ? null : await store.getRelease(ref, record.active)
  const kept = active === null ? null : await keptRelease(active, store)
  const isKept = kept !== null && kept.until > now && kept.release.number === number
  const isWanted =
    isKept ||
    record.active === number ||
    unfinished.some(({ release, previous }) => release === number || previous === number)
  return isWanted ? store.getRelease(ref, number) : null
}

/** The same without what a rollout brings in: the way back from it, and where it ends. */
export async function restingTarget(
  record: AppRecord,
  store: Store,
  now: number,
): Promise<DesiredApp | null> {
  const active = record.active === null ? null : await store.getRelease(record.ref, record.active)
  if (active === null) return null
  const kept = await keptRelease(active, store)
  return kept === null || kept.until <= now
    ? desiredApp(active, record)
    : desiredKeeping(active, kept.release, record)
}

/**
 * The release before the active one that a bluegreen rollout keeps ready, and until when, which may be over. It follows from the rollout that made the active
 * one serve; a way back keeps nothing, as nobody goes back to what was just left.
 */
export async function keptRelease(active: Release, store: Store): Promise<KeptRelease | null> {
  const keepMs = Math.max(
    0,
    ...Object.values(active.spec.processes).map(({ bluegreen }) => bluegreen?.keepMs ?? 0),
  )
  if (keepMs === 0) return null
  const rollouts = await store.listRollouts(active.ref, ROLLOUTS_SCANNED)
  const made = rollouts.find(
    (rollout) => rollout.release === active.number && isStepDone(rollout, 'switch'),
  )
  if (made === undefined || made.previous === null || made.request.kind === 'rollback') return null
  const switched = made.steps.find(({ name }) => name === 'switch')?.endedAt ?? made.createdAt
  const release = await store.getRelease(active.ref, made.previous)
  return release === null ? null : { release, until: switched + keepMs }
}

/** The rollout that has begun to start its release and has not ended. */
async function rolloutInFlight(ref: AppRef, store: Store): Promise<Rollout | null> {
  const unfinished = await store.listUnfinishedRollouts()
  const running = unfinished.find(
    (rollout) =>
      refKey(rollout.ref) === refKey(ref) &&
      rollout.steps.some(({ name }) => name === 'start') &&
      !isStepDone(rollout, 'switch'),
  )
  return running ?? null
}

async function servingBefore(
  record: AppRecord,
  running: Rollout,
  store: Store,
): Promise<Release | null> {
  if (record.active === null || record.active === running.release) return null
  return store.getRelease(record.ref, record.active)
}
