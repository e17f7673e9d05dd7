import {
  containerImage,
  containerProblem,
  makeContainerHarness,
  openContainerRunner,
} from '../../test/container-harness.ts'
import { runnerSuite } from '../../test/runner-suite.ts'
import { beVictim, beVictimOf } from '../../test/runner-victim.ts'

const [, , role, folder = '', id] = process.argv
if (role === 'victim') {
  const runner = await openContainerRunner(folder)
  if (id === undefined) await beVictim(runner, containerImage)
  else await beVictimOf(runner, containerImage, id)
} else {
  runnerSuite({
    name: 'container',
    skip: await containerProblem(),
    make: () => makeContainerHarness(import.meta.filename),
  })
}
