/** The model as the contract shows it: a fixed choice of fields, so that values of configuration cannot slip out. */
import type { z } from 'zod'
import type { appPlan, appStatus, instance } from '../contract/app.ts'
import type { logLine } from '../contract/log-line.ts'
import type { release, rollout, rolloutEvent } from '../contract/rollout.ts'
import type { Instance, Usage } from '../model/instance.ts'
import type { AppPlan, AppStatus, RolloutEvent } from '../model/platform.ts'
import type { Approval, Release, Rollout, StepRecord } from '../model/release.ts'
import type { LogLine } from '../model/runner.ts'

export function statusView(status: AppStatus): z.input<typeof appStatus> {
  const { record } = status
  return {
    ref: { ...record.ref },
    createdAt: record.createdAt,
    active: record.active,
    deleting: record.deleting,
    configNames: Object.keys(record.config).sort(),
    configVersion: record.configVersion,
    scale: { ...record.scale },
    release: status.release === null ? null : releaseView(status.release),
    rollout: status.rollout === null ? null : rolloutView(status.rollout),
    instances: status.instances.map((one) => instanceView(one, status.usage.get(one.id) ?? null)),
    urls: [...status.urls],
  }
}

export function releaseView(one: Release): z.input<typeof release> {
  const { digest, flavour, command, sizeBytes } = one.image
  return {
    number: one.number,
    image: { digest, flavour, command: [...command], sizeBytes },
    processes: Object.keys(one.spec.processes),
    configVersion: one.configVersion,
    createdAt: one.createdAt,
    createdBy: one.createdBy,
    reason: one.reason,
    status: one.status,
  }
}

export function rolloutView(one: Rollout): z.input<typeof rollout> {
  return {
    id: one.id,
    ref: { ...one.ref },
    release: one.release,
    previous: one.previous,
    request: requestView(one.request),
    status: one.status,
    steps: one.steps.map(stepView),
    failure: one.failure === null ? null : failureView(one.failure),
    createdAt: one.createdAt,
    endedAt: one.endedAt,
    createdBy: one.createdBy,
    approval: one.approval === null ? null : approvalView(one.approval),
  }
}

function approvalView({ expiresAt, approvedBy }: Approval) {
  return { expiresAt, approvedBy }
}

export function rolloutEventView(event: RolloutEvent): z.input<typeof rolloutEvent> {
  const { at } = event
  switch (event.type) {
    case 'step':
      return { type: 'step', at, step: stepView(event.step) }
    case 'output':
      return { type: 'output', at, text: event.text }
    case 'end':
      return { type: 'end', at, rollout: rolloutView(event.rollout), urls: [...event.urls] }
  }
}

export function planView(plan: AppPlan): z.input<typeof appPlan> {
  return {
    ref: { ...plan.ref },
    recognition: { kind: plan.recognition.plan.kind, evidence: plan.recognition.evidence },
    changes: [...plan.changes],
    warnings: [...plan.warnings],
    env: Object.keys(plan.spec.env).sort(),
    processes: Object.values(plan.spec.processes).map((one) => ({
      name: one.name,
      type: one.type,
      command: one.command === null ? null : [...one.command],
      port: one.port,
      routes: one.routes.map(({ host, path }) => ({ host, path })),
      env: Object.keys(one.env).sort(),
      resources: { ...one.resources },
      scale: { ...one.scale },
      strategy: one.strategy,
    })),
  }
}

export function logLineView(line: LogLine): z.input<typeof logLine> {
  const { time, stream, instance: id, process, release: number, text } = line
  return { time, stream, instance: id, process, release: number, text }
}

function instanceView(one: Instance, usage: Usage | null): z.input<typeof instance> {
  return {
    id: one.id,
    process: one.process,
    release: one.release,
    track: one.track,
    state: one.state,
    reason: one.reason,
    address: one.address === null ? null : { ...one.address },
    startedAt: one.startedAt,
    restarts: one.restarts,
    exit: one.exit === null ? null : { ...one.exit },
    usage: usage === null ? null : { ...usage },
  }
}

function stepView({ name, status, startedAt, endedAt, summary }: StepRecord): StepRecord {
  return { name, status, startedAt, endedAt, summary }
}

function requestView(request: Rollout['request']): z.input<typeof rollout>['request'] {
  switch (request.kind) {
    case 'deploy':
      return { kind: 'deploy', source: request.source, image: request.image }
    case 'rollback':
      return { kind: 'rollback', to: request.to }
    case 'config':
      return { kind: 'config', summary: request.summary }
    case 'secrets':
      return { kind: 'secrets', files: request.documents.map(({ path }) => path) }
  }
}

function failureView({ code, message, hint, diagnosis }: NonNullable<Rollout['failure']>): {
  code: string
  message: string
  hint: string | null
  diagnosis: string[]
} {
  return {
    code,
    message,
    hint: hint ?? null,
    diagnosis: [...diagnosis],
  }
}
