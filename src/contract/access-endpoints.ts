import { z } from 'zod'
import { ACCESS_WAYS } from '../model/kube-access.ts'
import { ROLES } from '../model/identity.ts'
import { GET, POST, type Endpoint } from './endpoint.ts'
import { environmentName, targetName, time } from './name.ts'

const targetParams = z.strictObject({ target: targetName })
const way = z.enum(ACCESS_WAYS)

/** How somebody gets into one cluster, and what they are there; no secret. */
export const accessTarget = z
  .object({
    target: targetName,
    way,
    server: z.string(),
    serverName: z.string().nullable(),
    ca: z.string().nullable(),
    scopes: z.array(
      z.object({
        app: z.string(),
        environment: z.string(),
        namespace: z.string(),
        role: z.enum(ROLES),
      }),
    ),
  })
  .meta({ id: 'AccessTarget' })

export type AccessTargetBody = z.output<typeof accessTarget>

/** The part of the API about people's own access to clusters. */
export const ACCESS_ENDPOINTS = {
  listClusterAccess: {
    ...GET,
    path: '/v1/cluster-access',
    response: z.object({ targets: z.array(accessTarget) }),
    action: 'kube:list',
    summary: 'Clusters that the caller may go to with kubectl, and what they are there',
    errors: ['RUNNER_UNAVAILABLE'],
  },
  issueClusterToken: {
    ...POST,
    path: '/v1/targets/:target/access-token',
    params: targetParams,
    body: z.strictObject({ environment: environmentName.nullable().default(null) }),
    response: z.object({ token: z.string(), expiresAt: time }),
    action: 'kube:access',
    summary: 'A token for one cluster, good for five minutes',
    errors: [
      'NOT_FOUND',
      'LIMIT_EXCEEDED',
      'RUNNER_UNAVAILABLE',
      'CLUSTER_UNREACHABLE',
      'CLUSTER_UNAUTHORIZED',
      'CLUSTER_FORBIDDEN',
      'CLUSTER_CONFLICT',
    ],
  },
  setClusterAccess: {
    ...GET,
    method: 'PUT',
    path: '/v1/targets/:target/access',
    params: targetParams,
    body: z.strictObject({ way }),
    response: null,
    action: 'target:write',
    summary: 'By which way people get into a cluster',
    errors: ['NOT_FOUND'],
  },
  clusterAccessFiles: {
    ...POST,
    path: '/v1/targets/:target/access-files',
    params: targetParams,
    body: null,
    response: z.object({
      files: z.record(z.string(), z.string()),
      flags: z.array(z.string()),
    }),
    action: 'target:write',
    summary:
      'What the API server has to be started with; for a webhook with a new secret, and the one before ends',
    errors: ['NOT_FOUND', 'CONFLICT', 'RUNNER_UNAVAILABLE'],
  },
  replaceAccessKey: {
    ...POST,
    path: '/v1/cluster-access/key',
    body: null,
    response: null,
    action: 'target:write',
    summary: 'Signs tokens for clusters with a new key alone: for one that was stolen',
    errors: ['RUNNER_UNAVAILABLE'],
  },
} as const satisfies Record<string, Endpoint>
