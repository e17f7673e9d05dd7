import type { DeployEventBody } from '../../contract/rollout.ts'
import type { DeployBody } from '../../contract/source.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { deployInput, INPUT_OPTIONS, sendProgress } from '../deploy-input.ts'
import { follow, INTERRUPTED } from '../follow.ts'
import { withSource } from '../send-source.ts'

export const deploy: Command = {
  name: 'deploy',
  summary: 'deploy a folder, an artifact or an image and wait until it serves',
  usage: '[PATH|ARTIFACT|IMAGE]',
  details: [
    'Without an argument the current folder is deployed. An artifact is a jar, a binary, an OCI layout or a `docker save` archive. An app file is used where there is one and not needed for a recognisable app.',
    'Only what changed is sent. Left out are what .fairwayignore (syntax of .gitignore) or else .dockerignore names, version control, node_modules beside a lockfile, and always .env files and private keys.',
    'The old release serves until the new one is ready; a failed rollout changes nothing and says why.',
  ],
  examples: [
    'fairway deploy',
    'fairway deploy target/app.jar --app forms',
    'fairway deploy --image registry.example/team/shop:1.2 --env staging',
  ],
  options: INPUT_OPTIONS,
  positionals: { min: 0, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const { io, out } = context
  const startedAt = context.now
  const client = context.client()
  const { ref, pack, appFile, image, secrets } = await deployInput(context)
  const controller = new AbortController()
  const stopListening = io.onInterrupt(() => {
    controller.abort()
  })
  const body = (source: DeployBody['source']): DeployBody => ({
    source,
    appFile,
    image,
    ...(secrets.length === 0 ? {} : { secrets: [...secrets] }),
  })
  const start = (source: DeployBody['source']): Promise<AsyncIterable<DeployEventBody>> =>
    begun(client.deployApp(ref, body(source), controller.signal))
  try {
    const now = (): number => context.now
    const events =
      pack === null
        ? await start(null)
        : await withSource(client, pack, { now, progress: sendProgress(context) }, start)
    stopListening()
    const onAccepted = (): void => pack?.cache.accept(client.server)
    return await follow(context, { client, ref, events, startedAt, controller, onAccepted })
  } catch (error) {
    if (!controller.signal.aborted) throw error
    out.problem('Interrupted before the server took the deploy: nothing was changed.')
    return INTERRUPTED
  } finally {
    stopListening()
    pack?.cache.save()
  }
}

/** Waits for the first event, so that a refusal is thrown here, and gives all of them. */
async function begun<T>(events: AsyncGenerator<T, void, undefined>): Promise<AsyncIterable<T>> {
  const first = await events.next()
  return (async function* () {
    if (first.done !== true) yield first.value
    yield* events
  })()
}
