import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { KeyService } from '../../../test/fakes/key-services.ts'
import { vaultKind } from './vault.ts'

/** Answers as transit does; the wrapping itself is proven against OpenBao in real-sops.all.test.ts. */
const service = new KeyService(({ path, body }) => {
  const input = JSON.parse(body) as Record<string, string>
  const data = path.includes('/encrypt/')
    ? { ciphertext: `vault:v1:${input['plaintext'] ?? ''}` }
    : { plaintext: (input['ciphertext'] ?? '').replace('vault:v1:', '') }
  return [200, JSON.stringify({ data })]
})
const address = await service.start()
after(() => service.close())
const names = { vault_address: address, engine_path: 'team/transit', key_name: 'sops' }

function kind(env: Readonly<Record<string, string>>): ReturnType<typeof vaultKind> {
  return vaultKind({
    env: { VAULT_TOKEN: 't0ken', ...env },
    home: '/nonexistent',
    fetch,
    now: Date.now,
  })
}

test('VAULT_ADDR and the allow list may be asked', async () => {
  for (const env of [
    { VAULT_ADDR: address },
    { SOPS_HC_VAULT_ALLOWLIST: `https://other.example,${address}/` },
    { SOPS_HC_VAULT_ALLOWLIST: 'all' },
  ]) {
    const wrapped = await kind(env).wrap(names, Buffer.alloc(32, 7))
    assert.deepEqual(await kind(env).unwrap({ ...names, ...wrapped }), Buffer.alloc(32, 7))
  }
  const last = service.seen.at(-1)
  assert.equal(last?.path, '/v1/team/transit/decrypt/sops')
  assert.equal(last.headers['x-vault-token'], 't0ken')
})

test('no request, and so no token, goes to any other address', async () => {
  const before = service.seen.length
  const envs: Readonly<Record<string, string>>[] = [
    {},
    { SOPS_HC_VAULT_ALLOWLIST: 'none' },
    { VAULT_ADDR: 'https://vault.example' },
    { VAULT_ADDR: address.slice(0, -1) },
    { SOPS_HC_VAULT_ALLOWLIST: `${address}1,https://x` },
  ]
  for (const env of envs) {
    await assert.rejects(kind(env).unwrap({ ...names, enc: 'vault:v1:AAAA' }), {
      code: 'KEY_FAILED',
      message: /no token goes there/,
    })
  }
  for (const fields of [
    { ...names, engine_path: '../sys' },
    { ...names, key_name: 'a?b' },
    { ...names, vault_address: `${address}/v1/sys` },
    { ...names, vault_address: `http://user@127.0.0.1` },
  ]) {
    const all = kind({ SOPS_HC_VAULT_ALLOWLIST: 'all' })
    await assert.rejects(all.unwrap({ ...fields, enc: 'x' }), { code: 'INVALID_KEY' })
  }
  assert.equal(service.seen.length, before)
})

test('a redirect is not followed and an answer without end is cut', async () => {
  const elsewhere = new KeyService(() => [200, '{}'])
  const target = await elsewhere.start()
  const moving = new KeyService(() => [200, 'x'.repeat(2 << 20)])
  const url = await moving.start()
  try {
    const env = { SOPS_HC_VAULT_ALLOWLIST: 'all', VAULT_TOKEN: 't' }
    const redirecting = vaultKind({
      env,
      home: '/nonexistent',
      fetch: (_url, init) => {
        assert.equal(init.redirect, 'error')
        return fetch(target, init)
      },
      now: Date.now,
    })
    await assert.rejects(redirecting.unwrap({ ...names, enc: 'x' }), { code: 'KEY_FAILED' })
    await assert.rejects(kind(env).unwrap({ ...names, vault_address: url, enc: 'x' }), {
      code: 'KEY_FAILED',
      message: /answered too much/,
    })
  } finally {
    await moving.close()
    await elsewhere.close()
  }
})
