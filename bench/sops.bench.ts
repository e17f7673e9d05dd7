import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { minimalEnv, run as runProgram } from '../src/lib/process.ts'
import { ageIdentities } from '../src/sops/keys/age.ts'
import { formatOf } from '../src/sops/format-of.ts'
import { DEFAULT_SELECTOR } from '../src/sops/selector.ts'
import { decryptFile, encryptAgain, encryptFile } from '../src/sops/sops-file.ts'
import { build, BUILDS, cacheFolder } from '../test/cluster/builds.ts'
import { median, row, type Bench, type BenchResult } from './result.ts'

const KEYS = 1000
const RUNS = 15

export const bench: Bench = {
  name: 'sops',
  summary:
    'decrypt and re-encrypt a YAML file of 1,000 values; read one value by the command, beside sops',
  needs: 'Go, for the real sops',
  run,
}

async function run({ say }: { readonly say: (line: string) => void }): Promise<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-bench-sops-'))
  try {
    const sops = await build(BUILDS.sops, cacheFolder(process.env), say)
    const identity = await generateX25519Identity()
    const format = formatOf('x.yaml')
    const sources = { now: () => Date.now(), random: randomBytes }
    const plain = Array.from(
      { length: KEYS },
      (_, index) => `key_${index}: value number ${index}\n`,
    ).join('')
    const age = { type: 'age' as const, id: await identityToRecipient(identity) }
    const rule = {
      groups: [[age]],
      threshold: 0,
      selector: DEFAULT_SELECTOR,
      macOnlyEncrypted: false,
    }
    const encrypted = await encryptFile(format, plain, rule, sources)
    const path = join(folder, 'secrets.yaml')
    await writeFile(path, encrypted)
    const identities = ageIdentities(identity)
    const inProcess = await times(async () => {
      const file = await decryptFile(format, encrypted, identities)
      await encryptAgain(format, file.text.replace('value number 7\n', 'changed\n'), file, sources)
    })
    const env = { ...minimalEnv(), SOPS_AGE_KEY: identity }
    const fairway = resolve(import.meta.dirname, '../bin/fairway')
    const ours = await times(() =>
      runProgram(fairway, ['secrets', 'get', 'key_7', '--file', path], { env }),
    )
    const theirs = await times(() =>
      runProgram(join(sops.folder, 'sops'), ['decrypt', '--extract', '["key_7"]', path], { env }),
    )
    return {
      name: 'sops',
      results: [
        row('decrypt and re-encrypt 1,000 values in one process, median', 'ms', inProcess),
        row('command that reads one of 1,000 values, median', 'ms', ours, {
          theirs,
          against: `sops ${sops.version}`,
        }),
      ],
      notes: [`${RUNS} runs each after ${RUNS} to warm up; one value changes, one age recipient.`],
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function times(step: () => Promise<unknown>): Promise<number> {
  const took: number[] = []
  for (let index = 0; index < 2 * RUNS; index++) {
    const startedAt = performance.now()
    await step()
    if (index >= RUNS) took.push(performance.now() - startedAt)
  }
  return median(took)
}
