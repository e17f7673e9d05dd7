import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAppName, parseEnvironmentName, type AppRef } from '../model/names.ts'
import { allowsPath, parsePathRules, type PathRule } from './path-rules.ts'

const of = (app: string, environment: string): AppRef => ({
  app: parseAppName(app),
  environment: parseEnvironmentName(environment),
})

function rules(text: string): readonly PathRule[] {
  const parsed = parsePathRules(text)
  if (typeof parsed === 'string') throw new Error(parsed)
  return parsed
}

test('an environment may read what a rule names for it, and nothing else', () => {
  const own = rules(
    'shop/production=secret/shop/production/ database/creds/shop; */preview=secret/{app}/preview/\n',
  )
  const may = (app: string, environment: string, path: string): boolean =>
    allowsPath(own, of(app, environment), path)
  assert.ok(may('shop', 'production', 'secret/shop/production/db'))
  assert.ok(may('shop', 'production', 'database/creds/shop'))
  assert.ok(may('blog', 'preview', 'secret/blog/preview/a/b'))
  for (const [app, environment, path] of [
    ['shop', 'production', 'secret/shop/production'],
    ['shop', 'production', 'secret/shop/production-2/db'],
    ['shop', 'production', 'database/creds/shop2'],
    ['shop', 'production', 'database/creds/shop/x'],
    ['shop', 'staging', 'secret/shop/production/db'],
    ['shop-2', 'production', 'secret/shop/production/db'],
    ['blog', 'preview', 'secret/shop/preview/a'],
  ] as const)
    assert.ok(!may(app, environment, path), path)
  assert.ok(!allowsPath([], of('shop', 'production'), 'secret/a'), 'deny by default')
})

test('rules that say something else than they seem to are refused in words', () => {
  for (const text of [
    'shop=secret/',
    'shop/production',
    'shop/production=',
    'Shop/production=secret/x',
    'shop/production=secret/../x/',
    'shop/production=/secret/x',
    'shop/production=secret//x',
    'shop/production=secret',
    'shop/production=secret/*',
    'shop/production=secret/{other}/',
    'sh*/production=secret/x',
  ])
    assert.equal(typeof parsePathRules(text), 'string', text)
  assert.deepEqual(parsePathRules(' ;\n'), [])
})

test('no name of an app or environment reaches below another’s folder', () => {
  const own = rules('*/*=secret/{app}/{environment}/')
  const name = fc.stringMatching(/^[a-z][a-z0-9]{0,4}(?:-[a-z0-9]{1,4})?$/)
  const property = fc.property(name, name, name, name, (app, environment, other, more) => {
    fc.pre(app !== other || environment !== more)
    assert.ok(!allowsPath(own, of(app, environment), `secret/${other}/${more}/x`))
  })
  fc.assert(property)
})
