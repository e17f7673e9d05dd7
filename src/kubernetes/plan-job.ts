import { hash } from 'node:crypto'
import type { ProcessSpec } from '../model/app-spec.ts'
import type { JobRequest } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'
import { refKey } from '../model/names.ts'
import { podEnv, secretsOf } from './pod-env.ts'
import { namespaceOf } from './labels.ts'
import { kubeObject, type KubeObject } from './object.ts'
import { ownershipLabels } from './ownership.ts'
import { planBase } from './plan-base.ts'
import type { BaseSettings } from './plan-settings.ts'
import { planDoorPolicy } from './pod-door.ts'
import { callsServer, podTemplate } from './pod-template.ts'
import { seconds } from './probes.ts'

/** How long a result can be read after the end, by a rollout that resumes. */
const KEPT_SECONDS = 3600

/** `<process>-<release>-<hash of the key>`: the same request finds the same Job. */
export function jobName({ process, release, key, ref }: JobKey): string {
  return `${process}-${String(release)}-${hash('sha256', `${refKey(ref)}/${key}`, 'hex').slice(0, 10)}`
}

type JobKey = Pick<JobRequest, 'process' | 'release' | 'key' | 'ref'>

/**
 * One run of a command: the namespace and what else it needs, for the first release has none before its release command, and last the Job. It never
 * runs twice by itself: what failed is for people to see. @throws FairwayError INVALID_APP_FILE for an app without processes
 */
export function planJob(job: JobRequest, settings: BaseSettings): readonly KubeObject[] {
  const { ref, image } = job
  const processes = Object.values<ProcessSpec>(job.spec.processes)
  const process = processOf(job)
  const name = jobName(job)
  const of = { release: job.release, kind: 'job', job: name } as const
  const env = podEnv({ ...job, process: process.name, of }, settings)
  const labels = ownershipLabels({ ref, owner: settings.owner, process: process.name, ...of })
  const template = podTemplate(
    {
      ref,
      process,
      image,
      argv: job.argv,
      env,
      secrets: job.secrets,
      labels,
      kind: 'job',
      replicas: 1,
    },
    settings,
  )
  return [
    ...planBase(ref, [...processes].sort(byName), settings),
    ...planDoorPolicy(ref, callsServer({ ...job, process }), settings, { name, labels }),
    ...secretsOf(env),
    kubeObject({
      apiVersion: 'batch/v1',
      kind: 'Job',
      name,
      namespace: namespaceOf(ref),
      labels,
      fields: {
        spec: {
          backoffLimit: 0,
          activeDeadlineSeconds: seconds(job.timeoutMs),
          ttlSecondsAfterFinished: KEPT_SECONDS,
          template,
        },
      },
    }),
  ]
}

/** Whose limits and account a run has. @throws FairwayError INVALID_APP_FILE for an app without processes */
export function processOf({ spec, process }: Pick<JobRequest, 'spec' | 'process'>): ProcessSpec {
  const processes = Object.values<ProcessSpec>(spec.processes)
  const found = processes.find(({ name }) => name === process) ?? processes[0]
  if (found === undefined) throw new FairwayError('INVALID_APP_FILE', 'the app has no process')
  return found
}

function byName(a: Pick<ProcessSpec, 'name'>, b: Pick<ProcessSpec, 'name'>): number {
  return a.name < b.name ? -1 : 1
}
