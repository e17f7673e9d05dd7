import type { Runner } from '../src/model/runner.ts'
import type { ImageFacts } from '../src/model/release.ts'
import { payloadNames } from '../src/model/secrets.ts'
import { ONCE_GIVEN, onceSpec, sampleSpec } from './runner-suite.ts'

/** A server that starts the instance `id` and lives until somebody kills it. */
export async function beVictimOf(runner: Runner, image: ImageFacts, id: string): Promise<void> {
  process.stdout.write('ready\n')
  await runner.start(onceSpec(image, id), undefined, ONCE_GIVEN)
  await new Promise(() => setInterval(() => undefined, 1000))
}

/** A server in the middle of its work, until somebody kills it: lanes that start, stop and remove instances, some made ahead. */
export async function beVictim(runner: Runner, image: ImageFacts): Promise<never> {
  process.stdout.write('ready\n')
  const lane = async (ahead: boolean): Promise<never> => {
    const given = ahead ? { ...ONCE_GIVEN, env: new Map() } : ONCE_GIVEN
    for (;;) {
      const spec = {
        ...sampleSpec(image, ['sh', '-c', 'sleep 1000 & sleep 1000']),
        ...payloadNames(given),
      }
      if (ahead) await runner.prepare(spec)
      await runner.start(spec, undefined, given)
      await runner.stop(spec.id, { signal: 'SIGTERM', graceMs: 100 })
      await runner.remove(spec.id)
    }
  }
  return await Promise.race([lane(false), lane(false), lane(true)])
}
