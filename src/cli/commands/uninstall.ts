import { FairwayError } from '../../model/errors.ts'
import { parseTargetName } from '../../model/names.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { readLine } from '../prompt.ts'

const NAMESPACE = 'fairway-system'

export const uninstall: Command = {
  name: 'uninstall',
  summary: 'remove a control plane from a cluster, and say what stays',
  usage: '',
  details: [
    'Removes what `fairway install` of this server put there: servers, registry, database, rights, services. Apps of that control plane go on running, and are listed: destroy them first where they shall go too. Disks stay, with the passwords that open them, so that a new install goes on with what was there; --delete-data removes them.',
    'Asks for the name of the target; --yes skips the question. --dry-run changes nothing and lists the same.',
  ],
  examples: [
    'fairway uninstall --target prod --dry-run',
    'fairway uninstall --target prod',
    'fairway uninstall --target lab --delete-data --yes',
  ],
  options: [
    { name: 'target', value: 'NAME', summary: 'the cluster' },
    { name: 'namespace', value: 'NAME', summary: `where it is (default: ${NAMESPACE})` },
    { name: 'delete-data', summary: 'its records and images too' },
    { name: 'dry-run', summary: 'change nothing' },
    { name: 'yes', short: 'y', summary: 'do not ask' },
  ],
  positionals: { min: 0, max: 0 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const given = args.value('target')
  if (given === undefined)
    throw new FairwayError('INVALID_REQUEST', 'uninstall needs --target NAME')
  const target = parseTargetName(given)
  const dryRun = args.flag('dry-run')
  if (!dryRun && !args.flag('yes')) await ask(context, target)
  const done = await context.client().uninstallPlatform(target, {
    namespace: args.value('namespace') ?? NAMESPACE,
    data: args.flag('delete-data'),
    dryRun,
  })
  if (out.json) {
    out.object({ ...done, dryRun })
    return 0
  }
  for (const object of done.removed) out.line(`${dryRun ? 'would remove' : 'removed'} ${object}`)
  if (done.stays.length === 0) out.note('Nothing stays.')
  else out.line('stays:')
  for (const { what, why } of done.stays) {
    out.line(`  ${what}`)
    out.line(`    ${why}`)
  }
  return 0
}

async function ask({ args, io }: Context, target: string): Promise<void> {
  if (io.stdin.isTTY !== true)
    throw new FairwayError('INVALID_REQUEST', 'uninstall asks first, and there is no terminal', {
      hint: 'Say --yes.',
    })
  const data = args.flag('delete-data') ? ', with its records and images,' : ''
  const question = `This removes the control plane${data} from ${target}. Type the name of the target: `
  const answer = (await readLine(io, question, { hidden: false })).trim()
  if (answer === target) return
  throw new FairwayError('INVALID_REQUEST', 'that is another name: nothing was removed', {
    hint: '',
  })
}
