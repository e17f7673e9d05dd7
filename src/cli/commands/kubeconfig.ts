import { resolve } from 'node:path'
import type { AccessTargetBody } from '../../contract/access-endpoints.ts'
import { FairwayError } from '../../model/errors.ts'
import { parseAppName, parseEnvironmentName, parseTargetName } from '../../model/names.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import type { Entries } from '../kubeconfig-entries.ts'
import { TARGET_OPTION } from '../target-option.ts'

export const kubeconfig: Command = {
  name: 'kubeconfig',
  summary: 'print or merge a kubeconfig for your clusters, without a secret in it',
  usage: '',
  details: [
    'kubectl logs in by `fairway kube-token`, with your own login: what you may do there is what your roles say, in the namespaces of your apps and nowhere else. The file holds no secret and may be committed or passed on.',
    'Without --target it has a context for each of your clusters. With --env its tokens are good for that environment only; with --app kubectl starts in that app’s namespace.',
  ],
  examples: [
    'fairway kubeconfig --merge',
    'fairway kubeconfig --target prod --env staging > staging.kubeconfig',
  ],
  options: [
    { ...TARGET_OPTION, summary: 'only this cluster' },
    { name: 'merge', summary: 'merge into --file, and make it the current context' },
    {
      name: 'file',
      value: 'FILE',
      summary: 'what --merge changes (default: KUBECONFIG, else ~/.kube/config)',
    },
    {
      name: 'command',
      value: 'PROGRAM',
      summary: 'program that kubectl starts (default: fairway, found on PATH)',
    },
    { name: 'exec-version', value: 'v1|v1beta1', summary: 'v1beta1 for kubectl before 1.22' },
  ],
  positionals: { min: 0, max: 0 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const client = context.client()
  const given = args.value('env')
  const environment = given === undefined ? null : parseEnvironmentName(given)
  const app = args.value('app')
  const found = choose(await client.listClusterAccess(), {
    target: args.value('target') === undefined ? null : parseTargetName(args.value('target') ?? ''),
    environment,
  })
  const { entriesFor, kubeconfigOf } = await import('../kubeconfig-entries.ts')
  const entries = found.map((target) =>
    entriesFor(target, {
      server: client.server,
      command: args.value('command') ?? 'fairway',
      version: execVersionOf(args.value('exec-version') ?? 'v1'),
      environment,
      app: app === undefined ? null : parseAppName(app),
    }),
  )
  if (args.flag('merge')) await merge(context, entries)
  else if (out.json) out.object(kubeconfigOf(entries))
  else {
    const { stringify } = await import('yaml')
    out.line(stringify(kubeconfigOf(entries), { lineWidth: 0 }).trimEnd())
  }
  return 0
}

async function merge(context: Context, entries: readonly Entries[]): Promise<void> {
  const { args, io, out } = context
  const { mergeIntoFile } = await import('../kubeconfig-merge.ts')
  const file = resolve(io.cwd, args.value('file') ?? defaultFile(context))
  await mergeIntoFile(file, entries)
  const contexts = entries.map(({ name }) => name)
  if (out.json) out.object({ file, contexts, current: contexts[0] ?? null })
  else out.note(`${file} has ${contexts.join(', ')}; ${contexts[0] ?? ''} is current.`)
}

/** KUBECONFIG may be a list; kubectl changes the first that is there. */
function defaultFile({ io }: Context): string {
  const [first = ''] = (io.env['KUBECONFIG'] ?? '').split(':').filter((path) => path !== '')
  return first === '' ? `${io.home}/.kube/config` : first
}

function choose(
  targets: readonly AccessTargetBody[],
  { target, environment }: { readonly target: string | null; readonly environment: string | null },
): readonly AccessTargetBody[] {
  const found = targets.filter(
    (one) =>
      (target === null || one.target === target) &&
      (environment === null || one.scopes.some((scope) => scope.environment === environment)),
  )
  if (found.length > 0) return found
  const known = targets.map((one) => one.target).join(', ')
  throw new FairwayError(
    'NOT_FOUND',
    `you have no app${environment === null ? '' : ` in ${environment}`} on ${target ?? 'any cluster'}`,
    {
      hint:
        known === ''
          ? 'Deploy one there first, or ask for a role on one that is there.'
          : `You have apps on ${known}.`,
    },
  )
}

function execVersionOf(text: string): 'v1' | 'v1beta1' {
  if (text === 'v1' || text === 'v1beta1') return text
  throw new FairwayError('INVALID_REQUEST', '--exec-version must be v1 or v1beta1')
}
