import type { IncomingMessage, ServerResponse } from 'node:http'
import { z } from 'zod'
import { FairwayError } from '../model/errors.ts'
import {
  IDENTITY_PATH,
  MAX_AUDIENCE,
  MAX_AUDIENCES,
  type InstanceIdentities,
} from '../model/instance-identity.ts'
import type { TargetName } from '../model/names.ts'
import { sendJson } from './access-status.ts'
import { INSTANCE_ANSWER_MS, instanceRequest } from './instance-request.ts'
import { smallJson } from './small-body.ts'

const MAX_BODY = 24 << 10

const bytes = z
  .string()
  .max(400)
  .regex(/^[A-Za-z0-9+/]+={0,2}$/)
  .transform((text) => Buffer.from(text, 'base64'))
const audience = z.string().min(1).max(MAX_AUDIENCE)
const question = z.union([
  z.strictObject({ publicKey: bytes, proof: bytes }),
  z.strictObject({ audience: z.array(audience).min(1).max(MAX_AUDIENCES) }),
  z.strictObject({ svid: z.string().max(16_384), audience }),
])

interface Asking {
  readonly target: TargetName
  readonly token: string
  readonly signal: AbortSignal
}

/**
 * Answers an instance on a cluster that asks for a certificate, a JWT-SVID, or whether one is good. False where the request is about something else.
 * @throws FairwayError as `InstanceIdentities`, INVALID_REQUEST
 */
export async function answerIdentity(
  request: IncomingMessage,
  response: ServerResponse,
  identities: InstanceIdentities,
): Promise<boolean> {
  const asking = instanceRequest(request, IDENTITY_PATH)
  if (asking === null) return false
  // Nobody's body is kept who has not even a token that looks right.
  await identities.expect(asking.target, asking.token)
  const { data } = question.safeParse(await smallJson(request, MAX_BODY))
  if (data === undefined) throw new FairwayError('INVALID_REQUEST', 'that is no question')
  const signal = AbortSignal.timeout(INSTANCE_ANSWER_MS)
  const answer = await answerTo(data, { ...asking, signal }, identities)
  sendJson(response, 200, answer, { connection: 'close' })
  return true
}

// Private

async function answerTo(
  asked: z.output<typeof question>,
  { target, token, signal }: Asking,
  identities: InstanceIdentities,
): Promise<object> {
  if ('publicKey' in asked) {
    const signed = await identities.certify(target, token, asked, signal)
    return { ...signed, certificate: Buffer.from(signed.certificate).toString('base64') }
  }
  if (!('svid' in asked))
    return { token: await identities.jwtSvid(target, token, asked.audience, signal) }
  return (await identities.validateJwtSvid(target, token, asked, signal)) ?? { id: null }
}
