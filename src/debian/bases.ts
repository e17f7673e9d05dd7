import type { DebFile } from './deb-file.ts'
import { DebianError } from './debian-error.ts'

export interface BaseUser {
  readonly name: string
  readonly uid: number
  readonly home: string
}

/** /etc/passwd, /etc/group, /etc/nsswitch.conf, /etc/hosts, /tmp, /home/<user>. Default user: app, 65532, /home/app. */
export function baseFiles(_options: { readonly user?: BaseUser } = {}): readonly DebFile[] {
  throw new DebianError('DEB_INVALID', 'being written')
}

/** /etc/ssl/certs/ca-certificates.crt from the files of package ca-certificates, certificates in byte order of their paths. */
export async function caBundle(_files: readonly DebFile[]): Promise<DebFile> {
  await Promise.resolve()
  throw new DebianError('DEB_INVALID', 'being written')
}

/** /usr/lib/os-release and the link /etc/os-release from the files of package base-files. */
export function osRelease(_files: readonly DebFile[]): readonly DebFile[] {
  throw new DebianError('DEB_INVALID', 'being written')
}
