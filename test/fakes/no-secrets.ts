import type { EnvironmentKeys, GeneratedSecrets, ReleaseSecrets } from '../../src/model/secrets.ts'

/** Where no release has any. */
export const noSecrets: ReleaseSecrets & EnvironmentKeys & GeneratedSecrets = {
  open: () => Promise.resolve({ folders: [], env: new Map() }),
  // eslint-disable-next-line @typescript-eslint/require-await -- nothing ever changes
  watch: async function* () {
    yield* []
  },
  changes: () => Promise.resolve([]),
  rotate: () => Promise.resolve(),
  recipient: () => Promise.reject(new Error('not here')),
  identity: () => Promise.resolve(null),
}
