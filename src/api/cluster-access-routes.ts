import { FairwayError } from '../model/errors.ts'
import { credentialName, type KubeAccess } from '../model/kube-access.ts'
import { bearerToken } from './credentials.ts'
import { route, type Routes } from './route.ts'

type ClusterAccessRoutes = Pick<
  Routes,
  | 'listClusterAccess'
  | 'issueClusterToken'
  | 'setClusterAccess'
  | 'clusterAccessFiles'
  | 'replaceAccessKey'
>

export function clusterAccessRoutes(access: KubeAccess): ClusterAccessRoutes {
  return {
    listClusterAccess: route('listClusterAccess', async ({ subject }) => ({
      targets: (await access.list(subject())).map(({ scopes, ...target }) => ({
        ...target,
        scopes: scopes.map(({ ref, namespace, role }) => ({ ...ref, namespace, role })),
      })),
    })),
    issueClusterToken: route('issueClusterToken', async ({ subject, params, body, request }) => {
      const credential = credentialName(bearerToken(request.headers.authorization) ?? '')
      if (credential === null) throw new FairwayError('UNAUTHENTICATED', 'this needs a token')
      return access.issue(subject(), credential, params.target, body.environment)
    }),
    setClusterAccess: route('setClusterAccess', ({ params, body }) =>
      access.setWay(params.target, body.way),
    ),
    replaceAccessKey: route('replaceAccessKey', () => access.replaceKey()),
    clusterAccessFiles: route('clusterAccessFiles', async ({ params }) => {
      const found = await access.files(params.target)
      if (found !== null) return { files: { ...found.files }, flags: [...found.flags] }
      throw new FairwayError('CONFLICT', 'the API server needs no configuration for this way', {
        hint: `Choose one that does: fairway target access ${params.target} --way issuer.`,
      })
    }),
  }
}
