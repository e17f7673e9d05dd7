import { FairwayError } from '../../src/model/errors.ts'
import type { ManifestChange, ManifestFiles, Manifests } from '../../src/model/manifests.ts'
import { refKey, type AppRef, type TargetName } from '../../src/model/names.ts'
import { SHOP } from './fake-platform.ts'

/** The app that `FakePlatform` knows has one file, and every apply changes it. */
export class MemoryManifests implements Manifests {
  async exportApp(ref: AppRef): Promise<ManifestFiles> {
    await expectShop(ref)
    return new Map([['envs/production/shop/00-namespace.yaml', 'kind: Namespace\n']])
  }

  apply(): Promise<readonly ManifestChange[]> {
    return Promise.resolve([{ object: 'Namespace shop--production', action: 'changed' }])
  }

  async remove(_target: TargetName, ref: AppRef): Promise<readonly ManifestChange[]> {
    await expectShop(ref)
    return [{ object: 'Namespace shop--production', action: 'deleted' }]
  }

  async adopt(ref: AppRef): Promise<void> {
    await expectShop(ref)
  }
}

function expectShop(ref: AppRef): Promise<void> {
  if (refKey(ref) === refKey(SHOP)) return Promise.resolve()
  return Promise.reject(new FairwayError('NOT_FOUND', `there is no app ${refKey(ref)}`))
}
