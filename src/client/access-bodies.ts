import type { AccessTargetBody } from '../contract/access-endpoints.ts'
import type { ResponseOf } from '../contract/endpoints.ts'
import { branded, list, map, number, object, oneOf, orNull, text } from './shape.ts'

const accessTarget = object<AccessTargetBody>({
  target: branded(),
  way: oneOf('proxy', 'issuer', 'webhook', 'off'),
  server: text,
  serverName: orNull(text),
  ca: orNull(text),
  scopes: list(
    object<AccessTargetBody['scopes'][number]>({
      app: text,
      environment: text,
      namespace: text,
      role: oneOf('viewer', 'developer', 'operator', 'admin'),
    }),
  ),
})

/** Readers of the answers about people's own access to clusters, a part of `BODIES`. */
export const ACCESS_BODIES = {
  listClusterAccess: object<ResponseOf<'listClusterAccess'>>({ targets: list(accessTarget) }),
  issueClusterToken: object<ResponseOf<'issueClusterToken'>>({ token: text, expiresAt: number }),
  clusterAccessFiles: object<ResponseOf<'clusterAccessFiles'>>({
    files: map(text),
    flags: list(text),
  }),
}
