import type { Command } from '../command.ts'
import type { Context } from '../context.ts'

export const adopt: Command = {
  name: 'adopt',
  summary: 'take over objects on a cluster that somebody else made',
  usage: 'OBJECT…',
  details: [
    'Fairway never touches an object that it did not make: a deploy that needs its name ends with the object’s key and who owns it. This takes the named objects over, with the fields that the other manager has; deploy again afterwards.',
  ],
  examples: ["fairway adopt 'Deployment shop--production/web-a' --app shop"],
  options: [],
  positionals: { min: 1, max: 100 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  await context.client().adoptObjects(await context.ref(), args.positionals)
  if (out.json) out.object({ adopted: args.positionals })
  else out.note(`${args.positionals.join(', ')}: taken over with the next pass.`)
  return 0
}
