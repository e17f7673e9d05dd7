import type { IncomingMessage } from 'node:http'
import { FairwayError } from '../model/errors.ts'
import { parseTargetName, type TargetName } from '../model/names.ts'
import { bearerToken } from './credentials.ts'

/** Beside what a program in a pod needs for one try: an answer that takes longer has nobody who waits for it. */
export const INSTANCE_ANSWER_MS = 15_000

/**
 * Which cluster's instance asks, and with what; null where the request is about something else.
 * @param path its first group is the target
 * @throws FairwayError INVALID_REQUEST, UNAUTHENTICATED
 */
export function instanceRequest(
  { url = '', method, headers }: IncomingMessage,
  path: RegExp,
): { readonly target: TargetName; readonly token: string } | null {
  const target = path.exec(url)?.[1]
  if (target === undefined) return null
  if (method !== 'POST') throw new FairwayError('INVALID_REQUEST', 'expected POST')
  const token = bearerToken(headers.authorization)
  if (token === null) throw new FairwayError('UNAUTHENTICATED', 'expected a bearer token')
  return { target: parseTargetName(target), token }
}
