import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'node:test'
import { FairwayError } from '../model/errors.ts'
import { isName } from '../model/names.ts'
import { imageName, inferredName, nameInAppFile, slug } from './app-name.ts'

test('names of folders, artifacts and images', () => {
  const names: Readonly<Record<string, string>> = {
    'my-app': 'my-app',
    'My App_2': 'my-app',
    'spring-petclinic-3.2.0-SNAPSHOT.jar': 'spring-petclinic',
    'target/app.jar': 'app',
    'go-httpbin_2.15.0.tar.gz': 'go-httpbin',
    'h2-2.3.232.jar': 'h2',
    '2048': 'error',
    日本: 'error',
  }
  for (const [from, name] of Object.entries(names)) {
    if (name === 'error') assert.throws(() => inferredName(from), FairwayError)
    else assert.equal(inferredName(from), name)
  }
  assert.equal(imageName('registry.example:5000/team/shop:1.2'), 'shop')
  assert.equal(imageName(`ghcr.example/a/web-api@sha256:${'0'.repeat(64)}`), 'web-api')
})

test('a slug is a name or nothing', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 80 }), (text) => {
      const name = slug(text)
      assert.ok(name === '' || isName(name), name)
    }),
  )
})

for (const [text, name] of [
  ['version: 1\nname: shop\n', 'shop'],
  ['name: "shop"   # the shop\r\nversion: 1', 'shop'],
  ['{version: 1, name: shop}', 'shop'],
  ['version: 1\nname:\n  shop', 'shop'],
  ['version: 1\nprocesses:\n  web:\n    name: other', null],
  ['version: 1', null],
] as const) {
  test(`name in ${JSON.stringify(text)}`, async () => {
    assert.equal(await nameInAppFile({ path: 'fairway.yaml', text }), name)
  })
}
