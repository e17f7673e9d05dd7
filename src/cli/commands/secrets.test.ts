import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { TestIo, testPrograms } from '../../../test/fakes/cli-io.ts'
import { main } from '../main.ts'

const folder = mkdtempSync(join(tmpdir(), 'fairway-secrets-test-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const identity = await generateX25519Identity()
const recipient = await identityToRecipient(identity)
writeFileSync(
  join(folder, '.sops.yaml'),
  `creation_rules:\n  - path_regex: secrets\n    age: ${recipient}\n`,
)
const path = join(folder, 'secrets.yaml')

async function fairway(
  words: readonly string[],
  stdin = '',
  key = identity,
): Promise<{ code: number; out: string; err: string }> {
  const io = new TestIo({
    home: folder,
    cwd: folder,
    env: { SOPS_AGE_KEY: key, XDG_CONFIG_HOME: folder, EDITOR: 'sed -i s/other/third/' },
  })
  io.stdin.end(stdin)
  const code = await main(['secrets', ...words], io, testPrograms({}))
  return { code, out: io.out, err: io.err }
}

test('values are set, read, edited, removed and rotated; only get shows them', async () => {
  assert.equal((await fairway(['set', 'A=-', 'B.c=other'], 'marked-value\n')).code, 0)
  assert.ok(!readFileSync(path, 'utf8').includes('marked-value'))
  assert.equal((await fairway(['get', 'A'])).out, 'marked-value')
  const list = await fairway(['list'])
  assert.match(list.out, /B\.c +str +encrypted/)
  assert.ok(!list.out.includes('marked-value'))
  const before = readFileSync(path, 'utf8').split('\n')[0]
  assert.equal((await fairway(['edit'])).code, 0)
  assert.equal((await fairway(['get', 'B.c'])).out, 'third')
  assert.equal(readFileSync(path, 'utf8').split('\n')[0], before)
  assert.equal((await fairway(['rotate'])).code, 0)
  assert.notEqual(readFileSync(path, 'utf8').split('\n')[0], before)
  assert.equal((await fairway(['unset', 'A'])).code, 0)
  assert.equal((await fairway(['get', 'A'])).code, 4)
})

test('another key is refused until its owner is a recipient', async () => {
  const other = await generateX25519Identity()
  assert.equal((await fairway(['list'], '', other)).code, 3)
  assert.equal((await fairway(['recipients', 'add', await identityToRecipient(other)])).code, 0)
  assert.equal((await fairway(['list'], '', other)).code, 0)
  assert.equal((await fairway(['recipients', 'remove', await identityToRecipient(other)])).code, 0)
  assert.equal((await fairway(['list'], '', other)).code, 3)
})

test('--check finds files and values in clear', async () => {
  assert.equal((await fairway(['--check'])).code, 0)
  writeFileSync(path, `new: in-clear\n${readFileSync(path, 'utf8')}`)
  const found = await fairway(['--check'])
  assert.equal(found.code, 1)
  assert.equal(found.out, 'secrets.yaml: new stands in clear\n')
  assert.equal((await fairway(['list'])).code, 6)
})
