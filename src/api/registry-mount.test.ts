import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createTestApi, listen } from '../../test/fakes/test-api.ts'

const seen: string[] = []
const { api, tokens, logged } = await createTestApi({
  limits: { bodyBytes: 100 },
  registry: async (request, response) => {
    if (request.url === '/v2/broken') throw new Error('broken')
    let size = 0
    for await (const chunk of request) if (chunk instanceof Uint8Array) size += chunk.length
    seen.push(`${request.method ?? ''} ${request.url ?? ''} ${size}`)
    response.writeHead(201, { 'docker-distribution-api-version': 'registry/2.0' })
    response.end('stored')
  },
})
after(() => api.close())
const port = await listen(api)

function basic(token: string, user = 'anyone'): string {
  return `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}`
}

async function ask(method: string, path: string, authorization: string | null, body?: string) {
  const headers = authorization === null ? {} : { authorization }
  const url = `http://127.0.0.1:${port}${path}`
  return await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) })
}

test('without a token: 401 with a challenge and an error of the OCI specification', async () => {
  for (const authorization of [null, 'Basic', 'Basic !!', basic('wrong'), 'Basic eA==']) {
    const answer = await ask('GET', '/v2/', authorization)
    assert.equal(answer.status, 401)
    assert.match(answer.headers.get('www-authenticate') ?? '', /^Basic realm=/)
    assert.match(await answer.text(), /^\{"errors":\[\{"code":"UNAUTHORIZED"/)
  }
})

test('a viewer pulls, a developer pushes; bodies of any type and size go through', async () => {
  assert.equal((await ask('GET', '/v2/', basic(tokens.viewer))).status, 201)
  assert.equal((await ask('HEAD', '/v2/a/manifests/b', basic(tokens.viewer))).status, 201)
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    const answer = await ask(method, '/v2/a/blobs/uploads/', basic(tokens.viewer))
    assert.equal(answer.status, 403)
    assert.match(await answer.text(), /"DENIED"/)
  }
  seen.length = 0
  const body = 'x'.repeat(300_000)
  for (const method of ['POST', 'PUT', 'PATCH']) {
    const answer = await ask(method, '/v2/a/b?digest=c', basic(tokens.developer, 'me'), body)
    assert.equal(await answer.text(), 'stored')
  }
  assert.equal((await ask('DELETE', '/v2/a', `Bearer ${tokens.admin}`)).status, 201)
  assert.deepEqual(seen, [
    'POST /v2/a/b?digest=c 300000',
    'PUT /v2/a/b?digest=c 300000',
    'PATCH /v2/a/b?digest=c 300000',
    'DELETE /v2/a 0',
  ])
})

test('a registry that breaks is a 500 in its own form, logged', async () => {
  const answer = await ask('GET', '/v2/broken', basic(tokens.viewer))
  assert.equal(answer.status, 500)
  assert.match(await answer.text(), /"UNKNOWN"/)
  assert.ok(logged.some((line) => line.startsWith('registry request failed')))
})

test('the API takes no passwords', async () => {
  assert.equal((await ask('GET', '/v1/apps', basic(tokens.admin))).status, 401)
})
