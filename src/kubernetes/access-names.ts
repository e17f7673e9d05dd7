import { shortName } from './labels.ts'

/** Namespace, ClusterRole and ClusterRoleBinding of an installation's proxy: there may be several on one cluster. */
export function accessName(owner: string): string {
  return shortName(`${owner}-access`)
}
