import { wholeNumber } from '../arguments.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { FairwayError } from '../../model/errors.ts'

export const scale: Command = {
  name: 'scale',
  summary: 'set how many instances of a process run',
  usage: 'PROCESS=N…',
  details: [
    'The number stays until it is set again; `PROCESS=auto` goes back to what the app file says. `PROCESS=0` stops a process.',
  ],
  examples: [
    'fairway scale web=3',
    'fairway scale web=2 worker=0 --app shop',
    'fairway scale web=auto',
  ],
  options: [],
  positionals: { min: 1, max: Infinity },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const changes = Object.fromEntries(args.positionals.map(change))
  const client = context.client()
  const ref = await context.ref()
  const numbers = await client.scaleApp(ref, changes)
  if (out.json) {
    out.object({ scale: numbers })
    return 0
  }
  for (const [process, number] of Object.entries(changes)) {
    out.note(
      number === null
        ? `${process}: as the app file says`
        : `${process}: ${number} ${number === 1 ? 'instance' : 'instances'}`,
    )
  }
  return 0
}

function change(word: string): [string, number | null] {
  const [process = '', number, ...more] = word.split('=')
  if (process === '' || number === undefined || more.length > 0) {
    throw new FairwayError(
      'INVALID_REQUEST',
      `expected PROCESS=N such as web=3, not ${JSON.stringify(word)}`,
    )
  }
  return [process, number === 'auto' ? null : wholeNumber(number, process, 0)]
}
