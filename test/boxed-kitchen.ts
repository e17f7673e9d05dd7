import { join } from 'node:path'
import { ContainerSandbox } from '../src/container/container-sandbox.ts'
import { makeContainerHarness } from './container-harness.ts'
import { TestKitchen } from './fakes/test-kitchen.ts'

export interface BoxedKitchen {
  readonly kitchen: TestKitchen
  close(): Promise<void>
}

/** A real baker whose steps run in containers. */
export async function openBoxedKitchen(
  users: { readonly withoutUserNamespace?: boolean } = {},
): Promise<BoxedKitchen> {
  const harness = await makeContainerHarness('', users)
  try {
    const sandbox = new ContainerSandbox({
      dataDir: join(harness.folder, 'data'),
      host: harness.host,
      network: harness.runner.network,
    })
    const kitchen = await TestKitchen.open({ sandbox, ownerOffset: sandbox.ownerOffset })
    return {
      kitchen,
      close: async () => {
        await kitchen.close()
        await harness.close()
      },
    }
  } catch (error) {
    await harness.close()
    throw error
  }
}
