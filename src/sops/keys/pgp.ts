import type { Key, Message } from 'openpgp'
import { minimalEnv, ProgramError, runToEnd, type RunResult } from '../../lib/process.ts'
import type { MetadataObject } from '../document.ts'
import { SopsError } from '../sops-error.ts'
import type { KeyKind } from './key-kind.ts'
import { textField } from './key-names.ts'

export interface PgpSources {
  /** Armoured keys without passphrase, secret ones to open and public ones to wrap for; null where there is no such file. */
  readonly keys: () => Promise<string | null>
  /** The `gpg` program, which knows its agent and keyring; its environment (GNUPGHOME, GPG_TTY…). */
  readonly gpg: string
  readonly env: Readonly<Record<string, string | undefined>>
}

const TIMEOUT_MS = 120_000
/** What gpg and the agent's password prompt look at. */
const GPG_ENV = ['GNUPGHOME', 'GPG_TTY', 'TERM', 'DISPLAY', 'WAYLAND_DISPLAY', 'XAUTHORITY']

/** Keys of OpenPGP: from a file that was exported, else by `gpg` as sops does (pgp/keysource.go), where the secret key never leaves the agent. */
export function pgpKind(sources: PgpSources): KeyKind {
  return {
    type: 'pgp',
    wrap: async (names, bytes) => {
      const fp = fingerprintIn(names)
      const keys = await sources.keys()
      const enc = (await wrapByFile(keys, fp, bytes)) ?? (await wrapByGpg(sources, fp, bytes))
      return { enc }
    },
    unwrap: async (fields) => {
      const enc = textField(fields, 'enc')
      const keys = await sources.keys()
      return (await openByFile(keys, enc)) ?? openByGpg(sources, enc)
    },
  }
}

async function wrapByFile(keys: string | null, fp: string, bytes: Buffer): Promise<string | null> {
  if (keys === null) return null
  const openpgp = await import('openpgp')
  const all = await readKeys(keys)
  const recipient = all.find((key) => key.getFingerprint().toUpperCase().endsWith(fp))
  if (recipient === undefined) return null
  try {
    const message = await openpgp.createMessage({ binary: new Uint8Array(bytes) })
    // Its declarations lack the types of streams.
    const enc: unknown = await openpgp.encrypt({ message, encryptionKeys: recipient.toPublic() })
    return String(enc).replaceAll('\r\n', '\n')
  } catch (cause) {
    throw new SopsError('KEY_FAILED', `nothing can be encrypted for PGP ${fp}`, cause)
  }
}

async function openByFile(keys: string | null, enc: string): Promise<Buffer | null> {
  if (keys === null) return null
  const openpgp = await import('openpgp')
  const secret = (await readKeys(keys)).flatMap((key) => (key.isPrivate() ? [key] : []))
  const message = await readMessage(enc)
  const wanted = message.getEncryptionKeyIDs().map((id) => id.toHex())
  const fitting = secret.filter((key) => key.getKeyIDs().some((id) => wanted.includes(id.toHex())))
  if (fitting.length === 0) return null
  const open = fitting.filter((key) => key.isDecrypted())
  if (open.length === 0) {
    throw new SopsError(
      'UNSUPPORTED',
      'the PGP key of the key file has a passphrase; import it into gpg, whose agent asks for it',
    )
  }
  try {
    const opened: { readonly data: unknown } = await openpgp.decrypt({
      message,
      decryptionKeys: open,
      format: 'binary',
    })
    if (!(opened.data instanceof Uint8Array)) throw new Error('no bytes')
    return Buffer.from(opened.data)
  } catch (cause) {
    throw new SopsError('TAMPERED', 'a wrapped data key of PGP does not verify', cause)
  }
}

async function readKeys(armoured: string): Promise<readonly Key[]> {
  const openpgp = await import('openpgp')
  const blocks = armoured.match(/-----BEGIN PGP[\s\S]+?-----END PGP[^\n]+/g) ?? []
  try {
    const read = await Promise.all(blocks.map((armoredKeys) => openpgp.readKeys({ armoredKeys })))
    return read.flat()
  } catch (cause) {
    throw new SopsError('INVALID_KEY', 'the PGP key file holds no armoured keys', cause)
  }
}

async function readMessage(enc: string): Promise<Message<string>> {
  const { readMessage: read } = await import('openpgp')
  try {
    return await read({ armoredMessage: enc })
  } catch (cause) {
    throw new SopsError('INVALID_METADATA', 'sops.pgp.enc is no armoured message', cause)
  }
}

async function wrapByGpg(sources: PgpSources, fp: string, bytes: Buffer): Promise<string> {
  const args = ['--no-default-recipient', '--encrypt', '-a', '-r', fp]
  args.push('--trusted-key', fp.slice(-16), '--no-encrypt-to')
  const { result, output } = await gpg(sources, args, bytes)
  if (result.code === 0 && output.length > 0) return output.toString('latin1').trim()
  throw new SopsError('KEY_FAILED', `gpg does not encrypt for ${fp}${lastWords(result)}`)
}

async function openByGpg(sources: PgpSources, enc: string): Promise<Buffer | null> {
  const { result, output } = await gpg(sources, ['--decrypt'], enc)
  // An old gpg drops packets that it does not know and ends well with nothing.
  if (result.code === 0 && output.length > 0) return output
  if (/no secret key/i.test(result.stderr)) return null
  throw new SopsError('KEY_FAILED', `gpg does not decrypt${lastWords(result)}`)
}

async function gpg(
  { gpg: program, env }: PgpSources,
  args: readonly string[],
  input: Buffer | string,
): Promise<{ readonly result: RunResult; readonly output: Buffer }> {
  const chunks: Buffer[] = []
  const passed = GPG_ENV.flatMap((name) => {
    const value = env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  try {
    const result = await runToEnd(program, ['--batch', '--yes', ...args], {
      env: { ...minimalEnv(), ...homeOf(env), ...Object.fromEntries(passed) },
      input,
      timeoutMs: TIMEOUT_MS,
      onOutput: (chunk, stream) => {
        if (stream === 'stdout') chunks.push(chunk)
      },
    })
    return { result, output: Buffer.concat(chunks) }
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error
    const message = `keys of PGP need the program ${program}, or FAIRWAY_PGP_KEY_FILE`
    throw new SopsError('KEY_FAILED', message, error)
  }
}

function homeOf({ HOME }: PgpSources['env']): Record<string, string> {
  return HOME === undefined ? {} : { HOME }
}

function lastWords({ stderr, timedOut }: RunResult): string {
  if (timedOut) return ': it took too long'
  const said = stderr.trim().split('\n').at(-1) ?? ''
  return said === '' ? '' : `: ${said.replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, 200)}`
}

/** A file's fingerprint becomes an argument of gpg. */
function fingerprintIn(names: MetadataObject): string {
  const fp = textField(names, 'fp').toUpperCase()
  if (/^[0-9A-F]{16,64}$/.test(fp)) return fp
  throw new SopsError('INVALID_KEY', `${JSON.stringify(fp.slice(0, 80))} is no PGP fingerprint`)
}
