import type { Command } from '../command.ts'
import { grantText } from '../grant.ts'
import { printable } from '../text-width.ts'

export const whoami: Command = {
  name: 'whoami',
  summary: 'show which server is used, as whom, and what one may do where',
  usage: '',
  details: [],
  examples: ['fairway whoami', 'fairway whoami --server https://fairway.example --json'],
  options: [],
  positionals: { min: 0, max: 0 },
  run: async (context) => {
    const { out } = context
    const client = context.client()
    const me = await client.whoami()
    if (out.json) {
      out.object({ server: client.server, ...me })
      return 0
    }
    const service = me.kind === 'token' ? ' (a service)' : ''
    out.line(`${printable(me.name, false)}${service} at ${client.server}`)
    if (me.groups.length > 0) out.line(`groups  ${printable(me.groups.join(', '), false)}`)
    if (me.grants.length === 0) out.line('may     nothing: ask an admin for a role')
    for (const [index, grant] of me.grants.entries()) {
      out.line(`${index === 0 ? 'may     ' : '        '}${grantText(grant)}`)
    }
    return 0
  },
}
