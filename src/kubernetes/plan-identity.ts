import type { ProcessSpec } from '../model/app-spec.ts'
import { FairwayError } from '../model/errors.ts'
import { folderVariables } from '../model/secrets.ts'
import type { ClusterFacts } from './cluster-facts.ts'
import type { BaseSettings } from './plan-settings.ts'
import { helperParts, NO_HELPER, type Helper, type HelperParts } from './pod-door.ts'

export const IDENTITY_PROGRAM = '/app/src/bin/identity-keeper.ts'
const READY_PROGRAM = '/app/src/bin/identity-ready.ts'
export const IDENTITY_FOLDER = '/run/identity'
/** From this version on, an init container may live as long as its pod: KEP-753. */
const FIRST_MINOR = 29
/** Of some nine seconds each: then the helper starts anew, which changes nothing for a server that is away. */
const STARTUP_PROBES = 60
/** What it was seen to use, and some more. */
export const KEEPER_MEMORY = '64Mi'

/**
 * Lives as long as its pod, and the app begins once everything is in its place: `restartPolicy: Always` makes an init container that, and its startup probe says
 * when. Its memory comes on top of what the app asks for.
 */
const KEEPER: Helper = {
  need: 'identity',
  program: IDENTITY_PROGRAM,
  folder: IDENTITY_FOLDER,
  bytes: 1 << 20,
  prefix: 'FAIRWAY_IDENTITY',
  memory: { limit: '128Mi', request: KEEPER_MEMORY },
  fields: {
    restartPolicy: 'Always',
    startupProbe: {
      exec: { command: ['node', READY_PROGRAM] },
      periodSeconds: 1,
      timeoutSeconds: 10,
      failureThreshold: STARTUP_PROBES,
    },
  },
}

/** What a pod has whose process asks for an identity. @throws FairwayError RUNNER_UNAVAILABLE where no door is known */
export function identityParts(
  { identity }: Pick<ProcessSpec, 'identity'>,
  { podDoor = null }: Pick<BaseSettings, 'podDoor'>,
): HelperParts {
  if (!identity) return NO_HELPER
  if (podDoor === null)
    throw new FairwayError(
      'RUNNER_UNAVAILABLE',
      'nobody gives identities to the pods of this cluster',
    )
  return helperParts(KEEPER, podDoor, folderVariables('identity', IDENTITY_FOLDER))
}

/** Before anything is planned for processes that ask for identities. @throws FairwayError RUNNER_UNAVAILABLE where the cluster is too old */
export function expectIdentities({ version }: Pick<ClusterFacts, 'version'>): void {
  const minor = Number(/^v?1\.(\d+)/.exec(version)?.[1] ?? FIRST_MINOR)
  if (minor >= FIRST_MINOR) return
  throw new FairwayError(
    'RUNNER_UNAVAILABLE',
    `identities need Kubernetes 1.${String(FIRST_MINOR)} or newer, this is ${version}`,
    { hint: 'Take `identity: true` out of the app file for this environment.' },
  )
}
