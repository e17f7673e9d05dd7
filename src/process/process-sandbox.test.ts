import { sandboxSuite } from '../../test/sandbox-suite.ts'
import { ProcessSandbox } from './process-sandbox.ts'

sandboxSuite(
  {
    name: 'process',
    skip: process.platform === 'win32' ? 'needs process groups' : null,
    make: () =>
      Promise.resolve({
        sandbox: new ProcessSandbox(),
        lowerDirs: [],
        leftovers: () => Promise.resolve([]),
        close: () => Promise.resolve(),
      }),
  },
  () => undefined,
)
