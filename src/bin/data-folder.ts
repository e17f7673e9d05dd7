import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { FairwayError } from '../model/errors.ts'

/** Where everything of one installation stands. */
export interface DataFolder {
  readonly root: string
  readonly database: string
  readonly sources: string
  readonly images: string
  readonly instances: string
  readonly logs: string
  readonly cache: string
  readonly router: string
  /** Control socket of the router. */
  readonly routerSocket: string
  /** Certificate of the router's own authority. */
  readonly routerAuthority: string
  /** Where earlier versions kept signing keys of the instances' identities; read once. */
  readonly identities: string
  /** Certificate authority of the listener for access to clusters. */
  readonly access: string
  /** Logs and pid files of server and router themselves. */
  readonly programs: string
  /** The one-time claim secret, mode 0600, gone once used. */
  readonly claimFile: string
  /** Key that secrets in the database are encrypted under, mode 0600, made when it is first needed. */
  readonly serverKey: string
}

export function dataFolder(root: string): DataFolder {
  return {
    root,
    database: join(root, 'fairway.db'),
    sources: join(root, 'sources'),
    images: join(root, 'images'),
    instances: join(root, 'run'),
    logs: join(root, 'logs'),
    cache: join(root, 'cache'),
    router: join(root, 'router'),
    routerSocket: join(root, 'router/control.sock'),
    routerAuthority: join(root, 'router/tls/ca.pem'),
    identities: join(root, 'identities'),
    access: join(root, 'access'),
    programs: join(root, 'programs'),
    claimFile: join(root, 'claim'),
    serverKey: join(root, 'secrets.key'),
  }
}

/** Creates what is missing. @throws FairwayError FORBIDDEN. Root folder and image layers can be passed through (0711) so that mapped users reach their files; the rest is private. */
export async function createDataFolder(folder: DataFolder): Promise<void> {
  refuseLongPath(folder)
  try {
    await mkdir(folder.root, { recursive: true, mode: 0o711 })
    await chmod(folder.root, 0o711)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new FairwayError('FORBIDDEN', `${folder.root} cannot be the data directory: ${why}`, {
      cause: error,
      hint: 'Choose another with --data DIR or FAIRWAY_DATA_DIR.',
    })
  }
  for (const path of [folder.images, folder.instances])
    await mkdir(path, { recursive: true, mode: 0o711 })
  const own = [folder.sources, folder.logs, folder.cache, folder.router, folder.programs]
  for (const path of own) await mkdir(path, { recursive: true, mode: 0o700 })
}

/** sockaddr_un takes 108 bytes on Linux, 104 on macOS and the BSDs, with a final zero; the router binds its socket beside its place, with its pid added. */
const SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103

function refuseLongPath({ root, routerSocket }: DataFolder): void {
  const over = Buffer.byteLength(`${routerSocket}.4194304`) - SOCKET_PATH_BYTES
  if (over <= 0) return
  throw new FairwayError(
    'INVALID_REQUEST',
    `${root} cannot be the data directory: its path is ${String(over)} bytes too long for the control socket inside it`,
    { hint: 'Choose a shorter one with --data DIR or FAIRWAY_DATA_DIR.' },
  )
}
