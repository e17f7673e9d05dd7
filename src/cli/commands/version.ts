import type { Command } from '../command.ts'

export const version: Command = {
  name: 'version',
  summary: 'print the version',
  usage: '',
  details: ['With --remote also the server’s.'],
  examples: ['fairway version', 'fairway version --remote --json'],
  options: [{ name: 'remote', summary: 'ask the server too' }],
  positionals: { min: 0, max: 0 },
  run: async (context) => {
    const { args, out, programs } = context
    if (!args.flag('remote')) {
      if (out.json) out.object({ version: programs.version })
      else out.line(`fairway ${programs.version}`)
      return 0
    }
    const client = context.client()
    const server = await client.version()
    if (out.json) {
      out.object({ version: programs.version, server })
      return 0
    }
    out.line(`fairway ${programs.version}`)
    out.line(`server  ${server.version} (${server.engine}, ${server.runner}) at ${client.server}`)
    return 0
  },
}
