import type { IncomingMessage, ServerResponse } from 'node:http'
import { SECRETS_PATH, type InstanceSecrets } from '../model/instance-secrets.ts'
import { revealedFiles } from '../model/secrets.ts'
import { sendJson } from './access-status.ts'
import { INSTANCE_ANSWER_MS, instanceRequest } from './instance-request.ts'

/**
 * Answers an instance on a cluster that asks for its values: `{ files: { NAME: base64 } }`. False where the request is about something else.
 * @throws FairwayError as `InstanceSecrets.open`
 */
export async function answerInstance(
  request: IncomingMessage,
  response: ServerResponse,
  secrets: InstanceSecrets,
): Promise<boolean> {
  const asking = instanceRequest(request, SECRETS_PATH)
  if (asking === null) return false
  // Nothing but the token counts, and what else is sent is not waited for.
  request.resume()
  const signal = AbortSignal.timeout(INSTANCE_ANSWER_MS)
  const { folders } = await secrets.open(asking.target, asking.token, signal)
  const files = folders.flatMap((folder) =>
    folder.name === 'secrets' ? [...revealedFiles(folder)] : [],
  )
  const encoded = Object.fromEntries(
    files.map(([file, bytes]) => [file, Buffer.from(bytes).toString('base64')] as const),
  )
  sendJson(response, 200, { files: encoded }, { connection: 'close' })
  return true
}
