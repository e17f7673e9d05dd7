import { relative, resolve } from 'node:path'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { start, runToEnd, minimalEnv } from '../../lib/process.ts'
import { FairwayError } from '../../model/errors.ts'
import { ownKeys } from '../../secrets/keyring.ts'
import { SecretFile, type Outside } from '../../secrets/secret-file.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { standardInput } from '../standard-input.ts'
import { subcommand } from '../subcommand.ts'
import { tableLines } from '../table.ts'
import { printable } from '../text-width.ts'

export const secrets: Command = {
  name: 'secrets',
  summary: 'edit, read and check encrypted files of this repository (SOPS)',
  usage: 'edit|set|unset|get|list|rotate|recipients|diff|key|push',
  details: [
    'Files are those of SOPS: the `sops` program reads what this writes, and the other way round. Only encrypted files are sent to a server, by `deploy` and `push`. Only `get` and `edit` show values. `.sops.yaml` says who may read a new file and which values are encrypted; keys are those of age and ssh, PGP, AWS KMS, GCP KMS, Azure Key Vault and Vault (docs/secrets.md says where each is looked for).',
    '`NAME=-` reads the value from standard input, so that it stands in no command line. A new key leaves the values as they are: after removing a recipient, change the values too.',
  ],
  examples: [
    'fairway secrets edit --file secrets.production.yaml',
    'pass show shop/api-key | fairway secrets set API_KEY=- --env production',
    'fairway secrets get database.password',
    'fairway secrets recipients add age1…',
    'fairway secrets recipients add --env production',
    'fairway secrets push --env production',
    'fairway secrets rotate-generated SESSION_KEY --env production',
    'fairway secrets recipients add https://vault.example.com/v1/transit/keys/shop',
    'fairway secrets --check',
  ],
  options: [
    {
      name: 'file',
      value: 'FILE',
      summary: 'default: secrets.ENV.yaml (or .json, .env, .ini), else secrets.yaml',
    },
    {
      name: 'check',
      summary: 'find values in clear where .sops.yaml says encrypted, for a pre-commit hook',
    },
  ],
  subcommands: [
    { name: 'edit', usage: '', summary: 'open the file in $EDITOR, in memory only' },
    { name: 'set', usage: 'NAME=VALUE…', summary: 'set values as text' },
    { name: 'unset', usage: 'NAME…', summary: 'remove values' },
    { name: 'get', usage: 'NAME', summary: 'print one value' },
    { name: 'list', usage: '', summary: 'list names' },
    { name: 'rotate', usage: '', summary: 'encrypt everything under a new data key' },
    {
      name: 'recipients',
      usage: '[add|remove RECIPIENT…]',
      summary: 'list, add or remove who may read; add without one: the environment',
    },
    {
      name: 'key',
      usage: '',
      summary: 'print the public key of the environment, for .sops.yaml',
    },
    {
      name: 'push',
      usage: '',
      summary: 'give what runs the files as they are now, without a bake',
    },
    {
      name: 'rotate-generated',
      usage: '[NAME…]',
      summary: 'make new values in the place of those that the platform generated, or of some',
    },
    {
      name: 'diff',
      usage: '[OLDER-FILE]',
      summary: 'what changed, by name, since HEAD or another file',
    },
  ],
  positionals: { min: 0, max: Infinity },
  run,
}

async function run(context: Context): Promise<number> {
  if (context.args.flag('check')) return check(context)
  const { name, words } = subcommand(secrets, context.args)
  const path = fileOf(context)
  switch (name) {
    case 'edit':
      return edit(context, path)
    case 'set':
      return set(context, path, words)
    case 'unset':
      return unset(context, path, words)
    case 'get':
      return get(context, path, words)
    case 'list':
      return list(context, path)
    case 'rotate':
      return rotate(context, path)
    case 'key':
      return (await withServer()).printKey(context)
    case 'push':
      return (await withServer()).push(context, words)
    case 'rotate-generated':
      return (await withServer()).rotateGenerated(context, words)
    case 'recipients':
      return recipients(context, path, words)
    default:
      return diff(context, path, words)
  }
}

/** What speaks to a server is loaded by the commands that do. */
const withServer = () => import('./secrets-environment.ts')

function fileOf({ args, io }: Context): string {
  const given = args.value('file')
  if (given !== undefined) return resolve(io.cwd, given)
  const named = args.value('env')
  const stems = named === undefined ? ['secrets', 'secrets.production'] : [`secrets.${named}`]
  const names = stems.flatMap((stem) =>
    ['yaml', 'yml', 'json', 'env', 'ini'].map((end) => `${stem}.${end}`),
  )
  return resolve(io.cwd, names.find((name) => existsSync(resolve(io.cwd, name))) ?? names[0] ?? '')
}

function outside({ io }: Context): Outside {
  const now = (): number => io.clock.now()
  const keys = ownKeys({
    ...{ env: io.env, home: io.home, now },
    fetch: (url, init) => fetch(url, init),
    passphrase: async (keyName) =>
      (await import('../ask-passphrase.ts')).askPassphrase(io, keyName),
  })
  return { now, random: randomBytes, keys }
}

async function edit(context: Context, path: string): Promise<number> {
  const { io } = context
  const file = await SecretFile.openOrNew(path, outside(context))
  const [editor = 'vi', ...options] = (io.env['VISUAL'] ?? io.env['EDITOR'] ?? 'vi')
    .trim()
    .split(/\s+/)
  const before = { path, text: file.text, encoding: file.encoding }
  const { withPrivateCopy } = await import('../../secrets/private-copy.ts')
  const text = await withPrivateCopy(before, io, async (copy) => {
    const child = await start(editor, [...options, copy], {
      env: editorEnv(io.env),
      stdio: 'inherit',
      cwd: io.cwd,
    })
    const code = await new Promise<number | null>((done) => child.once('exit', done))
    if (code !== 0)
      throw new FairwayError(
        'COMMAND_FAILED',
        `${editor} ended with ${String(code)}; ${shown(context, path)} is as it was`,
      )
  })
  file.replace(text)
  return report(context, path, await file.save())
}

/** The editor gets the user's environment, without the keys. */
function editorEnv(env: Context['io']['env']): Record<string, string> {
  const kept = Object.entries(env).flatMap(([name, value]) =>
    value === undefined || name.startsWith('SOPS_') ? [] : [[name, value] as const],
  )
  return { ...minimalEnv(), ...Object.fromEntries(kept) }
}

async function set(context: Context, path: string, words: readonly string[]): Promise<number> {
  if (words.length === 0) throw new FairwayError('INVALID_REQUEST', 'secrets set needs NAME=VALUE')
  const file = await SecretFile.openOrNew(path, outside(context))
  for (const word of words) {
    const equals = word.indexOf('=')
    // The word may be a value that was meant for standard input: it is not repeated.
    if (equals <= 0)
      throw new FairwayError('INVALID_REQUEST', 'secrets set needs NAME=VALUE or NAME=-')
    const value = word.slice(equals + 1)
    await file.set(
      word.slice(0, equals),
      value === '-' ? await standardInput(context.io.stdin) : value,
    )
  }
  return report(context, path, await file.save())
}

async function unset(context: Context, path: string, words: readonly string[]): Promise<number> {
  if (words.length === 0) throw new FairwayError('INVALID_REQUEST', 'secrets unset needs a name')
  const file = await SecretFile.open(path, outside(context))
  for (const word of words) await file.unset(word)
  return report(context, path, await file.save())
}

async function get(context: Context, path: string, words: readonly string[]): Promise<number> {
  const [name, extra] = words
  if (name === undefined || extra !== undefined)
    throw new FairwayError('INVALID_REQUEST', 'secrets get needs one name')
  const value = await (await SecretFile.open(path, outside(context))).value(name)
  if (context.out.json) context.out.object({ name, value: value.toString('utf8') })
  else
    context.io.stdout.write(
      context.out.isTTY ? `${printable(value.toString('utf8'), false)}\n` : value,
    )
  return 0
}

async function list(context: Context, path: string): Promise<number> {
  const names = await (await SecretFile.open(path, outside(context))).names()
  if (context.out.json) {
    context.out.object({ names })
    return 0
  }
  const rows = names.map(({ name, type, encrypted }) => [
    printable(name, false),
    type,
    encrypted ? 'encrypted' : 'in clear',
  ])
  for (const line of tableLines(['NAME', 'TYPE', 'KEPT'], rows, context.out.width))
    context.out.line(line)
  return 0
}

async function rotate(context: Context, path: string): Promise<number> {
  await (await SecretFile.open(path, outside(context))).rotate()
  return report(context, path, true)
}

async function recipients(
  context: Context,
  path: string,
  words: readonly string[],
): Promise<number> {
  const file = await SecretFile.open(path, outside(context))
  const [verb, ...named] = words
  if (verb === undefined) {
    if (context.out.json) context.out.object({ recipients: file.recipients })
    else for (const { type, id } of file.recipients.flat()) context.out.line(`${type} ${id}`)
    return 0
  }
  const ids =
    verb === 'add' && named.length === 0
      ? [await (await withServer()).environmentRecipient(context)]
      : named
  if ((verb !== 'add' && verb !== 'remove') || ids.length === 0) {
    throw new FairwayError(
      'INVALID_REQUEST',
      'secrets recipients takes add or remove, and recipients',
    )
  }
  await file.changeRecipients(verb === 'add' ? ids : [], verb === 'remove' ? ids : [])
  if (verb === 'add' && named.length === 0) {
    const { ruleLine } = await import('../../secrets/rules.ts')
    context.out.note(
      `Let ${ids.join()} in. For new files add it to .sops.yaml too: ${await ruleLine(ids.join())}`,
    )
  }
  if (verb === 'remove')
    context.out.problem('Who was removed knows the values of before: change them.')
  return report(context, path, true)
}

async function diff(context: Context, path: string, words: readonly string[]): Promise<number> {
  const { out, io } = context
  const [other] = words
  const own = outside(context)
  const now = await SecretFile.open(path, own)
  const older =
    other === undefined
      ? await atHead(context, path, own)
      : await SecretFile.open(resolve(io.cwd, other), own)
  const changes = older === null ? [] : await now.changesSince(older)
  if (older === null) out.note(`${shown(context, path)} is not in HEAD.`)
  if (out.json) out.object({ changes })
  else for (const { name, kind } of changes) out.line(`${kind}: ${printable(name, false)}`)
  return 0
}

async function atHead(context: Context, path: string, own: Outside): Promise<SecretFile | null> {
  const { cwd } = context.io
  const spec = `HEAD:./${relative(cwd, path)}`
  const { code, stdout } = await runToEnd('git', ['show', spec], { cwd, maxOutput: 1 << 26 })
  return code === 0 ? SecretFile.read(path, Buffer.from(stdout), own) : null
}

async function check(context: Context): Promise<number> {
  const { args, io, out } = context
  const paths = args.positionals.length === 0 ? ['.'] : args.positionals
  const { findPlaintext } = await import('../../secrets/plaintext-check.ts')
  const found = await findPlaintext(paths.map((path) => resolve(io.cwd, path)))
  const plain = found.map(({ path, name }) => ({ path: shown(context, path), name }))
  if (out.json) out.object({ plain })
  for (const { path, name } of out.json ? [] : plain) {
    out.line(
      name === null
        ? `${path}: not encrypted`
        : `${path}: ${printable(name, false)} stands in clear`,
    )
  }
  return plain.length === 0 ? 0 : 1
}

function report(context: Context, path: string, changed: boolean): number {
  const file = shown(context, path)
  if (context.out.json) context.out.object({ file, changed })
  else context.out.note(changed ? `Wrote ${file}.` : `Nothing changed in ${file}.`)
  return 0
}

function shown({ io }: Context, path: string): string {
  return relative(io.cwd, path) || path
}
