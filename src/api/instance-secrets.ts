import type { IncomingMessage, ServerResponse } from 'node:http'
import { FairwayError } from '../model/errors.ts'
import { SECRETS_PATH, type InstanceSecrets } from '../model/instance-secrets.ts'
import { parseTargetName } from '../model/names.ts'
import { revealedFiles } from '../model/secrets.ts'
import { sendJson } from './access-status.ts'
import { bearerToken } from './credentials.ts'

/** Beside what an instance's own pod needs for one try: an answer that takes longer has nobody who waits for it. */
const ANSWER_MS = 15_000

/**
 * Answers an instance on a cluster that asks for its values: `{ files: { NAME: base64 } }`. False where the request is about something else.
 * @throws FairwayError as `InstanceSecrets.open`
 */
export async function answerInstance(
  request: IncomingMessage,
  response: ServerResponse,
  secrets: InstanceSecrets,
): Promise<boolean> {
  const target = SECRETS_PATH.exec(request.url ?? '')?.[1]
  if (target === undefined) return false
  if (request.method !== 'POST') throw new FairwayError('INVALID_REQUEST', 'expected POST')
  const token = bearerToken(request.headers.authorization)
  if (token === null) throw new FairwayError('UNAUTHENTICATED', 'expected a bearer token')
  // Nothing but the token counts, and what else is sent is not waited for.
  request.resume()
  const name = parseTargetName(target)
  const { folders } = await secrets.open(name, token, AbortSignal.timeout(ANSWER_MS))
  const files = folders.flatMap((folder) =>
    folder.name === 'secrets' ? [...revealedFiles(folder)] : [],
  )
  const encoded = Object.fromEntries(
    files.map(([file, bytes]) => [file, Buffer.from(bytes).toString('base64')] as const),
  )
  sendJson(response, 200, { files: encoded }, { connection: 'close' })
  return true
}
