import type { DesiredApp, Engine } from '../model/engine.ts'
import { FairwayError } from '../model/errors.ts'

/** What people should know of a target before or while it is made true; a cluster that does not answer is one line of it. */
export async function engineNotes(
  engine: Pick<Engine, 'notes'>,
  desired: DesiredApp,
): Promise<readonly string[]> {
  try {
    return (await engine.notes?.(desired)) ?? []
  } catch (error) {
    if (!(error instanceof FairwayError)) throw error
    return [`what the target lacks is not known: ${error.message}`]
  }
}
