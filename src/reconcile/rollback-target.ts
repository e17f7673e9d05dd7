import { FairwayError } from '../model/errors.ts'
import { refKey } from '../model/names.ts'
import type { Release } from '../model/release.ts'
import type { Store } from '../model/store.ts'

/** The release to go back to from the active one: the wanted one, or the last that served before. @throws FairwayError NOT_FOUND, CONFLICT for one that never served */
export async function rollbackTarget(
  active: Release,
  to: number | null,
  store: Pick<Store, 'getRelease' | 'listReleases'>,
): Promise<Release> {
  const { ref } = active
  if (to !== null) {
    const release = await store.getRelease(ref, to)
    if (release === null)
      throw new FairwayError('NOT_FOUND', `${refKey(ref)} has no release ${String(to)}`, {
        hint: '`fairway releases` lists what is kept.',
      })
    if (release.status === 'failed')
      throw new FairwayError('CONFLICT', `release ${String(to)} never served; it failed`)
    return release
  }
  const releases = await store.listReleases(ref, 200)
  const before = releases.find(
    ({ number, status }) => number < active.number && status === 'superseded',
  )
  if (before === undefined)
    throw new FairwayError('NOT_FOUND', `${refKey(ref)} has no earlier release to go back to`)
  return before
}
