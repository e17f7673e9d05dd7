import { lstat, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing } from '../lib/atomic-file.ts'
import { FairwayError } from '../model/errors.ts'
import type { ContainerUser } from './bundle.ts'

/** Who runs where an image names nobody and there is no user namespace that would make root harmless. */
const UNPRIVILEGED: ContainerUser = { uid: 65_532, gid: 65_532, groups: [] }
const HIGHEST_ID = 65_535

/**
 * `user[:group]` of an image config as numbers; names come from the image's own passwd and group files.
 * @param lowerDirs unpacked layers, topmost first @throws FairwayError INSTANCE_FAILED for a name that the image does not know
 */
export async function imageUser(
  text: string,
  lowerDirs: readonly string[],
  options: { readonly userNamespace: boolean },
): Promise<ContainerUser> {
  if (text === '') return options.userNamespace ? { uid: 0, gid: 0, groups: [] } : UNPRIVILEGED
  const [user = '', group] = text.split(':')
  const passwd = await rows(lowerDirs, 'passwd')
  const groups = await rows(lowerDirs, 'group')
  const row = passwd.find((fields) => fields[0] === user || fields[2] === user)
  const uid = idOf(user, row)
  const gid = group === undefined ? Number(row?.[3] ?? 0) : groupId(group, groups)
  if (!isId(uid) || !isId(gid)) {
    throw new FairwayError('INSTANCE_FAILED', `the image has no user ${JSON.stringify(text)}`, {
      hint: 'USER of the image must be a number up to 65535 or a name in its /etc/passwd.',
    })
  }
  const name = row?.[0]
  const extra = group === undefined && name !== undefined ? memberships(groups, name) : []
  return { uid, gid, groups: extra.filter((id) => isId(id) && id !== gid) }
}

function groupId(group: string, groups: readonly (readonly string[])[]): number {
  return idOf(
    group,
    groups.find((fields) => fields[0] === group),
  )
}

/** A number stands for itself; NaN for a name without a row. */
function idOf(text: string, row: readonly string[] | undefined): number {
  return /^\d+$/.test(text) ? Number(text) : Number(row?.[2] ?? NaN)
}

function isId(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= HIGHEST_ID
}

function memberships(groups: readonly (readonly string[])[], user: string): number[] {
  return groups
    .filter((fields) => (fields[3] ?? '').split(',').includes(user))
    .map((fields) => Number(fields[2]))
}

/** Of the topmost layer that has the file. Links are not followed: they would lead into the host. */
async function rows(lowerDirs: readonly string[], name: string): Promise<readonly string[][]> {
  for (const layer of lowerDirs) {
    try {
      const file = join(layer, 'etc', name)
      const etc = await lstat(join(layer, 'etc'))
      const found = await lstat(file)
      if (!etc.isDirectory() || !found.isFile() || found.size > 1 << 20) return []
      return (await readFile(file, 'utf8')).split('\n').map((line) => line.split(':'))
    } catch (error) {
      if (!isMissing(error)) throw error
    }
  }
  return []
}
