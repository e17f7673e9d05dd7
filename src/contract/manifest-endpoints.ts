import { z } from 'zod'
import { GET, POST, queryFlag, type Endpoint } from './endpoint.ts'
import { appName, environmentName, processName, targetName } from './name.ts'

const MAX_FILES = 1000
const MAX_FILE = 1 << 20

const appParams = z.strictObject({ app: appName, environment: environmentName })
const file = z.string().max(MAX_FILE)
const path = z
  .string()
  .max(500)
  .regex(/^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*\.ya?ml$/, 'expected the path of a .yaml file')
const changes = z.object({
  changes: z.array(
    z.object({
      object: z.string(),
      action: z.enum(['created', 'changed', 'unchanged', 'deleted']),
    }),
  ),
})

/** The part of the API about plain manifests. */
export const MANIFEST_ENDPOINTS = {
  exportApp: {
    ...GET,
    path: '/v1/apps/:app/:environment/manifests',
    params: appParams,
    query: z.strictObject({ target: targetName.optional(), secrets: queryFlag.optional() }),
    response: z.object({ files: z.record(z.string(), z.string()) }),
    action: 'app:read',
    summary: 'The serving release as plain manifests; with values only for who may read them',
    errors: ['NOT_FOUND', 'NOT_RUNNING', 'CLUSTER_UNREACHABLE'],
  },
  adoptObjects: {
    ...POST,
    path: '/v1/apps/:app/:environment/adopt',
    params: appParams,
    body: z.strictObject({ objects: z.array(z.string().min(1).max(300)).min(1).max(100) }),
    response: null,
    action: 'manifest:apply',
    summary: 'Takes objects on the cluster over that somebody else made',
    errors: ['NOT_FOUND'],
  },
  applyManifests: {
    ...POST,
    path: '/v1/targets/:target/manifests',
    params: z.strictObject({ target: targetName }),
    body: z.strictObject({
      files: z
        .record(path, file)
        .refine((files) => Object.keys(files).length <= MAX_FILES, 'expected at most 1000 files'),
      dryRun: z.boolean(),
      prune: z.boolean(),
    }),
    response: changes,
    action: 'manifest:apply',
    summary: 'Applies exported files to a cluster',
    errors: [
      'NOT_FOUND',
      'CONFLICT',
      'CLUSTER_UNREACHABLE',
      'CLUSTER_CONFLICT',
      'CLUSTER_REJECTED',
    ],
  },
  removeManifests: {
    ...GET,
    method: 'DELETE',
    path: '/v1/targets/:target/manifests/:environment/:app',
    params: z.strictObject({ target: targetName, environment: environmentName, app: appName }),
    query: z.strictObject({ process: processName.optional() }),
    response: changes,
    action: 'manifest:apply',
    summary: 'Deletes what was applied from files for an app, or for one process of it',
    errors: ['NOT_FOUND', 'CONFLICT', 'CLUSTER_UNREACHABLE'],
  },
} as const satisfies Record<string, Endpoint>
