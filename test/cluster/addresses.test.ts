import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressesOf, MAX_LABS, MAX_NODES, nodeAddresses } from './addresses.ts'

test('no two labs, and no two nodes of one, share an address or a name', () => {
  const seen: string[] = []
  for (let index = 0; index < MAX_LABS; index++) {
    const { device, host, controlPlane, services, pods } = addressesOf(index)
    seen.push(device, host, controlPlane, services, pods)
    for (let number = 1; number <= MAX_NODES; number++) {
      const node = nodeAddresses(index, number)
      seen.push(node.address, node.pods)
      assert.ok(isWithin(node.pods, pods), `${node.pods} is not within ${pods}`)
    }
  }
  assert.equal(new Set(seen).size, seen.length)
})

/** Third number of an address below a `/20`. */
function isWithin(small: string, large: string): boolean {
  const third = (cidr: string): number => Number(cidr.split('.')[2])
  return third(small) >= third(large) && third(small) < third(large) + 16
}
