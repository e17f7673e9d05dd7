import { FairwayError } from '../model/errors.ts'
import type { InstanceSpec } from '../model/instance.ts'

/** What a hostile image makes the runtime say must not fill logs and answers. */
const MAX_REASON = 500

/** Ids become folders, cgroups and host names. @throws FairwayError INSTANCE_FAILED */
export function checkSpec(spec: InstanceSpec): void {
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(spec.id)) {
    throw new FairwayError('INSTANCE_FAILED', `${JSON.stringify(spec.id)} cannot name an instance`)
  }
  if (spec.argv.length === 0) {
    throw new FairwayError('INSTANCE_FAILED', `${spec.process} has no command`, {
      hint: 'Set `command` of the process in fairway.yaml: the image has none.',
    })
  }
}

/** Why an instance could not be started, as an error of the platform. */
export function startFailure(error: unknown, spec: InstanceSpec): unknown {
  if (error instanceof FairwayError) return error
  const code = error instanceof Error && 'code' in error ? error.code : ''
  const said = error instanceof Error ? error.message : String(error)
  const why = said.length > MAX_REASON ? `${said.slice(0, MAX_REASON)}…` : said
  return code === 'ENOSPC' || why.includes('No space left')
    ? new FairwayError('DISK_FULL', `no space to start ${spec.id}`, { cause: error })
    : new FairwayError('INSTANCE_FAILED', `${spec.id} cannot start: ${why}`, { cause: error })
}
