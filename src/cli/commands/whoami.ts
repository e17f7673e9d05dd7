import type { Command } from '../command.ts'

export const whoami: Command = {
  name: 'whoami',
  summary: 'show which server is used and as whom',
  usage: '',
  details: [],
  examples: ['fairway whoami', 'fairway whoami --server https://fairway.example --json'],
  options: [],
  positionals: { min: 0, max: 0 },
  run: async (context) => {
    const client = context.client()
    const { id, name, role } = await client.whoami()
    if (context.out.json) context.out.object({ server: client.server, id, name, role })
    else context.out.line(`${name} (${role}) at ${client.server}`)
    return 0
  },
}
