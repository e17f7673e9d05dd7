import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { run } from '../lib/process.ts'
import type { Clock } from '../model/clock.ts'
import { keepMemoryQuiet, QuietMoment } from './quiet-memory.ts'

test('memory is collected once after work, when the work is over', () => {
  const moment = new QuietMoment()
  assert.equal(moment.isNow(2_000), false, 'at work')
  assert.equal(moment.isNow(4_000), false, 'still')
  assert.equal(moment.isNow(4_050), true, 'quiet')
  moment.collected(4_150)
  assert.equal(moment.isNow(4_160), false, 'nothing new')
  assert.equal(moment.isNow(4_240), false, 'too little')
})

test('a start that took little is collected after as well', () => {
  const moment = new QuietMoment()
  assert.equal(moment.isNow(150), false)
  assert.equal(moment.isNow(155), true)
})

test('what a quiet program uses adds up to a collection in the end', () => {
  const moment = new QuietMoment()
  moment.collected(1_000)
  let looks = 0
  for (let cpuMs = 1_000; !moment.isNow(cpuMs); cpuMs += 10) looks++
  assert.equal(looks, 30)
})

test('looks until it is told to end', async () => {
  const end = new AbortController()
  const used = [5_000, 5_010, 5_100, 5_110]
  const asked: number[] = []
  const clock: Clock = {
    now: () => 0,
    elapsed: () => 0,
    sleep: () => (used.length === 0 ? Promise.reject(new Error('ended')) : Promise.resolve()),
  }
  let collections = 0
  const cpuMs = (): number => {
    const now = used.shift() ?? 0
    asked.push(now)
    if (used.length === 0) end.abort()
    return now
  }
  await keepMemoryQuiet({ clock, cpuMs, collect: () => collections++ }, end.signal)
  assert.equal(collections, 1)
  assert.deepEqual(asked, [5_000, 5_010, 5_100, 5_110])
})

test('a Node that was started for it really gives memory back; another one is left alone', async () => {
  const module = resolve(import.meta.dirname, 'quiet-memory.ts')
  const script = `
    import { keepMemoryQuiet } from ${JSON.stringify(module)}
    let kept = Array.from({ length: 300_000 }, (_, index) => ({ index }))
    const before = process.memoryUsage().heapUsed
    kept = []
    const end = new AbortController()
    const cpu = [1000, 1010, 1020]
    const clock = { now: Date.now, sleep: () => { if (cpu.length < 2) end.abort(); if (end.signal.aborted) throw new Error(); return Promise.resolve() } }
    await keepMemoryQuiet({ clock, cpuMs: () => cpu.shift() ?? 0 }, end.signal)
    console.log(process.memoryUsage().heapUsed < before - 10e6 ? 'given back' : 'kept')`
  const answer = (flags: readonly string[]): Promise<string> =>
    run(process.execPath, [...flags, '--input-type=module', '-e', script])
  assert.equal((await answer(['--expose-gc'])).trim(), 'given back')
  assert.equal((await answer([])).trim(), 'kept')
})
