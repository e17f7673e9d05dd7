import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import fc from 'fast-check'
import { runToEnd } from '../lib/process.ts'
import { elfObject } from '../../test/fakes/elf-object.ts'
import { DebianError } from './debian-error.ts'
import { neededLibraries } from './elf-facts.ts'

const object = {
  needed: ['liba.so.1', 'libc.so.6'],
  soname: 'libself.so.2',
  runpath: '$ORIGIN/../lib:/opt/x',
  interpreter: '/lib64/ld-linux-x86-64.so.2',
}

for (const bits of [32, 64] as const) {
  for (const endian of ['little', 'big'] as const) {
    test(`reads ${bits} bits, ${endian} endian`, async () => {
      assert.deepEqual(await neededLibraries(elfObject({ ...object, class: bits, endian })), {
        ...{ class: bits, endian, machine: 62, type: 'shared', interpreter: object.interpreter },
        ...{ needed: object.needed, soname: object.soname, rpath: [] },
        runpath: ['$ORIGIN/../lib', '/opt/x'],
      })
    })
  }
}

test('what is no ELF object is null', async () => {
  for (const text of ['', '\x7fEL', '#!/bin/sh\n', 'x'.repeat(100)]) {
    assert.equal(await neededLibraries(Buffer.from(text, 'latin1')), null)
  }
})

const hasReadelf = await runToEnd('readelf', ['--version']).then(
  () => true,
  () => false,
)

test('agrees with readelf', { skip: hasReadelf ? false : 'needs readelf' }, async () => {
  const files = [process.execPath, '/bin/sh', '/usr/bin/dpkg']
  for (const file of files) {
    const facts = await neededLibraries({ file })
    assert.deepEqual(facts, await neededLibraries(await readFile(file)))
    const { stdout } = await runToEnd('readelf', ['-d', '-l', '-W', file])
    const needed = [...stdout.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1])
    assert.deepEqual(facts?.needed, needed, file)
    assert.equal(facts.interpreter, /interpreter: (.*)\]/.exec(stdout)?.[1] ?? null)
  }
})

test('broken objects end in DebianError or in some facts, never in anything else', async () => {
  const good = elfObject(object)
  const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255))
  await fc.assert(
    fc.asyncProperty(
      fc.array(change, { minLength: 1, maxLength: 8 }),
      fc.nat(good.length),
      async (changes, length) => {
        const bytes = Buffer.from(good)
        for (const [at, value] of changes) bytes.writeUInt8(value, at)
        for (const sample of [bytes, bytes.subarray(0, length)]) {
          try {
            await neededLibraries(sample)
          } catch (error) {
            assert.ok(error instanceof DebianError, String(error))
            assert.equal(error.code, 'ELF_INVALID')
          }
        }
      },
    ),
    { numRuns: 1500 },
  )
})
