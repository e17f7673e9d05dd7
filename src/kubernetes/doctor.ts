import { FairwayError } from '../model/errors.ts'
import type { HostCheck } from '../model/host.ts'
import type { ClusterClient } from './cluster-client.ts'
import type { ClusterFacts } from './cluster-facts.ts'
import { isSchedulable, listIfAllowed, readFacts } from './facts.ts'
import { at, type Json } from './json-value.ts'
import { KINDS, type Kind } from './kinds.ts'
import { LABELS } from './labels.ts'
import { routesCheck } from './routes-check.ts'

/** Oldest minor version of Kubernetes 1 whose API everything here is part of. */
const OLDEST = 30
const WATCHED: readonly Kind[] = [
  KINDS.Namespace,
  KINDS.ServiceAccount,
  KINDS.Secret,
  KINDS.ConfigMap,
  KINDS.PersistentVolumeClaim,
  KINDS.NetworkPolicy,
  KINDS.PodDisruptionBudget,
  KINDS.Service,
  KINDS.Deployment,
  KINDS.StatefulSet,
  KINDS.Job,
  KINDS.CronJob,
  KINDS.HorizontalPodAutoscaler,
]
const WRITE_VERBS = ['get', 'list', 'watch', 'create', 'patch', 'delete'] as const

export interface Right {
  readonly group: string
  readonly resource: string
  readonly subresource?: string
  readonly verb: string
}

/** What a cluster has and lacks, and what follows from it. Never throws: a cluster that does not answer is the first finding. */
export async function checkCluster(client: ClusterClient): Promise<readonly HostCheck[]> {
  try {
    const facts = await readFacts(client)
    const rights = await missingRights(client, facts)
    return [
      check('cluster', 'ok', `Kubernetes ${facts.version} answers at ${client.server}`),
      ...versionCheck(facts),
      rightsCheck(rights),
      ...(await nodeChecks(client)),
      routesCheck(facts, await ourRoutes(client, facts)),
      metricsCheck(facts),
      storageCheck(facts),
      await podSecurityCheck(client),
      scalingCheck(facts),
      await secretsCheck(client),
      meshCheck(facts),
    ]
  } catch (error) {
    if (!(error instanceof FairwayError)) throw error
    return [check('cluster', 'fail', error.message, error.hint)]
  }
}

/** Everything without which apps cannot be run. @param routes kinds that routes become on this cluster */
export function neededRights(routes: readonly Kind[]): readonly Right[] {
  return [
    ...[...WATCHED, ...routes].flatMap((kind) =>
      WRITE_VERBS.map((verb) => ({ group: groupOf(kind), resource: kind.plural, verb })),
    ),
    ...['get', 'list', 'watch', 'delete'].map((verb) => ({ group: '', resource: 'pods', verb })),
    { group: '', resource: 'pods', subresource: 'log', verb: 'get' },
    { group: '', resource: 'pods', subresource: 'exec', verb: 'get' },
    { group: '', resource: 'pods', subresource: 'exec', verb: 'create' },
    { group: '', resource: 'events', verb: 'list' },
  ]
}

/** What apps with values need beside that: to ask the cluster whose a token is. */
export const SECRETS_RIGHT: Right = {
  group: 'authentication.k8s.io',
  resource: 'tokenreviews',
  verb: 'create',
}

/** The API group of a kind; '' for the core. */
export function groupOf({ apiVersion }: Pick<Kind, 'apiVersion'>): string {
  return apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : ''
}

// Private

function check(
  name: string,
  status: HostCheck['status'],
  message: string,
  fix: string | null = null,
): HostCheck {
  return { name, status, message, fix }
}

function versionCheck({ version }: ClusterFacts): readonly HostCheck[] {
  const minor = Number(/^1\.(\d+)/.exec(version)?.[1] ?? Number.NaN)
  if (minor >= OLDEST) return []
  const message = `Kubernetes ${version} is older than 1.${String(OLDEST)}: copies need a sleep program in their image to stop without losing requests`
  return [check('version', 'warn', message)]
}

function rightsCheck(missing: readonly Right[]): HostCheck {
  if (missing.length === 0) return check('rights', 'ok', 'every right that Fairway needs is there')
  const verbs = new Map<string, string[]>()
  for (const { group, resource, subresource, verb } of missing) {
    const name = `${resource}${subresource === undefined ? '' : `/${subresource}`}${group === '' ? '' : `.${group}`}`
    verbs.set(name, [...(verbs.get(name) ?? []), verb])
  }
  const texts = [...verbs].map(([resource, words]) => `${words.join(', ')} ${resource}`)
  const message = `may not ${texts.join('; ')}`
  return check('rights', 'fail', message, 'Bind a ClusterRole with these rights to this user.')
}

async function nodeChecks(client: ClusterClient): Promise<readonly HostCheck[]> {
  const nodes = await listIfAllowed(client, KINDS.Node)
  if (nodes.length === 0)
    return [check('nodes', 'warn', 'nodes cannot be listed: drains and notices are not seen')]
  const usable = nodes.filter(isSchedulable).length
  const message = `${String(usable)} of ${String(nodes.length)} nodes take copies`
  if (usable === 0) return [check('nodes', 'fail', `${message}: nothing can run`)]
  if (usable > 1) return [check('nodes', 'ok', message)]
  return [check('nodes', 'warn', `${message}: an app goes down with it`)]
}

function ourRoutes(client: ClusterClient, { gateway }: ClusterFacts): Promise<readonly Json[]> {
  if (gateway === null) return Promise.resolve([])
  const labels = `${LABELS.managedBy}=fairway`
  return listIfAllowed(client, KINDS.HTTPRoute, { namespace: null, labels })
}

function metricsCheck({ metrics }: ClusterFacts): HostCheck {
  return metrics
    ? check(
        'metrics',
        'ok',
        'the metrics API answers: usage is shown, copies can follow CPU and memory',
      )
    : check(
        'metrics',
        'warn',
        'no metrics API: no usage in `ps`, scale.on has no effect',
        'Install metrics-server.',
      )
}

function storageCheck({ defaultStorageClass }: ClusterFacts): HostCheck {
  return defaultStorageClass !== null
    ? check('storage', 'ok', `volumes come from StorageClass ${defaultStorageClass}`)
    : check(
        'storage',
        'warn',
        'no default StorageClass: apps with volumes do not start',
        'Mark one as default.',
      )
}

function scalingCheck({ keda }: ClusterFacts): HostCheck {
  return check(
    'scaling',
    'ok',
    keda ? 'KEDA is there beside the HorizontalPodAutoscaler' : 'HorizontalPodAutoscaler, no KEDA',
  )
}

function meshCheck({ istio }: ClusterFacts): HostCheck {
  return check(
    'mesh',
    'ok',
    istio
      ? 'Istio is there: who may call whom holds by NetworkPolicy as without it'
      : 'no mesh: who may call whom holds by NetworkPolicy, where the network enforces it',
  )
}

/** Creates nothing: the API server says what admission would do with a namespace of the level that apps get. */
async function podSecurityCheck(client: ClusterClient): Promise<HostCheck> {
  const name = 'fairway-doctor-trial'
  const object = {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
  }
  try {
    const target = { kind: KINDS.Namespace, namespace: null, name }
    await client.apply(target, object, { dryRun: true })
    return check('pod security', 'ok', 'namespaces may enforce the level restricted')
  } catch (error) {
    if (!(error instanceof FairwayError) || error.code === 'CLUSTER_UNREACHABLE') throw error
    return check(
      'pod security',
      'warn',
      `a namespace of the level restricted is refused: ${error.message}`,
    )
  }
}

async function missingRights(
  client: ClusterClient,
  facts: ClusterFacts,
): Promise<readonly Right[]> {
  const rights = neededRights([facts.gateway === null ? KINDS.Ingress : KINDS.HTTPRoute])
  const answers = await Promise.all(
    rights.map(async (right) => ({ right, allowed: await isAllowed(client, right) })),
  )
  return answers.filter(({ allowed }) => !allowed).map(({ right }) => right)
}

async function secretsCheck(client: ClusterClient): Promise<HostCheck> {
  if (await isAllowed(client, SECRETS_RIGHT))
    return check(
      'secrets',
      'ok',
      'pods can prove who they are: apps get their secrets and identities',
    )
  const message =
    'may not create tokenreviews: pods of apps with secrets or `identity: true` do not start'
  return check(
    'secrets',
    'warn',
    message,
    'Bind the ClusterRole system:auth-delegator to this user.',
  )
}

async function isAllowed(client: ClusterClient, right: Right): Promise<boolean> {
  const review: Json = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: right },
  }
  const answer = await client.create(KINDS.SelfSubjectAccessReview, null, review)
  return at(answer, 'status', 'allowed') === true
}
