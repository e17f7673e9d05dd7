import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { TARGET_OPTION, targetOf } from '../target-option.ts'

export const uncordon: Command = {
  name: 'uncordon',
  summary: 'let a node of a cluster take copies again',
  usage: 'NODE',
  details: [
    'Also where it was cordoned because of a notice: that notice is overruled, a new one is not.',
  ],
  examples: ['fairway uncordon node-7 --target prod'],
  options: [TARGET_OPTION],
  positionals: { min: 1, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const node = args.positionals[0] ?? ''
  await context.client().uncordonNode(targetOf(context), node)
  if (out.json) out.object({ uncordoned: node })
  else out.note(`${node} takes copies again.`)
  return 0
}
