import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { deployInput, INPUT_OPTIONS, sendProgress } from '../deploy-input.ts'
import { withSource } from '../send-source.ts'
import { printable } from '../text-width.ts'

export const plan: Command = {
  name: 'plan',
  summary: 'show what a deploy would change, without changing anything',
  usage: '[PATH|ARTIFACT|IMAGE]',
  details: ['Values of the environment are never printed.'],
  examples: ['fairway plan', 'fairway plan target/app.jar --app forms --env staging'],
  options: INPUT_OPTIONS,
  positionals: { min: 0, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const { out } = context
  const client = context.client()
  const { ref, pack, appFile, image, secrets } = await deployInput(context)
  const more = secrets.length === 0 ? {} : { secrets: [...secrets] }
  const options = { now: () => context.now, progress: sendProgress(context) }
  const found = await (pack === null
    ? client.planApp(ref, { source: null, appFile, image, ...more })
    : withSource(client, pack, options, (source) =>
        client.planApp(ref, { source, appFile, image, ...more }),
      ))
  pack?.cache.save()
  if (out.json) {
    out.object(found)
    return 0
  }
  out.line(`${ref.app} (${ref.environment}): ${printable(found.recognition.evidence, false)}`)
  for (const warning of found.warnings) {
    out.line(`${out.paint('yellow', 'warning:')} ${printable(warning, false)}`)
  }
  for (const change of found.changes) {
    const colour = change.startsWith('+') ? 'green' : change.startsWith('-') ? 'red' : 'yellow'
    out.line(`  ${out.paint(colour, printable(change, false))}`)
  }
  if (found.changes.length === 0) out.line('  nothing would change but the code')
  return 0
}
