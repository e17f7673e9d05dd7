import type { Subject } from '../model/identity.ts'

/** How clusters know somebody: kind and name, in letters that any header takes, never beginning with `system:`. */
export function clusterUserName({ kind, name }: Subject): string {
  return `fairway:${kind}:${encodeURIComponent(name).replaceAll('%40', '@')}`
}
