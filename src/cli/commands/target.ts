import { resolve } from 'node:path'
import type { NewTargetBody, TargetBody } from '../../contract/target.ts'
import { FairwayError } from '../../model/errors.ts'
import { parseMetricsUrl } from '../../model/metrics-url.ts'
import { parseTargetName } from '../../model/names.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { readLine } from '../prompt.ts'
import { ageText } from '../quantity.ts'
import { subcommand } from '../subcommand.ts'
import { tableLines } from '../table.ts'
import { printable } from '../text-width.ts'
import { replaceAccessKey, targetAccess } from './target-access.ts'

export const target: Command = {
  name: 'target',
  summary: 'add, list and remove clusters that apps are deployed to',
  usage: 'add|list|remove|access',
  details: [
    'An environment names its target in the app file: `environments: { production: { target: prod } }`; without one it runs on the server’s own machine.',
    '`add` sends one context of the kubeconfig with the certificates and tokens that it names; a user that logs in by a program cannot be used. The cluster’s nodes need a registry: --registry is one of yours to which images are pushed, --pull-from the address under which the nodes reach the registry of this server.',
    'Whoever may read Secrets of an app’s namespace finds the login with which its images are pulled: give nodes one of their own that cannot push, --pull-username. Several secrets from standard input are a line each: push, pull, metrics.',
    '`--metrics` is the URL of a Prometheus, or of anything that speaks its HTTP API, that knows of the cluster’s requests: `deploy.analysis` of a canary is judged by it. The server asks it, so it must reach it.',
  ],
  examples: [
    'fairway target add prod --kubeconfig ~/.kube/config --context prod --registry registry.example.com/team --registry-user ci --registry-password -',
    'fairway target add prod --registry registry.example.com/team --registry-user ci --registry-password - --pull-username reader --pull-password - < two-lines',
    'fairway target add lab --kubeconfig lab.yaml --pull-from 10.0.0.5:7070',
    'fairway target add prod --pull-from 10.0.0.5:7070 --server-url https://10.0.0.5:7443',
    'fairway target add prod --metrics https://prometheus.example.com/ --metrics-token -',
    'fairway target access prod --way issuer --files ./api-server',
    'fairway target access --new-key',
    'fairway target list',
    'fairway target remove prod',
  ],
  options: [
    {
      name: 'kubeconfig',
      value: 'FILE',
      summary: 'add: kubeconfig (default: KUBECONFIG, else ~/.kube/config)',
    },
    { name: 'context', value: 'NAME', summary: 'add: its context (default: current-context)' },
    { name: 'registry', value: 'HOST/PATH', summary: 'add: push images there' },
    { name: 'registry-user', value: 'NAME', summary: 'add: user of that registry' },
    {
      name: 'registry-password',
      value: '-',
      summary: 'add: its password; - reads it from standard input',
    },
    {
      name: 'pull-username',
      value: 'NAME',
      summary: 'add: user of that registry with whom nodes pull (default: the one that pushes)',
    },
    {
      name: 'pull-password',
      value: '-',
      summary: 'add: its password; - reads it from standard input, after the other one',
    },
    {
      name: 'pull-from',
      value: 'HOST:PORT',
      summary: 'add: how the nodes reach this server’s registry',
    },
    { name: 'metrics', value: 'URL', summary: 'add: Prometheus by which canaries are judged' },
    {
      name: 'metrics-token',
      value: '-',
      summary: 'add: bearer token for it; - reads it from standard input',
    },
    {
      name: 'server-url',
      value: 'URL',
      summary:
        'add: how its pods reach this server for their secrets (default: FAIRWAY_ACCESS_URL)',
    },
    { name: 'way', value: 'WAY', summary: 'access: proxy, issuer, webhook or off' },
    {
      name: 'files',
      value: 'DIR',
      summary: 'access: write what kube-apiserver needs for issuer or webhook there',
    },
    {
      name: 'new-key',
      summary: 'access, without a name: sign with a new key alone, for all clusters',
    },
  ],
  subcommands: [
    { name: 'add', usage: 'NAME', summary: 'add a cluster, or give a known one new credentials' },
    { name: 'list', usage: '', summary: 'list clusters' },
    { name: 'remove', usage: 'NAME', summary: 'forget a cluster on which no app runs' },
    { name: 'access', usage: '[NAME]', summary: 'choose how people’s kubectl gets into a cluster' },
  ],
  positionals: { min: 1, max: 2 },
  run,
}

async function run(context: Context): Promise<number> {
  const { name, words } = subcommand(target, context.args)
  if (name === 'list') return show(context, await context.client().listTargets())
  const [word, extra] = words
  if (context.args.flag('new-key')) {
    if (name === 'access' && word === undefined) return replaceAccessKey(context)
    throw new FairwayError('INVALID_REQUEST', '--new-key is for `target access` without a name')
  }
  if (word === undefined || extra !== undefined) {
    throw new FairwayError('INVALID_REQUEST', `target ${name} needs one name`)
  }
  const wanted = parseTargetName(word)
  if (name === 'access') return targetAccess(context, wanted)
  return name === 'add' ? add(context, wanted) : remove(context, wanted)
}

async function add(context: Context, name: string): Promise<number> {
  const { args, out, io } = context
  const { readKubeconfig } = await import('../kubeconfig.ts')
  const file = resolve(io.cwd, args.value('kubeconfig') ?? defaultKubeconfig(context))
  const one = readKubeconfig(file, args.value('context') ?? null)
  const registry = await registryOf(context)
  const metrics = await metricsOf(context)
  const added = await context.client({ timeoutMs: 60_000 }).putTarget(name, {
    kubeconfig: one.text,
    context: one.context,
    registry,
    metrics,
    serverUrl: args.value('server-url') ?? null,
  })
  if (out.json) out.object(added)
  else {
    out.note(`${name} is ${added.server}, context ${one.context}.`)
    if (metrics !== null) out.note(`Canaries are judged by ${added.metrics ?? metrics.url}.`)
    if (registry === null)
      out.note('Without --registry or --pull-from its nodes can pull public images only.')
    out.note(`\`fairway doctor --target ${name}\` says what it has and lacks.`)
  }
  return 0
}

async function remove(context: Context, name: string): Promise<number> {
  await context.client().removeTarget(name)
  if (context.out.json) context.out.object({ removed: name })
  else context.out.note(`Removed ${name}; nothing on the cluster was changed.`)
  return 0
}

function show({ out, now }: Context, found: readonly TargetBody[]): number {
  if (out.json) {
    out.object({ targets: found })
    return 0
  }
  if (found.length === 0) out.note('No targets: apps run on the server’s machine.')
  const rows = found.map(({ name, server, context, registry, apps, createdAt }) => [
    name,
    printable(server, false),
    printable(context ?? '', false),
    printable(registry ?? '', false),
    String(apps.length),
    `${ageText(now - createdAt)} ago`,
  ])
  const header = ['NAME', 'SERVER', 'CONTEXT', 'REGISTRY', 'APPS', 'ADDED']
  if (rows.length > 0) for (const line of tableLines(header, rows, out.width)) out.line(line)
  return 0
}

async function registryOf(context: Context): Promise<NewTargetBody['registry']> {
  const { args } = context
  const [push, pull] = [args.value('registry'), args.value('pull-from')]
  if (push !== undefined && pull !== undefined) {
    throw new FairwayError('INVALID_REQUEST', 'either --registry or --pull-from, not both')
  }
  const name = push ?? pull
  if (name === undefined) return null
  const user = args.value('registry-user') ?? null
  if (push === undefined && user !== null) {
    throw new FairwayError('INVALID_REQUEST', '--registry-user belongs to --registry')
  }
  const own = { name, push: push !== undefined, user, password: await password(context, user) }
  return { ...own, pull: await pullLogin(context, user) }
}

/** Nodes and app namespaces get this one; without it the one that pushes. */
async function pullLogin(
  context: Context,
  pusher: string | null,
): Promise<NonNullable<NewTargetBody['registry']>['pull']> {
  const user = context.args.value('pull-username')
  if (user === undefined) {
    if (context.args.value('pull-password') === undefined) return null
    throw new FairwayError('INVALID_REQUEST', '--pull-password belongs to --pull-username')
  }
  if (pusher === null)
    throw new FairwayError('INVALID_REQUEST', '--pull-username belongs to --registry-user')
  const question = 'Password with which nodes pull: '
  return { user, password: await secret(context, 'pull-password', 'password', question) }
}

async function metricsOf(context: Context): Promise<NonNullable<NewTargetBody['metrics']> | null> {
  const { args } = context
  const [given, token] = [args.value('metrics'), args.value('metrics-token')]
  if (given === undefined) {
    if (token === undefined) return null
    throw new FairwayError('INVALID_REQUEST', '--metrics-token belongs to --metrics')
  }
  const url = parseMetricsUrl(given)
  if (token === undefined) return { url, token: null }
  return { url, token: await secret(context, 'metrics-token', 'token', 'Token for the metrics: ') }
}

async function password(context: Context, user: string | null): Promise<string | null> {
  if (context.args.value('registry-password') === undefined && user === null) return null
  return secret(context, 'registry-password', 'password', 'Password of the registry: ')
}

/** From standard input, whatever the option says. */
async function secret(
  { args, io }: Context,
  option: string,
  noun: string,
  question: string,
): Promise<string> {
  const given = args.value(option)
  if (given !== undefined && given !== '-') {
    throw new FairwayError('INVALID_REQUEST', `a ${noun} stands in no command line`, {
      hint: `Give \`--${option} -\` and the ${noun} on standard input.`,
    })
  }
  const asked = io.stdin.isTTY === true ? question : ''
  const line = (await readLine(io, asked, { hidden: true })).trim()
  if (line !== '') return line
  throw new FairwayError('INVALID_REQUEST', `no ${noun} was given`)
}

function defaultKubeconfig({ io }: Context): string {
  const named = io.env['KUBECONFIG']
  return named === undefined || named === '' ? `${io.home}/.kube/config` : named
}
