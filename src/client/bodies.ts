/** Readers of every answer of the contract; bodies.test.ts holds them against its schemas. */
import type { AppPlanBody, AppStatusBody, InstanceBody } from '../contract/app.ts'
import type { AuditLineBody } from '../contract/audit-endpoints.ts'
import type { ConfigBody } from '../contract/config.ts'
import type { EndpointName, ResponseOf } from '../contract/endpoints.ts'
import type { LogLineBody, RunEventBody } from '../contract/log-line.ts'
import type { DrainEventBody, NodeBody } from '../contract/node.ts'
import type { Problem } from '../contract/problem.ts'
import type {
  DeployEventBody,
  ReleaseBody,
  RolloutBody,
  RolloutEventBody,
} from '../contract/rollout.ts'
import type { CheckBody, TargetBody } from '../contract/target.ts'
import type { WhoamiBody } from '../contract/token.ts'
import type { WorkloadIdentitiesBody } from '../contract/workload-endpoints.ts'
import { ACCESS_BODIES } from './access-bodies.ts'
import {
  binding,
  grant,
  protection,
  redeemed,
  session,
  team,
  token,
  userWithSessions,
} from './team-bodies.ts'
import {
  anything,
  branded,
  flag,
  list,
  map,
  number,
  object,
  oneOf,
  orNull,
  tagged,
  text,
  type Reader,
} from './shape.ts'

export const problemBody = object<Problem>({
  error: object({ code: text, message: text, hint: text, details: map(anything) }),
})

const ref = object<RolloutBody['ref']>({ app: branded(), environment: branded() })
const exitReason = oneOf('exited', 'oom', 'killed', 'unknown')

const step = object<RolloutBody['steps'][number]>({
  name: oneOf('approve', 'bake', 'gate', 'release', 'start', 'switch', 'drain'),
  status: oneOf('running', 'done', 'skipped', 'failed'),
  startedAt: number,
  endedAt: orNull(number),
  summary: text,
})

const rollout = object<RolloutBody>({
  id: text,
  ref,
  release: orNull(number),
  previous: orNull(number),
  request: tagged<RolloutBody['request']>('kind', {
    deploy: object({ kind: oneOf('deploy'), source: orNull(text), image: orNull(text) }),
    secrets: object({ kind: oneOf('secrets'), files: list(text) }),
    rollback: object({ kind: oneOf('rollback'), to: number }),
    config: object({ kind: oneOf('config'), summary: text }),
  }),
  status: oneOf('waiting', 'queued', 'running', 'succeeded', 'failed', 'superseded'),
  steps: list(step),
  failure: orNull(object({ code: text, message: text, hint: orNull(text), diagnosis: list(text) })),
  createdAt: number,
  endedAt: orNull(number),
  createdBy: text,
  approval: orNull(object({ expiresAt: number, approvedBy: orNull(text) })),
})

const events = {
  step: object<Extract<RolloutEventBody, { type: 'step' }>>({
    type: oneOf('step'),
    at: number,
    step,
  }),
  output: object<Extract<RolloutEventBody, { type: 'output' }>>({
    type: oneOf('output'),
    at: number,
    text,
  }),
  end: object<Extract<RolloutEventBody, { type: 'end' }>>({
    type: oneOf('end'),
    at: number,
    rollout,
    urls: list(text),
  }),
}
const rolloutEvent = tagged<RolloutEventBody>('type', events)
const deployEvent = tagged<DeployEventBody>('type', {
  ...events,
  rollout: object<Extract<DeployEventBody, { type: 'rollout' }>>({
    type: oneOf('rollout'),
    rollout,
  }),
})

const digest: Reader<ReleaseBody['image']['digest']> = branded()

const release = object<ReleaseBody>({
  number,
  image: object({
    digest,
    flavour: oneOf('image', 'host'),
    command: list(text),
    sizeBytes: number,
  }),
  processes: list(text),
  configVersion: number,
  createdAt: number,
  createdBy: text,
  reason: text,
  status: oneOf('pending', 'active', 'superseded', 'failed'),
})

const instance = object<InstanceBody>({
  id: text,
  process: branded(),
  release: number,
  track: oneOf('stable', 'candidate'),
  state: oneOf('starting', 'ready', 'unready', 'draining', 'stopping', 'crashed', 'exited'),
  reason: text,
  address: orNull(object({ host: text, port: number })),
  startedAt: number,
  restarts: number,
  exit: orNull(
    object({ code: orNull(number), signal: orNull(text), reason: exitReason, at: number }),
  ),
  usage: orNull(
    object({
      memoryBytes: number,
      memoryLimitBytes: orNull(number),
      cpuSeconds: number,
      pids: number,
    }),
  ),
})

const appStatus = object<AppStatusBody>({
  ref,
  createdAt: number,
  active: orNull(number),
  deleting: flag,
  configNames: list(text),
  configVersion: number,
  scale: map(number),
  release: orNull(release),
  rollout: orNull(rollout),
  instances: list(instance),
  urls: list(text),
})

const appPlan = object<AppPlanBody>({
  ref,
  recognition: object({ kind: text, evidence: text }),
  changes: list(text),
  warnings: list(text),
  env: list(text),
  processes: list(
    object<AppPlanBody['processes'][number]>({
      name: branded(),
      type: oneOf('web', 'worker', 'cron'),
      command: orNull(list(text)),
      port: orNull(number),
      routes: list(object({ host: orNull(text), path: text })),
      env: list(text),
      resources: object({ cpu: number, memory: number, pids: number }),
      scale: object({ min: number, max: number }),
      strategy: oneOf('rolling', 'recreate', 'bluegreen', 'canary'),
    }),
  ),
})

const logLine = object<LogLineBody>({
  time: number,
  stream: oneOf('stdout', 'stderr', 'platform'),
  instance: text,
  process: text,
  release: number,
  text,
})

const runEvent = tagged<RunEventBody>('type', {
  line: object<Extract<RunEventBody, { type: 'line' }>>({ type: oneOf('line'), line: logLine }),
  exit: object<Extract<RunEventBody, { type: 'exit' }>>({
    type: oneOf('exit'),
    code: orNull(number),
    reason: text,
  }),
})

const target = object<TargetBody>({
  name: branded(),
  server: text,
  context: orNull(text),
  registry: orNull(text),
  metrics: orNull(text),
  serverUrl: orNull(text),
  createdAt: number,
  apps: list(text),
})

const check = object<CheckBody>({
  name: text,
  status: oneOf('ok', 'warn', 'fail'),
  message: text,
  fix: orNull(text),
})

const node = object<NodeBody>({
  name: text,
  ready: flag,
  schedulable: flag,
  spot: flag,
  copies: list(object<NodeBody['copies'][number]>({ ref, process: branded(), count: number })),
  notices: list(
    object({
      kind: oneOf('terminate', 'scheduled', 'rebalance'),
      at: number,
      deadline: orNull(number),
    }),
  ),
})

const drainEvent = tagged<DrainEventBody>('type', {
  cordoned: object<Extract<DrainEventBody, { type: 'cordoned' }>>({
    type: oneOf('cordoned'),
    at: number,
    node: text,
  }),
  pod: object<Extract<DrainEventBody, { type: 'pod' }>>({
    type: oneOf('pod'),
    at: number,
    pod: text,
    state: oneOf('evicting', 'blocked', 'waiting', 'skipped', 'deleted', 'gone'),
    text,
  }),
  end: object<Extract<DrainEventBody, { type: 'end' }>>({
    type: oneOf('end'),
    at: number,
    drained: flag,
    left: list(object({ pod: text, text })),
  }),
})

const changes = object<ResponseOf<'applyManifests'>>({
  changes: list(
    object({ object: text, action: oneOf('created', 'changed', 'unchanged', 'deleted') }),
  ),
})

const issuedToken = object<ResponseOf<'claim'>>({ token: text, view: token })
const config = object<ConfigBody>({
  version: number,
  names: list(text),
  values: orNull(map(text)),
})

/** Reader of an endpoint's answer, or of one line of it where it streams. Endpoints without an answer are not here. */
const workloadIdentities = object<WorkloadIdentitiesBody>({
  trustDomain: text,
  svidLifeMs: number,
  sequence: number,
  phase: oneOf('steady', 'published', 'switched'),
  next: object({ step: oneOf('publish', 'switch', 'retire'), at: number }),
  roots: list(object({ id: text, createdAt: number, notAfter: number, signs: flag })),
})

export const BODIES = {
  health: object<ResponseOf<'health'>>({ status: oneOf('ok') }),
  claim: issuedToken,
  version: object<ResponseOf<'version'>>({ version: text, engine: text, runner: text }),
  whoami: object<WhoamiBody>({
    id: text,
    name: text,
    kind: oneOf('token', 'user'),
    groups: list(text),
    grants: list(grant),
  }),
  listAudit: object<AuditLineBody>({ line: text }),
  exportAudit: object<AuditLineBody>({ line: text }),
  beginLogin: object<ResponseOf<'beginLogin'>>({
    id: text,
    url: text,
    completeUrl: orNull(text),
    code: text,
    intervalMs: orNull(number),
    expiresAt: number,
  }),
  redeemLogin: redeemed,
  getSession: object<ResponseOf<'getSession'>>({
    session,
    groups: list(text),
    notice: orNull(text),
  }),
  listUsers: object<ResponseOf<'listUsers'>>({ users: list(userWithSessions) }),
  endSessions: object<ResponseOf<'endSessions'>>({ ended: number }),
  listTeams: object<ResponseOf<'listTeams'>>({ teams: list(team) }),
  changeTeam: team,
  listBindings: object<ResponseOf<'listBindings'>>({ bindings: list(binding) }),
  addBinding: binding,
  listProtections: object<ResponseOf<'listProtections'>>({ protections: list(protection) }),
  protectEnvironment: protection,
  judgeRollout: rollout,
  listTargets: object<ResponseOf<'listTargets'>>({ targets: list(target) }),
  putTarget: target,
  ...ACCESS_BODIES,
  checkTarget: object<ResponseOf<'checkTarget'>>({ checks: list(check) }),
  installPlatform: object<ResponseOf<'installPlatform'>>({
    manifests: text,
    image: text,
    active: orNull(text),
    claim: orNull(text),
    notes: list(text),
  }),
  uninstallPlatform: object<ResponseOf<'uninstallPlatform'>>({
    removed: list(text),
    stays: list(object({ what: text, why: text })),
  }),
  exportApp: object<ResponseOf<'exportApp'>>({ files: map(text) }),
  listNodes: object<ResponseOf<'listNodes'>>({ nodes: list(node) }),
  drainNode: drainEvent,
  workloadIdentities,
  rotateWorkloadRoot: workloadIdentities,
  replaceWorkloadRoot: workloadIdentities,
  applyManifests: changes,
  removeManifests: changes,
  listTokens: object<ResponseOf<'listTokens'>>({ tokens: list(token) }),
  createToken: issuedToken,
  missingContents: object<ResponseOf<'missingContents'>>({ missing: list(branded()) }),
  postContents: object<ResponseOf<'postContents'>>({ stored: number, bytes: number }),
  listApps: object<ResponseOf<'listApps'>>({ apps: list(appStatus) }),
  getApp: appStatus,
  watchApp: appStatus,
  planApp: appPlan,
  deployApp: deployEvent,
  rollbackApp: deployEvent,
  listRollouts: object<ResponseOf<'listRollouts'>>({ rollouts: list(rollout) }),
  getRollout: rollout,
  rolloutEvents: rolloutEvent,
  listReleases: object<ResponseOf<'listReleases'>>({ releases: list(release) }),
  scaleApp: object<ResponseOf<'scaleApp'>>({ scale: map(number) }),
  getConfig: config,
  setConfig: object<ResponseOf<'setConfig'>>({ rollout: orNull(rollout) }),
  environmentKey: object<ResponseOf<'environmentKey'>>({ recipient: text }),
  pushSecrets: object<ResponseOf<'pushSecrets'>>({ rollout: orNull(rollout) }),
  rotateGenerated: object<ResponseOf<'rotateGenerated'>>({ rotated: list(text) }),
  logs: logLine,
  runCommand: runEvent,
  collect: object<ResponseOf<'collect'>>({ bytes: number, summary: text }),
} as const satisfies { readonly [N in EndpointName]?: Reader<ResponseOf<N>> }
