import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTestApi } from '../../test/fakes/test-api.ts'

test('manifests with values are for admins: the login of the target’s registry is among them', async () => {
  const { api, tokens } = await createTestApi()
  try {
    const statusFor = async (role: keyof typeof tokens, query: string): Promise<number> => {
      const url = `/v1/apps/shop/production/manifests${query}`
      const headers = { host: 'localhost', authorization: `Bearer ${tokens[role]}` }
      return (await api.inject({ method: 'GET', url, headers })).statusCode
    }
    assert.equal(await statusFor('viewer', ''), 200)
    assert.equal(await statusFor('viewer', '?secrets=true'), 403)
    assert.equal(await statusFor('developer', '?secrets=true'), 403)
    assert.equal(await statusFor('admin', '?secrets=true'), 200)
  } finally {
    await api.close()
  }
})
