import type { BuildPlan } from '../model/build-plan.ts'
import { FairwayError } from '../model/errors.ts'
import type { BakedApp, SourceJob } from './bake-job.ts'

export function bakeJar(_job: SourceJob<BuildPlan & { readonly kind: 'jar' }>): Promise<BakedApp> {
  throw new FairwayError('BAKE_FAILED', 'jars are not baked yet')
}
