import type { Kind } from './kinds.ts'

/** As errors name it: 'deployments web-a in namespace shop--production'. */
export function describe(kind: Kind, namespace: string | null, name = ''): string {
  const object = name === '' ? kind.plural : `${kind.plural} ${name}`
  return kind.namespaced && namespace !== null ? `${object} in namespace ${namespace}` : object
}

export function describeName({
  kind,
  namespace,
  name,
}: {
  readonly kind: Kind
  readonly namespace: string | null
  readonly name: string
}): string {
  return describe(kind, namespace, name)
}
