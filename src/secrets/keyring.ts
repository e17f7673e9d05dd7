import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfExists } from '../lib/atomic-file.ts'
import { minimalEnv, ProgramError, run } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'
import { ageKind } from '../sops/keys/age.ts'
import type { KeyFetch, KeyKind, KeySurroundings } from '../sops/keys/key-kind.ts'
import type { KeyType } from '../sops/metadata.ts'
import type { AskPassphrase, SshKeyFile } from '../sops/keys/ssh-identities.ts'
import { SopsError } from '../sops/sops-error.ts'

export interface Home {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly home: string
  /** Asks the services that keep keys. */
  readonly fetch: KeyFetch
  /** Milliseconds since 1970. */
  readonly now: () => number
}

export interface Person extends Home {
  /** Asks for the passphrase of a private key of ssh; absent: there is nobody to ask. */
  readonly passphrase?: AskPassphrase
}

/**
 * All kinds of keys as this user has them, in the order of SOPS_DECRYPTION_ORDER, else first those that need nobody's password and no network. Nothing is read, started or asked before a file needs it,
 * and a passphrase is asked for once as long as these are the same.
 * @throws FairwayError INVALID_REQUEST for another kind in that order
 */
export function ownKeys(home: Person): readonly KeyKind[] {
  return inOrder(home.env['SOPS_DECRYPTION_ORDER'] ?? '', [
    ageKind({
      identities: (recipient) => ageIdentities(home, recipient),
      sshKeys: (recipient) => sshKeys(home, recipient),
      passphrase: home.passphrase ?? (() => Promise.resolve(null)),
    }),
    lazy('pgp', async () => (await import('../sops/keys/pgp.ts')).pgpKind(pgpSources(home))),
    lazy('hc_vault', async () => (await import('../sops/keys/vault.ts')).vaultKind(home)),
    ...cloudKeys(home),
  ])
}

/** Those that are named come first. */
function inOrder(order: string, kinds: readonly KeyKind[]): readonly KeyKind[] {
  const names = order.split(',').flatMap((name) => (name.trim() === '' ? [] : [name.trim()]))
  const first = names.map((name, index) => {
    const kind = kinds.find(({ type }) => type === name)
    if (kind !== undefined && names.indexOf(name) === index) return kind
    const known = kinds.map(({ type }) => type).join(', ')
    throw new FairwayError(
      'INVALID_REQUEST',
      `SOPS_DECRYPTION_ORDER: expected each of ${known} at most once, with commas between, found ${JSON.stringify(name.slice(0, 40))}`,
    )
  })
  return [...first, ...kinds.filter((kind) => !first.includes(kind))]
}

/** Keys of AWS, GCP and Azure, with the credentials that this environment leads to. */
export function cloudKeys(home: Home): readonly KeyKind[] {
  return [
    lazy('kms', async () => (await import('../sops/keys/aws-kms.ts')).awsKmsKind(home)),
    lazy('gcp_kms', async () => (await import('../sops/keys/gcp-kms.ts')).gcpKmsKind(home)),
    lazy('azure_kv', async () => (await import('../sops/keys/azure.ts')).azureKind(home)),
  ]
}

/** Most files need one kind: the others are not even loaded. */
function lazy(type: KeyType, load: () => Promise<KeyKind>): KeyKind {
  return {
    type,
    wrap: async (names, bytes) => (await load()).wrap(names, bytes),
    unwrap: async (fields) => (await load()).unwrap(fields),
  }
}

/** From where sops looks: SOPS_AGE_KEY, SOPS_AGE_KEY_FILE, SOPS_AGE_KEY_CMD, `sops/age/keys.txt` of the configuration folder. */
async function ageIdentities({ env, home }: Home, recipient: string): Promise<string> {
  const file = env['SOPS_AGE_KEY_FILE'] ?? ''
  const command = env['SOPS_AGE_KEY_CMD'] ?? ''
  const folder = env['XDG_CONFIG_HOME'] ?? join(home, '.config')
  const texts = [
    env['SOPS_AGE_KEY'],
    file === '' ? null : await readFile(file, 'utf8'),
    command === '' ? null : await outputOf('SOPS_AGE_KEY_CMD', { command, recipient, env }),
    await readIfExists(join(folder, 'sops', 'age', 'keys.txt')),
  ]
  return texts.filter((text) => typeof text === 'string').join('\n')
}

/** SOPS_AGE_SSH_PRIVATE_KEY_FILE, SOPS_AGE_SSH_PRIVATE_KEY_CMD and the keys that ssh itself takes. */
async function sshKeys({ env, home }: Home, recipient: string): Promise<readonly SshKeyFile[]> {
  const file = env['SOPS_AGE_SSH_PRIVATE_KEY_FILE'] ?? ''
  const command = env['SOPS_AGE_SSH_PRIVATE_KEY_CMD'] ?? ''
  const name = 'SOPS_AGE_SSH_PRIVATE_KEY_CMD'
  const printed = command === '' ? null : await outputOf(name, { command, recipient, env })
  const files = [
    file === '' ? null : sshKey(home, file, await readFile(file, 'utf8')),
    printed === null
      ? null
      : { name: `the key of ${name}`, text: printed, publicLine: () => Promise.resolve(null) },
    ...(await Promise.all(
      ['id_ed25519', 'id_rsa'].map(async (each) => {
        const path = join(home, '.ssh', each)
        const text = await readIfExists(path)
        return text === null ? null : sshKey(home, path, text)
      }),
    )),
  ]
  return files.filter((each) => each !== null)
}

function sshKey(home: string, path: string, text: string): SshKeyFile {
  return {
    name: path.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path,
    text,
    publicLine: () => readIfExists(`${path}.pub`),
  }
}

/** Runs the user's own command: words, with quotes, and no shell. It is told which recipient is asked for. @throws SopsError KEY_FAILED */
async function outputOf(
  name: string,
  { command, recipient, env }: { command: string; recipient: string; env: Home['env'] },
): Promise<string> {
  const [program, ...args] = wordsOf(command)
  if (program === undefined) throw new SopsError('KEY_FAILED', `${name} names no program`)
  const own = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  )
  try {
    return await run(program, args, {
      env: { ...minimalEnv(), ...Object.fromEntries(own), SOPS_AGE_RECIPIENT: recipient },
      timeoutMs: 120_000,
    })
  } catch (cause) {
    if (!(cause instanceof ProgramError)) throw cause
    // What it printed may be a key.
    throw new SopsError('KEY_FAILED', `the program of ${name} failed`)
  }
}

/** Words of a command line: `'…'` and `"…"` keep spaces, `\` the next character. */
function wordsOf(command: string): string[] {
  return [...command.matchAll(/(?:\\[\s\S]|'[^']*'|"(?:\\[\s\S]|[^"\\])*"|[^\s'"\\])+/g)].map(
    ([word]) =>
      word.replaceAll(
        /\\([\s\S])|'([^']*)'|"((?:\\[\s\S]|[^"\\])*)"/g,
        (_all, escaped?: string, single?: string, double?: string) =>
          escaped ?? single ?? (double ?? '').replaceAll(/\\(["\\$`])/g, '$1'),
      ),
  )
}

function pgpSources({ env }: Home): {
  readonly keys: () => Promise<string | null>
  readonly gpg: string
  readonly env: KeySurroundings['env']
} {
  const file = env['FAIRWAY_PGP_KEY_FILE'] ?? ''
  const program = env['SOPS_GPG_EXEC'] ?? ''
  return {
    keys: async () => (file === '' ? null : readFile(file, 'utf8')),
    gpg: program === '' ? 'gpg' : program,
    env,
  }
}
