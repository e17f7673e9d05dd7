import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ActualApp, Engine } from '../model/engine.ts'
import { parseAppName, parseEnvironmentName, parseProcessName } from '../model/names.ts'
import { rolloutError } from './convergence.ts'

const REF = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }
const RELEASE = { ref: REF, number: 2 }
const WEB = parseProcessName('web')

/** Two releases of one process: the old one serves, the new one does not become ready. */
function failing(diagnosis: readonly string[]): ActualApp {
  const instance = (
    id: string,
    release: number,
    reason: string,
  ): ActualApp['instances'][number] => ({
    ...{ id, ref: REF, process: WEB, release, track: 'stable', reason, address: null },
    ...{ state: reason === '' ? 'ready' : 'starting', startedAt: 0, restarts: 0, exit: null },
  })
  return {
    ref: REF,
    instances: [instance('web-1', 1, ''), instance('web-2', 2, 'not ready within 8 s: refused')],
    workloads: [
      {
        ...{ process: WEB, release: 2, desired: 1, ready: 0, old: 1, phase: 'failing', diagnosis },
        tracks: [{ name: 'stable', release: 2, desired: 1, ready: 0 }],
      },
    ],
  }
}

/** Says these one after the other, then nothing more. */
function engine(...says: readonly ActualApp[]): Pick<Engine, 'watch'> {
  return {
    watch: async function* (_ref, signal) {
      yield* says
      if (signal.aborted) return
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve)
      })
    },
  }
}

test('what the engine finds out a moment later is told', async () => {
  const late = engine(failing([]), failing(['web: port 8080 refuses connections']))
  const { message, details } = await rolloutError(
    late,
    RELEASE,
    'web',
    new AbortController().signal,
  )
  assert.equal(message, 'web of release 2 did not become ready')
  assert.deepEqual(details, { diagnosis: ['web: port 8080 refuses connections'] })
})

test('an engine that finds nothing out in time: what the copies say themselves is told', async () => {
  const signal = new AbortController().signal
  const { details } = await rolloutError(engine(failing([])), RELEASE, 'web', signal, 20)
  assert.deepEqual(details, { diagnosis: ['web (web-2): not ready within 8 s: refused'] })
})
