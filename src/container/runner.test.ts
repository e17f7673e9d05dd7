import {
  containerImage,
  containerProblem,
  makeContainerHarness,
  openContainerRunner,
} from '../../test/container-harness.ts'
import { runnerSuite } from '../../test/runner-suite.ts'
import { beVictim } from '../../test/runner-victim.ts'

if (process.argv[2] === 'victim') {
  await beVictim(await openContainerRunner(process.argv[3] ?? ''), containerImage)
} else {
  runnerSuite({
    name: 'container',
    skip: await containerProblem(),
    make: () => makeContainerHarness(import.meta.filename),
  })
}
