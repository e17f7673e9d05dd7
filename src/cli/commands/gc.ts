import type { Command } from '../command.ts'
import { bytesText } from '../quantity.ts'
import { printable } from '../text-width.ts'

export const gc: Command = {
  name: 'gc',
  summary: 'remove images, sources, releases and logs that nothing needs',
  usage: '',
  details: [
    'What runs or can be rolled back to is never touched. The server does this by itself too.',
  ],
  examples: ['fairway gc'],
  options: [],
  positionals: { min: 0, max: 0 },
  run: async (context) => {
    const client = context.client()
    const found = await client.collect()
    if (context.out.json) context.out.object(found)
    else context.out.line(`${bytesText(found.bytes)} freed: ${printable(found.summary, false)}`)
    return 0
  },
}
