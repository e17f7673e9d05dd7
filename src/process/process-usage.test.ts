import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupUsage } from './process-usage.ts'

test('where there is no /proc, an instance is its group', () => {
  const rows = [
    { pid: 7, group: 7, memoryBytes: 100, cpuSeconds: 1.5 },
    { pid: 8, group: 7, memoryBytes: 20, cpuSeconds: 0.5 },
    { pid: 9, group: 1, memoryBytes: 1000, cpuSeconds: 9 },
  ]
  assert.deepEqual(groupUsage(7, rows), {
    memoryBytes: 120,
    memoryLimitBytes: null,
    cpuSeconds: 2,
    pids: 2,
  })
  assert.equal(groupUsage(5, rows), null)
})
