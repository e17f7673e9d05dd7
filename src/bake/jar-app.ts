import type { BuildPlan } from '../model/build-plan.ts'
import { FairwayError } from '../model/errors.ts'
import type { BakedApp, SourceJob } from './bake-job.ts'
import { javaModules } from './java-modules.ts'
import { javaRuntime } from './java-runtime.ts'
import { ownLayer } from './own-layer.ts'

type JarJob = SourceJob<BuildPlan & { readonly kind: 'jar' }>

/** Layers: base, a Java runtime of the modules that are needed, the app's files. */
export async function bakeJar(job: JarJob): Promise<BakedApp> {
  const { jar, wars, version } = job.plan
  const entry = job.tree.file(jar)
  if (entry === null) {
    throw new FairwayError(
      'INVALID_SOURCE',
      `there is no file ${JSON.stringify(jar)} in the source`,
    )
  }
  const runtime =
    job.request.flavour === 'host'
      ? []
      : await javaRuntime(
          job,
          version,
          await javaModules(job, {
            file: job.tree.contentPath(entry),
            name: jar,
            digest: entry.digest,
            wars: wars.length,
          }),
        )
  const files = await ownLayer(job, job.tree.entries)
  return { layers: [...runtime, files], command: javaCommand(job.plan.command), env: {} }
}

/** The JVM takes a quarter of the memory limit for its heap by default; an instance has nothing else to spend it on. */
function javaCommand(command: readonly string[]): readonly string[] {
  const [program = 'java', ...rest] = command
  const chosen = rest.some((word) =>
    /^-Xmx|^-XX:(?:MaxRAMPercentage|MaxHeapSize|MaxRAM)=/.test(word),
  )
  if (program !== 'java' || chosen) return command
  return ['java', '-XX:MaxRAMPercentage=75', ...rest]
}
