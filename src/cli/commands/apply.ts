import { FairwayError } from '../../model/errors.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { readManifestFolder } from '../manifest-folder.ts'

export const apply: Command = {
  name: 'apply',
  summary: 'apply exported manifests to a cluster',
  usage: 'PATH…',
  details: [
    'For teams that keep manifests in git: applies what `fairway export` wrote, by server-side apply. Objects that somebody else made are never touched. --prune deletes what an earlier apply of the same apps made and the files no longer have, but never disks, values or namespaces.',
  ],
  examples: [
    'fairway apply envs/production/*',
    'fairway apply envs/staging/shop --target staging --dry-run --prune',
  ],
  options: [
    { name: 'target', value: 'NAME', summary: 'cluster (default: the one in app.lock.yaml)' },
    {
      name: 'dry-run',
      summary: 'ask the cluster what it would do; exit code 2 where something would change',
    },
    { name: 'prune', summary: 'delete what the files no longer have' },
  ],
  positionals: { min: 1, max: Infinity },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out, io } = context
  const { files, targets } = readManifestFolder(io.cwd, args.positionals)
  const target = args.value('target') ?? onlyTarget(targets)
  const dryRun = args.flag('dry-run')
  const body = { files, dryRun, prune: args.flag('prune') }
  const { changes } = await context.client().applyManifests(target, body)
  const changed = changes.filter(({ action }) => action !== 'unchanged').length
  if (out.json) out.object({ target, dryRun, changes })
  else {
    const would = dryRun ? 'would be ' : ''
    for (const { object, action } of changes)
      out.line(`${object} ${action === 'unchanged' ? action : `${would}${action}`}`)
  }
  return dryRun && changed > 0 ? 2 : 0
}

function onlyTarget(targets: readonly string[]): string {
  const [target, other] = targets
  if (target !== undefined && other === undefined) return target
  throw new FairwayError(
    'INVALID_REQUEST',
    target === undefined
      ? 'no app.lock.yaml names a target'
      : `the files are for several targets: ${targets.join(', ')}`,
    { hint: 'Name one with --target.' },
  )
}
