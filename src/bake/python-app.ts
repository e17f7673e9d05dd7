import type { BuildPlan } from '../model/build-plan.ts'
import { FairwayError } from '../model/errors.ts'
import type { BakedApp, SourceJob } from './bake-job.ts'

export function bakePython(
  _job: SourceJob<BuildPlan & { readonly kind: 'python' }>,
): Promise<BakedApp> {
  throw new FairwayError('BAKE_FAILED', 'Python apps are not baked yet')
}
