import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appOf, settingsWith, trackOf, workloadOf } from '../../test/fakes/cluster-plan.ts'
import type { KubeObject } from './object.ts'
import { planApp } from './plan-app.ts'

const env = { GREETING: 'costs $(PRICE)', TOKEN: 'hunter2' }

function planWith(secretEnv: readonly string[]): readonly KubeObject[] {
  return planApp(appOf(workloadOf({}, [trackOf({ env, secretEnv })])), settingsWith())
}

test('values of the app file stand in the pods, values that a person has set in a Secret alone', () => {
  const objects = planWith(['TOKEN'])
  const secret = objects.find(({ kind }) => kind === 'Secret')
  assert.deepEqual(secret?.['data'], { TOKEN: Buffer.from('hunter2').toString('base64') })
  const pods = JSON.stringify(objects.filter(({ kind }) => kind === 'Deployment'))
  assert.match(pods, /"name":"GREETING","value":"costs \$\$\(PRICE\)"/)
  assert.doesNotMatch(pods, /hunter2|aHVudGVyMg/)
  const none = planWith([])
  assert.deepEqual(
    none.filter(({ kind }) => kind === 'Secret'),
    [],
  )
})
