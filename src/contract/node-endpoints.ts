import { z } from 'zod'
import { GET, POST, type Endpoint } from './endpoint.ts'
import { targetName } from './name.ts'
import { drainBody, drainEvent, node, nodeName } from './node.ts'

const nodeParams = z.strictObject({ target: targetName, node: nodeName })

/** The part of the API about the machines of clusters. */
export const NODE_ENDPOINTS = {
  listNodes: {
    ...GET,
    path: '/v1/targets/:target/nodes',
    params: z.strictObject({ target: targetName }),
    response: z.object({ nodes: z.array(node) }),
    action: 'target:read',
    summary: 'The nodes of a cluster: whether they take copies, what runs there, their notices',
    errors: ['NOT_FOUND', 'CLUSTER_UNREACHABLE', 'CLUSTER_FORBIDDEN'],
  },
  drainNode: {
    ...POST,
    path: '/v1/targets/:target/nodes/:node/drain',
    params: nodeParams,
    body: drainBody,
    response: drainEvent,
    stream: 'ndjson',
    action: 'node:drain',
    summary: 'Cordons a node and moves away what runs there; hanging up leaves it cordoned',
    errors: ['NOT_FOUND', 'CLUSTER_UNREACHABLE', 'CLUSTER_FORBIDDEN'],
  },
  uncordonNode: {
    ...POST,
    path: '/v1/targets/:target/nodes/:node/uncordon',
    params: nodeParams,
    body: null,
    response: null,
    action: 'node:drain',
    summary: 'Lets a node take copies again',
    errors: ['NOT_FOUND', 'CLUSTER_UNREACHABLE', 'CLUSTER_FORBIDDEN'],
  },
} as const satisfies Record<string, Endpoint>
