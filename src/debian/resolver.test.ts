import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DebianError } from './debian-error.ts'
import type { DebianPackage } from './debian-package.ts'
import { parseDependencies } from './dependency.ts'
import { resolveClosure, type Candidate } from './resolver.ts'

type Fields = Partial<DebianPackage> & { readonly rank?: number }

/** `name=version` -> the package's other fields. */
function archive(packages: Readonly<Record<string, Fields>>) {
  const all = Object.entries(packages).map(([key, { rank = 500, ...fields }], order): Candidate => {
    const [name = '', version = '1'] = key.split('=')
    const pkg: DebianPackage = {
      ...({ name, version, architecture: 'amd64', source: { name, version } } as const),
      ...{ size: 1, url: key },
      ...{ sha256: key, essential: false, priority: 'optional', preDepends: '', depends: '' },
      ...{ provides: '', conflicts: '', breaks: '', ...fields },
    }
    return { pkg, priority: rank, order }
  })
  const provides = (text: string) =>
    parseDependencies(text)
      .flat()
      .map((one) => one.name)
  const lookup = {
    named: (name: string) => all.filter(({ pkg }) => pkg.name === name),
    providing: (name: string) => all.filter(({ pkg }) => provides(pkg.provides).includes(name)),
  }
  return (names: readonly string[], exclude: readonly string[] = []) =>
    resolveClosure(lookup, { names, exclude, architecture: 'amd64' }).map(
      (pkg) => `${pkg.name}=${pkg.version}`,
    )
}

function refuses(code: string, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof DebianError)
    assert.equal(error.code, code)
    assert.match(error.message, message)
    return true
  }
}

test('the newest version across suites, unless a better ranked suite has one', () => {
  const resolve = archive({
    'a=1': {},
    'a=1+deb12u1': {},
    'a=1~rc': {},
    'b=1': {},
    'b=9': { rank: 100 },
    'c=9': { rank: 1 },
  })
  assert.deepEqual(resolve(['a', 'b', 'c']), ['a=1+deb12u1', 'b=1', 'c=9'])
  assert.deepEqual(resolve(['b (>= 2)']), ['b=9'])
})

test('circles end, Pre-Depends count, the order is by name', () => {
  const resolve = archive({
    z: { depends: 'a' },
    a: { preDepends: 'm:any', depends: 'z (= 1)' },
    m: {},
    other: {},
  })
  assert.deepEqual(resolve(['z']), ['a=1', 'm=1', 'z=1'])
})

test('of alternatives: one that is there, else the first that exists', () => {
  const resolve = archive({ p: { depends: 'gone | x | y' }, x: {}, y: {}, q: { depends: 'p' } })
  assert.deepEqual(resolve(['p']), ['p=1', 'x=1'])
  assert.deepEqual(resolve(['p', 'y']), ['p=1', 'y=1'])
  assert.deepEqual(resolve(['q', 'y']), ['p=1', 'q=1', 'y=1'])
})

test('virtual packages: a versioned dependency needs a versioned Provides', () => {
  const resolve = archive({
    a: { depends: 'virtual' },
    b: { depends: 'virtual (>= 2)' },
    c: { depends: 'virtual (>= 3)' },
    plain: { provides: 'virtual', priority: 'standard' },
    versioned: { provides: 'virtual (= 2.5), more' },
  })
  assert.deepEqual(resolve(['a']), ['a=1', 'plain=1'])
  assert.deepEqual(resolve(['b']), ['b=1', 'versioned=1'])
  assert.deepEqual(resolve(['a', 'versioned']), ['a=1', 'versioned=1'])
  assert.throws(
    () => resolve(['c']),
    refuses('PACKAGE_UNAVAILABLE', /c 1 .* needs virtual \(>= 3\)/),
  )
})

test('a virtual package is taken by name only where one package provides it', () => {
  const resolve = archive({ a: { provides: 'one, two' }, b: { provides: 'two' } })
  assert.deepEqual(resolve(['one']), ['a=1'])
  assert.throws(() => resolve(['two']), refuses('PACKAGE_UNAVAILABLE', /virtual package.*a, b/))
})

test('a provider must provide it in the version that would be taken', () => {
  const resolve = archive({
    a: { depends: 'virtual' },
    'old=1': { provides: 'virtual' },
    'old=2': {},
    second: { provides: 'virtual' },
  })
  assert.deepEqual(resolve(['a']), ['a=1', 'second=1'])
})

test('excluded packages and what only they need are left out', () => {
  const resolve = archive({
    a: { depends: 'shell, lib' },
    shell: { depends: 'big' },
    big: {},
    lib: {},
  })
  assert.deepEqual(resolve(['a'], ['shell']), ['a=1', 'lib=1'])
})

test('errors name who needs what, and through whom', () => {
  const resolve = archive({
    app: { depends: 'middle' },
    middle: { depends: 'lib (>= 2) | nothing' },
    lib: {},
    foreign: { depends: 'lib:armhf' },
  })
  assert.throws(
    () => resolve(['app']),
    refuses(
      'PACKAGE_UNAVAILABLE',
      /middle 1 \(needed by app, by the request\) needs lib \(>= 2\) \| nothing, but lib exists as 1/,
    ),
  )
  assert.throws(() => resolve(['absent']), refuses('PACKAGE_UNAVAILABLE', /"absent"/))
  assert.throws(() => resolve(['a b']), refuses('PACKAGE_UNAVAILABLE', /"a b" is no package name/))
  assert.throws(() => resolve(['foreign']), refuses('PACKAGE_UNAVAILABLE', /lib:armhf/))
})

test('packages that exclude one another are refused', () => {
  const resolve = archive({
    a: { depends: 'b' },
    b: { conflicts: 'c (<< 2)' },
    c: {},
    mta: { provides: 'mail', conflicts: 'mail' },
    other: { provides: 'mail' },
  })
  assert.deepEqual(resolve(['a']), ['a=1', 'b=1'])
  assert.throws(
    () => resolve(['a', 'c']),
    refuses('PACKAGE_CONFLICT', /b 1 \(needed by a, by the request\) excludes c \(<< 2\)/),
  )
  // Its own Provides is not meant (Policy 7.6.2).
  assert.deepEqual(resolve(['mta']), ['mta=1'])
  assert.throws(() => resolve(['mta', 'other']), refuses('PACKAGE_CONFLICT', /mail/))
})

test('a malformed field is fatal for those who need the package only', () => {
  const resolve = archive({ a: { depends: 'x y z' }, b: {} })
  assert.deepEqual(resolve(['b']), ['b=1'])
  assert.throws(() => resolve(['a']), refuses('INDEX_INVALID', /a 1.*"x y z"/))
})

test('a closure is closed, and the same for any order of the request', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  const graph = fc.dictionary(
    fc.constantFrom(...names),
    fc.array(fc.constantFrom(...names), { maxLength: 4 }),
  )
  fc.assert(
    fc.property(graph, fc.shuffledSubarray(names), (edges, wanted) => {
      const needs = (name: string): string[] => edges[name] ?? []
      const resolve = archive(
        Object.fromEntries(names.map((name) => [name, { depends: needs(name).join(', ') }])),
      )
      const closure = resolve(wanted).map((text) => text.split('=')[0] ?? '')
      for (const name of wanted) assert.ok(closure.includes(name))
      for (const name of closure)
        for (const other of needs(name)) assert.ok(closure.includes(other))
      assert.deepEqual(resolve([...wanted].sort()), resolve(wanted))
    }),
  )
})
