/** Passphrases of ssh keys, asked for by the program itself at a real terminal (script(1) makes one). */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { minimalEnv, ProgramError, runToEnd } from '../src/lib/process.ts'
import { startInTerminal } from '../src/lib/terminal.ts'
import { until } from './fakes/until.ts'
import { ED25519_LINE, ED25519_LOCKED, PASSPHRASE } from './locked-ssh-keys.ts'

const PROGRAM = [process.execPath, resolve(import.meta.dirname, '../src/bin/cli.ts')] as const
const QUESTION = 'Passphrase of ~/.ssh/id_ed25519: '

describe('a passphrase at a terminal', { skip: await lacks('script', 'setsid') }, () => {
  let folder = ''
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fairway-terminal-'))
    await mkdir(join(folder, '.ssh'))
    const key = ED25519_LOCKED['aes256-ctr'] ?? ''
    await writeFile(join(folder, '.ssh/id_ed25519'), key, { mode: 0o600 })
    const rule = `creation_rules:\n  - path_regex: secrets\n    age: ${ED25519_LINE}\n`
    await writeFile(join(folder, '.sops.yaml'), rule)
    const made = await runToEnd(PROGRAM[0], [PROGRAM[1], 'secrets', 'set', 'A=one'], options())
    assert.equal(made.code, 0, made.stderr)
  })
  after(() => rm(folder, { recursive: true, force: true }))

  const options = () => ({ env: { ...minimalEnv(), HOME: folder }, cwd: folder })

  /** Runs it in a new terminal, and answers its question. */
  async function typed(words: readonly string[]): Promise<{ code: number | null; shown: string }> {
    const [program = '', ...args] = words
    const child = await startInTerminal(program, args, options())
    // With all that it said, which may come after its exit.
    const ended = new Promise<number | null>((done) => child.once('close', done))
    let shown = ''
    child.stdout?.on('data', (chunk: Buffer) => (shown += chunk.toString()))
    try {
      await until('the question', () => shown.includes(QUESTION), 60_000)
      child.stdin?.write(`${PASSPHRASE}\r`)
      return { code: await ended, shown }
    } finally {
      child.kill('SIGKILL')
    }
  }

  test('is not shown, and opens the file', async () => {
    const { code, shown } = await typed([...PROGRAM, 'secrets', 'get', 'A'])
    assert.equal(shown, `${QUESTION}\r\none\r\n`)
    assert.equal(code, 0)
  })

  test('leaves standard input to the value', async () => {
    const command = 'printf piped-value | exec "$@"'
    const set = await typed(['sh', '-c', command, 'sh', ...PROGRAM, 'secrets', 'set', 'P=-'])
    assert.equal(set.code, 0, set.shown)
    assert.equal(set.shown, `${QUESTION}\r\nWrote secrets.yaml.\r\n`)
    const got = await typed([...PROGRAM, 'secrets', 'get', 'P'])
    assert.equal(got.shown, `${QUESTION}\r\npiped-value\r\n`)
  })

  test('is missing in a process without one, which says so', async () => {
    const words = ['--wait', ...PROGRAM, 'secrets', 'get', 'A']
    const { code, stdout, stderr } = await runToEnd('setsid', words, options())
    assert.equal(code, 3)
    assert.equal(stdout, '')
    assert.match(stderr, /id_ed25519 has a passphrase, and there is no terminal to ask for it/)
  })
})

async function lacks(...programs: readonly string[]): Promise<string | false> {
  for (const program of programs) {
    try {
      await runToEnd(program, ['--version'])
    } catch (error) {
      if (error instanceof ProgramError) return `needs ${program}`
      throw error
    }
  }
  return false
}
