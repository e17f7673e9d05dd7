import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { after, test } from 'node:test'
import { TestIo, testPrograms } from '../../../test/fakes/cli-io.ts'
import { until } from '../../../test/fakes/until.ts'
import { ED25519_LINE, ED25519_LOCKED, PASSPHRASE } from '../../../test/locked-ssh-keys.ts'
import { main } from '../main.ts'

const QUESTION = 'Passphrase of ~/.ssh/id_ed25519: '
const folder = mkdtempSync(join(tmpdir(), 'fairway-passphrase-test-'))
after(() => rmSync(folder, { recursive: true, force: true }))
mkdirSync(join(folder, '.ssh'))
writeFileSync(join(folder, '.ssh/id_ed25519'), ED25519_LOCKED['aes128-ctr'] ?? '')
writeFileSync(
  join(folder, '.sops.yaml'),
  `creation_rules:\n  - path_regex: secrets\n    age: ${ED25519_LINE}\n`,
)

function ioAt(isTTY: boolean): TestIo {
  return new TestIo({ isTTY, home: folder, cwd: folder, env: { XDG_CONFIG_HOME: folder } })
}

/** With its standard input at a terminal, unless something is piped in. */
async function fairway(
  words: readonly string[],
  { typed = [], piped }: { readonly typed?: readonly string[]; readonly piped?: string } = {},
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const io = ioAt(piped === undefined)
  if (piped !== undefined) io.stdin.end(piped)
  const ended = main(['secrets', ...words], io, testPrograms())
  for (const [index, line] of typed.entries()) {
    await until('the question', () => io.err.split(QUESTION).length === index + 2)
    // Nothing of what is typed is shown.
    assert.deepEqual(io.raw.at(-1), true)
    io.stdin.write(`${line}\r`)
  }
  const code = await ended
  assert.deepEqual(
    io.raw,
    typed.flatMap(() => [true, false]),
  )
  assert.ok(!`${io.out}${io.err}`.includes(PASSPHRASE))
  return { code, out: io.out, err: io.err }
}

test('the passphrase of an ssh key is asked for once in a command', async () => {
  // To write a new file nothing needs to be opened.
  assert.equal((await fairway(['set', 'A=one', 'B=two'])).code, 0)
  const typed = [PASSPHRASE]
  const got = await fairway(['get', 'A'], { typed })
  assert.deepEqual(got, { code: 0, out: 'one\n', err: `${QUESTION}\n` })
  assert.equal((await fairway(['set', 'A=other'], { typed })).code, 0)
  assert.equal((await fairway(['rotate'], { typed })).code, 0)
  assert.equal((await fairway(['get', 'A'], { typed })).out, 'other\n')
  // Two files, both of them for that key.
  const diff = await fairway(['diff', 'secrets.yaml'], { typed })
  assert.deepEqual([diff.code, diff.out], [0, ''])
})

test('three wrong passphrases end the command', async () => {
  const { code, err } = await fairway(['get', 'A'], { typed: ['wrong', 'w', 'ssh'] })
  assert.equal(code, 3)
  assert.match(err, /wrong passphrase of ~\/\.ssh\/id_ed25519, 3 times/)
  const none = await fairway(['get', 'A'], { typed: [''] })
  assert.equal(none.code, 3)
  assert.match(none.err, /the passphrase of ~\/\.ssh\/id_ed25519 was not given/)
  const interrupted = await fairway(['get', 'A'], { typed: ['ab\x03'] })
  assert.match(interrupted.err, /interrupted/)
  assert.notEqual(interrupted.code, 0)
})

test('a value from standard input stays whole: the terminal is asked', async () => {
  const io = ioAt(false)
  const [input, output] = [new PassThrough(), new PassThrough()]
  let closed = 0
  io.terminal = { input, output, close: () => closed++ }
  io.stdin.end('piped-value\n')
  const ended = main(['secrets', 'set', 'P=-'], io, testPrograms())
  await until('the question', () => output.readableLength > 0)
  assert.equal(String(output.read()), QUESTION)
  input.write(`${PASSPHRASE}\n`)
  assert.equal(await ended, 0, io.err)
  assert.equal(closed, 1)
  assert.equal((await fairway(['get', 'P'], { typed: [PASSPHRASE] })).out, 'piped-value\n')
})

test('without a terminal the error says what can be done, and nothing is written', async () => {
  const { code, err } = await fairway(['set', 'P=-'], { piped: `${PASSPHRASE}\n` })
  assert.equal(code, 3)
  assert.match(err, /~\/\.ssh\/id_ed25519 has a passphrase, and there is no terminal to ask for it/)
  assert.match(err, /SOPS_AGE_SSH_PRIVATE_KEY_CMD can give an open copy, and an age key does/)
  assert.equal((await fairway(['get', 'P'], { typed: [PASSPHRASE] })).out, 'piped-value\n')
})
