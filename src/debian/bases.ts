/** The few files every Linux program expects and no closure finds: accounts, name lookup, release facts, certificates. Debian's own conventions, nothing else. */
import { readFile } from 'node:fs/promises'
import type { DebFile } from './deb-file.ts'
import { DebianError } from './debian-error.ts'

export interface BaseUser {
  readonly name: string
  readonly uid: number
  readonly home: string
}

/** What an image's processes run as where nothing else is said: the number is the one distroless images use. */
export const appUser: BaseUser = { name: 'app', uid: 65532, home: '/home/app' }

/** Folders, /etc/passwd, /etc/group, /etc/nsswitch.conf and /etc/hosts: parents before children. Default user: `appUser`. */
export function baseFiles(options: { readonly user?: BaseUser } = {}): readonly DebFile[] {
  const { user = appUser } = options
  const id = String(user.uid)
  return [
    ...['/etc', '/home', '/root', '/run', '/tmp', '/usr', '/var', '/var/tmp'].map((path) =>
      folder(path, folderMode(path)),
    ),
    { ...folder(user.home, 0o755), uid: user.uid, gid: user.uid },
    file('/etc/group', ['root:x:0:', 'nogroup:x:65534:', `${user.name}:x:${id}:`]),
    file('/etc/hosts', ['127.0.0.1 localhost', '::1 localhost ip6-localhost ip6-loopback']),
    // Without it, glibc looks names up in DNS first, and "localhost" fails where no resolver answers.
    file('/etc/nsswitch.conf', ['passwd: files', 'group: files', 'hosts: files dns']),
    file('/etc/passwd', [
      'root:x:0:0:root:/root:/sbin/nologin',
      'nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin',
      `${user.name}:x:${id}:${id}:${user.name}:${user.home}:/sbin/nologin`,
    ]),
  ]
}

/**
 * /etc/ssl/certs/ca-certificates.crt made of the files of package ca-certificates, in byte order of their paths: what update-ca-certificates(8) does at installation.
 * @throws DebianError PACKAGE_UNAVAILABLE where the files hold no certificate
 */
export async function caBundle(files: readonly DebFile[]): Promise<DebFile> {
  const sources = files
    .filter(({ path }) => path.startsWith('/usr/share/ca-certificates/') && path.endsWith('.crt'))
    .sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)))
  const texts: string[] = []
  for (const source of sources) {
    if (source.type !== 'file') continue
    const text = (await contentOf(source.content)).trim()
    if (text.startsWith('-----BEGIN CERTIFICATE-----')) texts.push(text)
  }
  if (texts.length === 0) {
    throw new DebianError('PACKAGE_UNAVAILABLE', 'no certificates: package ca-certificates needed')
  }
  return file('/etc/ssl/certs/ca-certificates.crt', texts)
}

/**
 * /usr/lib/os-release and the link /etc/os-release, out of the files of package base-files: scanners take the distribution from it.
 * @throws DebianError PACKAGE_UNAVAILABLE where it is not among them
 */
export function osRelease(files: readonly DebFile[]): readonly DebFile[] {
  const found = ['/usr/lib/os-release', '/etc/os-release'].flatMap(
    (path) => files.find((one) => one.path === path) ?? [],
  )
  if (found.length === 2) return found
  throw new DebianError('PACKAGE_UNAVAILABLE', 'no os-release: package base-files needed')
}

async function contentOf(content: (DebFile & { type: 'file' })['content']): Promise<string> {
  return 'bytes' in content
    ? Buffer.from(content.bytes).toString('utf8')
    : readFile(content.file, 'utf8')
}

function folderMode(path: string): number {
  if (path.endsWith('/tmp')) return 0o1777
  return path === '/root' ? 0o700 : 0o755
}

function folder(path: string, mode: number): DebFile {
  return { path, mode, uid: 0, gid: 0, package: '', type: 'folder' }
}

function file(path: string, lines: readonly string[]): DebFile {
  const bytes = new TextEncoder().encode(`${lines.join('\n')}\n`)
  return { path, mode: 0o644, uid: 0, gid: 0, package: '', type: 'file', content: { bytes } }
}
