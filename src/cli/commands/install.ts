import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { FairwayError } from '../../model/errors.ts'
import { parseTargetName } from '../../model/names.ts'
import type { InstallBody, InstalledBody } from '../../contract/target.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { readLine } from '../prompt.ts'
import { givenText, readServerSettings } from '../settings-file.ts'

const NAMESPACE = 'fairway-system'
const REGISTRY_PORT = '30500'
const FILE = 'fairway.yaml'

export const install: Command = {
  name: 'install',
  summary: 'put the control plane itself on a cluster',
  usage: '',
  details: [
    'Bakes this server into an image, delivers it to the registry of the target and applies two servers of which one decides and one stands by. The new control plane has its own apps, users and releases; this one stays as it is. Doing it again brings it to the version of this server.',
    'Its records need a PostgreSQL: --database names yours (- reads the URL from standard input, for it holds a password), --with-postgres starts one instance on one disk, without backups.',
    'The user of the target’s kubeconfig must be allowed to give the rights that the control plane needs; --dry-run shows them.',
  ],
  examples: [
    'fairway install --target prod --database - < database-url',
    'fairway install --target lab --with-postgres --node-port 30700 --host 10.0.0.11',
    'fairway install --target prod --with-postgres --dry-run -o manifests',
    'fairway install --target prod --database - --settings server.env < database-url',
    'fairway install --target prod --database - --notices aws < database-url',
  ],
  options: [
    { name: 'target', value: 'NAME', summary: 'the cluster' },
    {
      name: 'database',
      value: 'URL',
      summary: 'PostgreSQL that pods of the cluster reach; - reads it from standard input',
    },
    { name: 'with-postgres', summary: 'one PostgreSQL on the cluster itself' },
    { name: 'namespace', value: 'NAME', summary: `where to (default: ${NAMESPACE})` },
    { name: 'host', value: 'NAMES', summary: 'names under which its API is called, with commas' },
    { name: 'node-port', value: 'N', summary: 'API at this port of every node too' },
    {
      name: 'access-node-port',
      value: 'N',
      summary: 'kubectl’s way in at this port of every node, called by the first --host',
    },
    {
      name: 'registry-port',
      value: 'N',
      summary: `port of every node for its registry, where the target has none to push to (default: ${REGISTRY_PORT})`,
    },
    {
      name: 'npm-registry',
      value: 'URL',
      summary: 'where builds there get npm packages (default: where this server gets its own)',
    },
    {
      name: 'pip-index',
      value: 'URL',
      summary: 'where they get Python packages (default: as above)',
    },
    {
      name: 'apt-sources',
      value: 'FILE',
      summary:
        'where they get Debian packages, as sources.list(5) (default: the sources of this server’s host)',
    },
    {
      name: 'settings',
      value: 'FILE',
      summary:
        'NAME=VALUE lines: login, Vault, keys of environments (FAIRWAY_OIDC_…, FAIRWAY_VAULT_…, FAIRWAY_SECRETS_KEYS…)',
    },
    {
      name: 'notices',
      value: 'aws',
      summary: 'a program on every node that reports what the provider announces for it',
    },
    {
      name: 'metadata-url',
      value: 'URL',
      summary: 'with --notices: where the provider’s metadata service answers, if elsewhere',
    },
    { name: 'dry-run', summary: 'change nothing, write the manifests' },
    { name: 'output', short: 'o', value: 'DIR', summary: 'with --dry-run: folder to write to' },
  ],
  positionals: { min: 0, max: 0 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const target = args.value('target')
  if (target === undefined) throw new FairwayError('INVALID_REQUEST', 'install needs --target NAME')
  const dryRun = args.flag('dry-run')
  const namespace = args.value('namespace') ?? NAMESPACE
  const database = await databaseUrl(context)
  if (!out.json) out.note('Bakes the image, which takes a minute the first time…')
  const nodePort = args.value('node-port')
  const done = await context.client().installPlatform(parseTargetName(target), {
    namespace,
    database,
    hosts: (args.value('host') ?? '').split(',').filter((name) => name !== ''),
    nodePort: nodePort === undefined ? null : Number(nodePort),
    accessNodePort: accessNodePort(context),
    registryPort: Number(args.value('registry-port') ?? REGISTRY_PORT),
    npmRegistry: args.value('npm-registry') ?? null,
    pipIndex: args.value('pip-index') ?? null,
    aptSources: aptSources(context),
    settings: settingsOf(context),
    notices: noticesOf(context),
    dryRun,
  })
  if (dryRun) return show(context, done)
  if (out.json) out.object({ ...done, manifests: undefined })
  else tell(context, done, { target, namespace, nodePort })
  return 0
}

function accessNodePort({ args }: Context): number | null {
  const given = args.value('access-node-port')
  if (given === undefined) return null
  if (args.value('host') !== undefined) return Number(given)
  throw new FairwayError('INVALID_REQUEST', '--access-node-port needs --host', {
    hint: 'Kubeconfigs name it: the address of a node, or a name that leads to one.',
  })
}

function settingsOf({ args, io }: Context): InstallBody['settings'] {
  const file = args.value('settings')
  return file === undefined ? null : readServerSettings(file, io.cwd)
}

function aptSources({ args, io }: Context): string | null {
  const file = args.value('apt-sources')
  return file === undefined ? null : givenText(resolve(io.cwd, file), file)
}

function noticesOf({ args }: Context): InstallBody['notices'] {
  const source = args.value('notices')
  const metadataUrl = args.value('metadata-url') ?? null
  if (source === undefined && metadataUrl === null) return null
  if (source !== 'aws') throw new FairwayError('INVALID_REQUEST', '--notices knows one source: aws')
  return { source, metadataUrl }
}

function tell(
  { out }: Context,
  { active, claim, image, notes }: InstalledBody,
  at: {
    readonly target: string
    readonly namespace: string
    readonly nodePort: string | undefined
  },
): void {
  out.note(`The control plane runs on ${at.target}: ${active ?? ''} is active, another stands by.`)
  out.note(`image ${image}`)
  for (const note of notes) out.note(note)
  const url = at.nodePort === undefined ? 'http://127.0.0.1:7070' : `http://NODE:${at.nodePort}`
  if (at.nodePort === undefined)
    out.note(`Reach it: kubectl -n ${at.namespace} port-forward service/fairway 7070:7070`)
  if (claim === null) out.note(`It has been claimed: fairway login ${url} --token TOKEN`)
  else out.line(`fairway login ${url} --claim ${claim}`)
}

function show({ args, out, io }: Context, { manifests, notes }: InstalledBody): number {
  const folder = args.value('output')
  if (folder === undefined) {
    if (out.json) out.object({ manifests })
    else out.line(manifests.trimEnd())
    return 0
  }
  const full = resolve(io.cwd, folder)
  mkdirSync(full, { recursive: true })
  // Passwords of its database and registry are in it.
  writeFileSync(join(full, FILE), manifests, { mode: 0o600 })
  if (out.json) out.object({ folder: full, files: [FILE] })
  else out.line(join(folder, FILE))
  for (const note of notes) out.note(note)
  return 0
}

async function databaseUrl({ args, io }: Context): Promise<string | null> {
  const given = args.value('database')
  if ((given === undefined) === !args.flag('with-postgres'))
    throw new FairwayError('INVALID_REQUEST', 'install needs either --database or --with-postgres')
  if (given !== '-') return given ?? null
  const question = io.stdin.isTTY === true ? 'URL of the database: ' : ''
  return (await readLine(io, question, { hidden: true })).trim()
}
