import { z } from 'zod'
import { STEPS } from '../model/release.ts'
import { appRef, digest, releaseNumber, time } from './name.ts'

export const stepRecord = z
  .object({
    name: z.enum(STEPS),
    status: z.enum(['running', 'done', 'skipped', 'failed']),
    startedAt: time,
    endedAt: time.nullable(),
    summary: z.string(),
  })
  .meta({ id: 'Step' })

const rolloutRequest = z.discriminatedUnion('kind', [
  // Without the app file's text: its values of env are for its authors.
  z.object({
    kind: z.literal('deploy'),
    source: z.string().nullable(),
    image: z.string().nullable(),
  }),
  z.object({ kind: z.literal('rollback'), to: releaseNumber }),
  z.object({ kind: z.literal('config'), summary: z.string() }),
  z.object({ kind: z.literal('secrets'), files: z.array(z.string()) }),
])

export const rollout = z
  .object({
    id: z.string(),
    ref: appRef,
    release: releaseNumber.nullable(),
    previous: releaseNumber.nullable(),
    request: rolloutRequest,
    status: z.enum(['waiting', 'queued', 'running', 'succeeded', 'failed', 'superseded']),
    steps: z.array(stepRecord),
    failure: z
      .object({
        code: z.string(),
        message: z.string(),
        /** Null where the hint of the code says what to do. */
        hint: z.string().nullable(),
        diagnosis: z.array(z.string()),
      })
      .nullable(),
    createdAt: time,
    endedAt: time.nullable(),
    createdBy: z.string(),
    /** Null where it needs none. */
    approval: z.object({ expiresAt: time, approvedBy: z.string().nullable() }).nullable(),
  })
  .meta({ id: 'Rollout' })

/** Lines of `rolloutEvents`. */
export const rolloutEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('step'), at: time, step: stepRecord }),
  z.object({ type: z.literal('output'), at: time, text: z.string() }),
  z.object({ type: z.literal('end'), at: time, rollout, urls: z.array(z.string()) }),
])

/** Lines of `deploy` and `rollback`: first the accepted rollout (so that a lost stream can be resumed by its id), then its events. */
export const deployEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('rollout'), rollout }),
  ...rolloutEvent.options,
])

/** A release without its configuration values, which leave the server only through `getConfig`. */
export const release = z
  .object({
    number: releaseNumber,
    image: z.object({
      digest,
      flavour: z.enum(['image', 'host']),
      command: z.array(z.string()),
      sizeBytes: z.number(),
    }),
    processes: z.array(z.string()),
    configVersion: z.number().int(),
    createdAt: time,
    createdBy: z.string(),
    reason: z.string(),
    status: z.enum(['pending', 'active', 'superseded', 'failed']),
  })
  .meta({ id: 'Release' })

export type RolloutBody = z.output<typeof rollout>
export type RolloutEventBody = z.output<typeof rolloutEvent>
export type DeployEventBody = z.output<typeof deployEvent>
export type ReleaseBody = z.output<typeof release>
