import type { ReleaseBody, RolloutBody } from '../../contract/rollout.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { ageText, bytesText } from '../quantity.ts'
import { tableLines } from '../table.ts'
import { printable } from '../text-width.ts'

const DEFAULT_LIMIT = 20

export const releases: Command = {
  name: 'releases',
  summary: 'list the releases of an app, newest first, and a rollout under way',
  usage: '',
  details: [
    'The active release serves; superseded ones can be rolled back to; failed ones never served.',
  ],
  examples: ['fairway releases', 'fairway releases --app shop -n 5'],
  options: [{ name: 'lines', short: 'n', value: 'N', summary: 'how many (default: 20)' }],
  positionals: { min: 0, max: 0 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const client = context.client()
  const ref = await context.ref()
  const limit = args.integer('lines', 1) ?? DEFAULT_LIMIT
  const [found, rollouts] = await Promise.all([
    client.listReleases(ref, limit),
    client.listRollouts(ref, 1),
  ])
  if (out.json) {
    out.object({ releases: found })
    return 0
  }
  const rollout = rollouts[0]
  if (rollout !== undefined) showRollout(context, rollout)
  if (found.length === 0) {
    out.line(`${ref.app} has no release yet.`)
    return 0
  }
  for (const line of tableLines(
    ['RELEASE', 'STATUS', 'AGE', 'BY', 'WHY', 'SIZE', 'IMAGE'],
    found.map((release) => row(release, context.now)),
    out.width,
  )) {
    out.line(line)
  }
  return 0
}

function row(release: ReleaseBody, now: number): string[] {
  const { number, status, createdAt, createdBy, reason, image } = release
  return [
    String(number),
    status,
    ageText(now - createdAt),
    printable(createdBy, false),
    printable(reason, false),
    bytesText(image.sizeBytes),
    image.digest.slice('sha256:'.length, 'sha256:'.length + 12),
  ]
}

function showRollout({ out }: Context, rollout: RolloutBody): void {
  if (rollout.status === 'queued') out.line('A deploy waits for the one before it.')
  if (rollout.status === 'running') {
    const step = rollout.steps.findLast(({ status }) => status === 'running')
    out.line(`A rollout is under way${step === undefined ? '' : `: ${step.name} ${step.summary}`}`)
  }
  if (rollout.status === 'failed' && rollout.failure !== null) {
    out.line(`The last rollout failed: ${printable(rollout.failure.message, false)}`)
  }
}
