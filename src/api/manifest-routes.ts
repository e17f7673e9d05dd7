import { FairwayError } from '../model/errors.ts'
import type { ManifestChange, Manifests } from '../model/manifests.ts'
import { route, type Routes } from './route.ts'

type ManifestRoutes = Pick<
  Routes,
  'exportApp' | 'adoptObjects' | 'applyManifests' | 'removeManifests'
>

export function manifestRoutes(manifests: Manifests): ManifestRoutes {
  return {
    exportApp: route('exportApp', async ({ params, query, decide }) => {
      const secrets = query.secrets === true
      // Among the values is the target's login for its registry, which only who adds targets may know.
      for (const action of secrets ? (['config:read', 'target:write'] as const) : []) {
        const may = await decide(action)
        if (!may.allowed) throw new FairwayError('FORBIDDEN', may.reason)
      }
      const files = await manifests.exportApp(params, { target: query.target ?? null, secrets })
      return { files: Object.fromEntries(files) }
    }),
    adoptObjects: route('adoptObjects', ({ params, body }) =>
      manifests.adopt(params, body.objects),
    ),
    applyManifests: route('applyManifests', async ({ params, body }) => {
      const { files, ...options } = body
      return view(await manifests.apply(params.target, new Map(Object.entries(files)), options))
    }),
    removeManifests: route('removeManifests', async ({ params, query }) => {
      const { target, ...ref } = params
      return view(await manifests.remove(target, ref, query.process ?? null))
    }),
  }
}

function view(changes: readonly ManifestChange[]): { changes: ManifestChange[] } {
  return { changes: [...changes] }
}
