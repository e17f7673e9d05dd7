import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseImageConfig } from './image-config.ts'

const parse = (config: object): unknown =>
  parseImageConfig(
    Buffer.from(
      JSON.stringify({
        os: 'linux',
        architecture: 'amd64',
        config,
        rootfs: { type: 'layers', diff_ids: [] },
      }),
    ),
  )

for (const [what, config] of Object.entries({
  'a NUL in the entrypoint': { Entrypoint: ['/bin/sh\0x'] },
  'a NUL in the command': { Cmd: ['a\0'] },
  'a NUL in the environment': { Env: ['A=b\0c'] },
  'a variable without a name': { Env: ['=x'] },
  'an argument that execve does not take': { Entrypoint: ['x'.repeat(128 * 1024)] },
  'an environment that execve does not take': {
    Env: Array.from({ length: 2000 }, (_, at) => `E${at}=${'x'.repeat(1000)}`),
  },
  'a NUL in the user': { User: 'a\0b' },
  'an endless working folder': { WorkingDir: `/${'x'.repeat(5000)}` },
})) {
  test(`refused: ${what}`, () => {
    assert.throws(
      () => parse(config),
      (error: Error) => {
        assert.equal('code' in error && error.code, 'INVALID_IMAGE')
        assert.ok(error.message.length < 300)
        return true
      },
    )
  })
}

test('what runs elsewhere is taken: a variable without a value, hundreds of variables', () => {
  const Env = [
    'NAME',
    'EMPTY=',
    ...Array.from({ length: 500 }, (_, at) => `E${at}=${'x'.repeat(500)}`),
  ]
  assert.doesNotThrow(() => parse({ Entrypoint: ['/bin/sh'], Env, User: '1000:1000' }))
})
