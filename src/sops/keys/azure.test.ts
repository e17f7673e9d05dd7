import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { azureService } from '../../../test/fakes/key-services.ts'
import { azureKind } from './azure.ts'
import type { KeySurroundings } from './key-kind.ts'

const service = azureService({ id: 'client', secret: 'client-secret' })
const url = await service.start()
after(() => service.close())

const asked: string[] = []
const surroundings: KeySurroundings = {
  env: {
    AZURE_TENANT_ID: 'tenant',
    AZURE_CLIENT_ID: 'client',
    AZURE_CLIENT_SECRET: 'client-secret',
  },
  home: '/nonexistent',
  // The hosts of Azure, on loopback.
  fetch: (address, init) => {
    const { host, pathname, search } = new URL(address)
    asked.push(host)
    return fetch(`${url}${pathname}${search}`, init)
  },
  now: Date.now,
}
const kind = azureKind(surroundings)

test('wraps and opens with RSA-OAEP-256, under the latest version where none is named', async () => {
  const bytes = randomBytes(32)
  const names = { vault_url: 'https://team.vault.azure.net', name: 'sops', version: '' }
  const wrapped = await kind.wrap(names, bytes)
  assert.equal(wrapped['version'], '0123abcd')
  assert.deepEqual(await kind.unwrap({ ...names, ...wrapped }), bytes)
  assert.deepEqual(new Set(asked), new Set(['login.microsoftonline.com', 'team.vault.azure.net']))
  await assert.rejects(kind.unwrap({ ...names, ...wrapped, enc: 'AAAA' }), {
    code: 'KEY_FAILED',
    message: /it does not decrypt/,
  })
})

test('no token is fetched for or sent to a host that is not of Azure', async () => {
  const before = service.seen.length
  for (const vault_url of [
    'https://evil.example',
    'https://team.vault.azure.net.evil.example',
    'https://team.vault.azure.net@evil.example',
    'http://team.vault.azure.net',
    'https://evilvault.azure.net',
    'https://team.vault.azure.net:8443',
  ]) {
    const fields = { vault_url, name: 'sops', version: '0123abcd', enc: 'AAAA' }
    await assert.rejects(kind.unwrap(fields), { code: 'KEY_FAILED', message: /no token goes/ })
  }
  assert.equal(service.seen.length, before)
})
