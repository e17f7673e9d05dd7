import type { DrainEvent, Nodes } from '../model/nodes.ts'
import { route, type Routes } from './route.ts'

type NodeRoutes = Pick<Routes, 'listNodes' | 'drainNode' | 'uncordonNode'>

export function nodeRoutes(nodes: Nodes): NodeRoutes {
  return {
    listNodes: route('listNodes', async ({ params }) => ({
      nodes: (await nodes.list(params.target)).map(({ copies, notices, ...node }) => ({
        ...node,
        copies: [...copies],
        notices: [...notices],
      })),
    })),
    drainNode: route('drainNode', async ({ params, body, signal }) =>
      views(await nodes.drain(params.target, params.node, body, signal)),
    ),
    uncordonNode: route('uncordonNode', ({ params }) => nodes.uncordon(params.target, params.node)),
  }
}

async function* views(events: AsyncIterable<DrainEvent>) {
  for await (const event of events)
    yield event.type === 'end' ? { ...event, left: [...event.left] } : event
}
