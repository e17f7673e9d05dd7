import { z } from 'zod'
import { GET, type Endpoint } from './endpoint.ts'
import { targetName } from './name.ts'
import {
  hostCheck,
  installBody,
  installed,
  target,
  targetBody,
  uninstallBody,
  uninstalled,
} from './target.ts'

const targetParams = z.strictObject({ target: targetName })

/** The part of the API about clusters. */
export const TARGET_ENDPOINTS = {
  listTargets: {
    ...GET,
    path: '/v1/targets',
    response: z.object({ targets: z.array(target) }),
    action: 'target:read',
    summary: 'The clusters that environments may name as their target, without credentials',
    errors: [],
  },
  putTarget: {
    ...GET,
    method: 'PUT',
    path: '/v1/targets/:target',
    params: targetParams,
    body: targetBody,
    response: target,
    action: 'target:write',
    summary: 'Adds a cluster, or gives a known one new credentials, once it has answered',
    errors: ['CLUSTER_UNREACHABLE', 'CLUSTER_UNAUTHORIZED'],
  },
  removeTarget: {
    ...GET,
    method: 'DELETE',
    path: '/v1/targets/:target',
    params: targetParams,
    response: null,
    action: 'target:write',
    summary: 'Forgets a cluster on which no app runs',
    errors: ['NOT_FOUND', 'CONFLICT'],
  },
  checkTarget: {
    ...GET,
    path: '/v1/targets/:target/checks',
    params: targetParams,
    response: z.object({ checks: z.array(hostCheck) }),
    action: 'target:read',
    summary: 'What a cluster has and lacks, and what follows from it',
    errors: ['NOT_FOUND', 'CLUSTER_UNREACHABLE', 'CLUSTER_UNAUTHORIZED'],
  },
  installPlatform: {
    ...GET,
    method: 'POST',
    path: '/v1/targets/:target/platform',
    params: targetParams,
    body: installBody,
    response: installed,
    action: 'target:write',
    summary: 'Puts the control plane itself on a cluster and waits until it is ready there',
    errors: [
      'NOT_FOUND',
      'CLUSTER_UNREACHABLE',
      'CLUSTER_CONFLICT',
      'CLUSTER_FORBIDDEN',
      'REGISTRY_FAILED',
      'TIMEOUT',
    ],
  },
  uninstallPlatform: {
    ...GET,
    method: 'POST',
    path: '/v1/targets/:target/platform/removal',
    params: targetParams,
    body: uninstallBody,
    response: uninstalled,
    action: 'target:write',
    summary: 'Removes a control plane from a cluster and says what stays',
    errors: ['NOT_FOUND', 'CLUSTER_UNREACHABLE', 'CLUSTER_CONFLICT', 'CLUSTER_FORBIDDEN'],
  },
} as const satisfies Record<string, Endpoint>
