import { isRepositoryName } from '../oci/reference.ts'
import { RegistryError } from './registry-error.ts'

/** distribution-spec "Endpoints". */
export type Route =
  | { readonly kind: 'base' }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: string }
  | { readonly kind: 'uploads'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly id: string }
  | { readonly kind: 'manifest'; readonly repository: string; readonly reference: string }
  | { readonly kind: 'tags'; readonly repository: string }
  | { readonly kind: 'referrers'; readonly repository: string; readonly digest: string }

/** Null for paths that the protocol does not know. Names may contain '/', so the rest is matched from its end. @throws RegistryError NAME_INVALID */
export function parseRoute(path: string): Route | null {
  if (path === '/v2' || path === '/v2/') return { kind: 'base' }
  const match =
    /^\/v2\/(.+)\/(?:(blobs)\/uploads\/?([^/]*)|(blobs|manifests|referrers)\/([^/]+)|tags\/(list))$/.exec(
      path,
    )
  if (match === null) return null
  const [, repository = '', uploads, id = '', kind, argument = ''] = match
  if (!isRepositoryName(repository)) {
    throw new RegistryError(
      { status: 400, code: 'NAME_INVALID' },
      `repository name ${JSON.stringify(repository)} is not allowed`,
    )
  }
  if (uploads !== undefined) {
    return id === '' ? { kind: 'uploads', repository } : { kind: 'upload', repository, id }
  }
  if (kind === 'blobs') return { kind: 'blob', repository, digest: argument }
  if (kind === 'manifests') return { kind: 'manifest', repository, reference: argument }
  if (kind === 'referrers') return { kind: 'referrers', repository, digest: argument }
  return { kind: 'tags', repository }
}
