import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCpuTime, parseProcessTable, processTable } from './process-table.ts'

test('times as macOS and as procps write them', () => {
  assert.equal(parseCpuTime('0:01.23'), 1.23)
  assert.equal(parseCpuTime('123:45.67'), 123 * 60 + 45.67)
  assert.equal(parseCpuTime('00:00:05'), 5)
  assert.equal(parseCpuTime('1-02:03:04'), 93_784)
  for (const bad of ['', '-', '5', 'a:b', '1-03:04']) assert.equal(parseCpuTime(bad), null, bad)
})

test('rows of ps, without those that have ended', () => {
  // The first two lines have the form of macOS, the next of procps.
  const text =
    '    1     1  12345   1:02.50 Ss  \n 4711  4711   2048   0:00.10 S+\n 4712  4711      0 00:00:00 Z\n 4713  4711    100 00:01:00 Rl\nnonsense\n'
  assert.deepEqual(parseProcessTable(text), [
    { pid: 1, group: 1, memoryBytes: 12_641_280, cpuSeconds: 62.5 },
    { pid: 4711, group: 4711, memoryBytes: 2_097_152, cpuSeconds: 0.1 },
    { pid: 4713, group: 4711, memoryBytes: 102_400, cpuSeconds: 60 },
  ])
})

test('this process is in the table', async () => {
  const own = (await processTable()).find(({ pid }) => pid === process.pid)
  assert.ok(own !== undefined && own.memoryBytes > 1 << 20)
})
