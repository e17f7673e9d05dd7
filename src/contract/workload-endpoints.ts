import { z } from 'zod'
import { GET, POST, type Endpoint } from './endpoint.ts'
import { time } from './name.ts'

const workloadRoot = z
  .object({ id: z.string(), createdAt: time, notAfter: time, signs: z.boolean() })
  .meta({ id: 'WorkloadRoot' })

/** No key of it is in any answer. */
export const workloadIdentities = z
  .object({
    trustDomain: z.string(),
    svidLifeMs: z.number(),
    sequence: z.number(),
    phase: z.enum(['steady', 'published', 'switched']),
    next: z.object({ step: z.enum(['publish', 'switch', 'retire']), at: time }),
    roots: z.array(workloadRoot),
  })
  .meta({ id: 'WorkloadIdentities' })

export type WorkloadIdentitiesBody = z.output<typeof workloadIdentities>

/** The part of the API about the identities of instances. */
export const WORKLOAD_ENDPOINTS = {
  workloadIdentities: {
    ...GET,
    path: '/v1/workload-identities',
    response: workloadIdentities,
    action: 'identity:read',
    summary: 'The authority of the instances’ identities: trust domain, roots, what comes next',
    errors: [],
  },
  rotateWorkloadRoot: {
    ...POST,
    path: '/v1/workload-identities/rotation',
    body: null,
    response: workloadIdentities,
    action: 'identity:rotate',
    summary: 'Begins to replace the root of the instances’ identities, without an outage',
    errors: ['CONFLICT'],
  },
  replaceWorkloadRoot: {
    ...POST,
    path: '/v1/workload-identities/replacement',
    body: null,
    response: workloadIdentities,
    action: 'identity:rotate',
    summary: 'Trusts a new root and nothing else, at once: for keys that were stolen',
    errors: [],
  },
} as const satisfies Record<string, Endpoint>
