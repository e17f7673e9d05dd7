import type { Clock } from '../model/clock.ts'
import type { ClusterDoor } from '../model/kube-access.ts'
import { AccessDoor } from './access-door.ts'
import { AccessKeeper } from './access-keeper.ts'
import { ClusterClient } from './cluster-client.ts'
import { at } from './json-value.ts'
import { KINDS } from './kinds.ts'
import type { ClusterConnection } from './kubeconfig.ts'

export interface OpenAccessDoorOptions {
  /** As the target's own account; closed with the door. */
  readonly client: ClusterClient
  readonly connection: ClusterConnection
  readonly owner: string
  readonly clock: Clock
  readonly random: () => number
}

/** The door of one cluster, with what keeps its account and its bindings. */
export function openAccessDoor(options: OpenAccessDoorOptions): ClusterDoor {
  const { client, connection, owner, clock, random } = options
  const account = new ClusterClient({
    connection: { ...connection, certificate: null, key: null, token: () => keeper.token() },
    clock,
    random,
  })
  const keeper: AccessKeeper = new AccessKeeper({
    client,
    owner,
    clock,
    mayActAs: async (resource, name) => {
      const resourceAttributes = { group: '', resource, verb: 'impersonate', name }
      const answer = await account.create(KINDS.SelfSubjectAccessReview, null, {
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectAccessReview',
        spec: { resourceAttributes },
      })
      return at(answer, 'status', 'allowed') === true
    },
  })
  return new AccessDoor({
    connection,
    token: () => keeper.token(),
    refused: () => {
      keeper.forgetToken()
    },
    prepare: (wanted) => keeper.prepare(wanted),
    close: async () => {
      await account.close()
      await client.close()
    },
  })
}
