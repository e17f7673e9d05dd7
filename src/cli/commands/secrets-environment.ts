/** The parts of `fairway secrets` that speak to a server: it is told no value, and tells none. */
import { FairwayError } from '../../model/errors.ts'
import { APP_FILE, readAppFile } from '../app-name.ts'
import type { Context } from '../context.ts'
import { follow } from '../follow.ts'
import { secretDocuments } from '../secret-documents.ts'

/** Public half of the key of the environment; the server makes it where there is none yet. */
export async function environmentRecipient(context: Context): Promise<string> {
  const ref = await context.ref()
  return (await context.client().environmentKey(ref)).recipient
}

export async function printKey(context: Context): Promise<number> {
  const recipient = await environmentRecipient(context)
  if (context.out.json) context.out.object({ recipient })
  else {
    context.out.line(recipient)
    const { ruleLine } = await import('../../secrets/rules.ts')
    context.out.note(`In .sops.yaml: ${await ruleLine(recipient)}`)
  }
  return 0
}

/** The files of the environment for what runs: a new release without a bake, rolled out and followed. */
export async function push(context: Context, words: readonly string[]): Promise<number> {
  const { io, out } = context
  if (words.length > 0) throw new FairwayError('INVALID_REQUEST', 'secrets push takes no names')
  const startedAt = context.now
  const ref = await context.ref()
  const appFile = readAppFile(io.cwd)
  const documents = await secretDocuments(appFile, io.cwd, ref)
  if (documents.length === 0) {
    throw new FairwayError(
      'SECRETS_INVALID',
      `${APP_FILE} names no secrets for the environment ${ref.environment}`,
      {
        hint: `Add \`secrets: [secrets.${ref.environment}.yaml]\` to environments.${ref.environment}, then deploy.`,
      },
    )
  }
  const client = context.client()
  const rollout = await client.pushSecrets(ref, documents)
  if (rollout === null) {
    if (out.json) out.object({ rollout: null })
    out.note('Every value is as it was: nothing to do.')
    return 0
  }
  const controller = new AbortController()
  const events = client.rolloutEvents(ref, rollout.id, controller.signal)
  const withFirst = (async function* () {
    yield { type: 'rollout', rollout } as const
    yield* events
  })()
  return follow(context, { client, ref, events: withFirst, startedAt, controller })
}

/** Other values in the place of generated ones; names are said, values never. */
export async function rotateGenerated(context: Context, names: readonly string[]): Promise<number> {
  const { out } = context
  const ref = await context.ref()
  const rotated = await context.client().rotateGenerated(ref, names)
  if (out.json) out.object({ rotated })
  else
    out.note(
      `New values for ${rotated.join(', ')}: instances of ${ref.environment} follow as ${APP_FILE} says (onChange).`,
    )
  return 0
}
