import assert from 'node:assert/strict'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { refOf } from '../../test/store-suite.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { parseProcessName } from '../model/names.ts'
import { Authority } from './authority.ts'
import { InstanceSigner } from './instance-signer.ts'

const HOLDER = { ref: refOf('shop'), process: parseProcessName('web') }

test('certificate and roots of one answer belong together, also while the root is replaced', async () => {
  const authority = new Authority({
    trustDomain: 'example.org',
    vault: { load: () => Promise.resolve(null), save: () => Promise.resolve() },
    clock: systemClock,
    log: silentLog,
    times: { svidMs: 3_600_000, rootMs: 86_400_000_0 },
  })
  const signer = new InstanceSigner(authority, systemClock)
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = publicKey.export({ type: 'spki', format: 'der' })
  for (let round = 0; round < 8; round += 1) {
    const asked = signer.certify(HOLDER, key)
    const replacing = sleep(round % 4).then(() => authority.replace())
    const { certificate, roots, lifeMs } = await asked
    await replacing
    const [root = '', ...more] = roots
    assert.deepEqual(more, [])
    assert.ok(new X509Certificate(certificate).verify(new X509Certificate(root).publicKey))
    assert.ok(lifeMs > 3_500_000 && lifeMs <= 3_600_000, String(lifeMs))
  }
})
