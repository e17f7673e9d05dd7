import type { ImageFacts } from '../model/release.ts'

/** Who runs where an image names nobody, root, or somebody by a name that only its own passwd file could turn into a number. */
export const UNPRIVILEGED_ID = 65_532

export interface PodUser {
  readonly uid: number
  readonly gid: number
}

/** The kubelet lets nobody run as root, and cannot tell whether a name means root: the user is always a number. */
export function podUser({ user }: Pick<ImageFacts, 'user'>): PodUser {
  const [uid = '', gid] = user.split(':')
  if (!/^[1-9]\d{0,9}$/.test(uid)) return { uid: UNPRIVILEGED_ID, gid: UNPRIVILEGED_ID }
  const group = gid !== undefined && /^\d{1,10}$/.test(gid) ? Number(gid) : Number(uid)
  return { uid: Number(uid), gid: group }
}

/** What level `restricted` of PodSecurity asks for, and a little more. @param port that the process binds; below 1024 only with this sysctl, without a capability */
export function podSecurityContext(user: PodUser, port: number | null): unknown {
  return {
    runAsNonRoot: true,
    runAsUser: user.uid,
    runAsGroup: user.gid,
    fsGroup: user.gid,
    fsGroupChangePolicy: 'OnRootMismatch',
    seccompProfile: { type: 'RuntimeDefault' },
    ...(port !== null && port < 1024
      ? { sysctls: [{ name: 'net.ipv4.ip_unprivileged_port_start', value: '0' }] }
      : {}),
  }
}

export const CONTAINER_SECURITY_CONTEXT = Object.freeze({
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
})
