import type { Workload } from '../model/engine.ts'
import type { AppRef } from '../model/names.ts'
import { podEnv, secretsOf } from './pod-env.ts'
import { LABELS, namespaceOf } from './labels.ts'
import { kubeObject, type KubeObject } from './object.ts'
import { ownershipLabels } from './ownership.ts'
import type { BaseSettings } from './plan-settings.ts'
import { podTemplate } from './pod-template.ts'
import { seconds } from './probes.ts'

/** Below this the cluster's controller, which looks every ten seconds, would miss runs. */
const LEAST_CATCH_UP_SECONDS = 10
const RUNS_KEPT = 3
const POLICY = { forbid: 'Forbid', allow: 'Allow', replace: 'Replace' } as const

/** A scheduled process; runs are of the stable release. */
export function planCron(
  ref: AppRef,
  { spec: process, tracks }: Workload,
  settings: BaseSettings,
): readonly KubeObject[] {
  const track = tracks.find(({ name }) => name === 'stable') ?? tracks[0]
  const { schedule } = track?.spec ?? process
  if (schedule === null || track === undefined) return []
  const of = { release: track.release, kind: 'cron' } as const
  const env = podEnv({ ref, process: process.name, ...track, of }, settings)
  const labels = ownershipLabels({ ref, owner: settings.owner, process: process.name, ...of })
  // The pods of a run are no copies of the process.
  const runLabels = { ...labels, [LABELS.job]: 'cron' }
  const template = podTemplate(
    {
      ref,
      process: track.spec,
      image: track.image,
      argv: track.spec.command ?? track.image.command,
      env,
      secrets: track.secrets,
      labels: runLabels,
      kind: 'cron',
      replicas: 1,
    },
    settings,
  )
  const spec = {
    schedule: schedule.cron,
    timeZone: schedule.timezone,
    concurrencyPolicy: POLICY[schedule.overlap],
    startingDeadlineSeconds: Math.max(LEAST_CATCH_UP_SECONDS, seconds(schedule.catchUpMs)),
    successfulJobsHistoryLimit: RUNS_KEPT,
    failedJobsHistoryLimit: RUNS_KEPT,
    jobTemplate: {
      metadata: { labels: runLabels },
      spec: {
        backoffLimit: schedule.retries,
        ...(schedule.deadlineMs === null
          ? {}
          : { activeDeadlineSeconds: seconds(schedule.deadlineMs) }),
        template,
      },
    },
  }
  return [
    ...secretsOf(env),
    kubeObject({
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      name: process.name,
      namespace: namespaceOf(ref),
      labels,
      fields: { spec },
    }),
  ]
}
