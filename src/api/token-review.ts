import type { IncomingMessage } from 'node:http'
import { z } from 'zod'
import { FairwayError } from '../model/errors.ts'
import type { Admission } from '../model/kube-access.ts'
import { smallJson } from './small-body.ts'

const MAX_BYTES = 65_536

/** Kubernetes authentication/v1 TokenReview, as an API server sends it to its webhook; v1beta1 is the default of `--authentication-token-webhook-version`. */
const review = z.object({
  apiVersion: z.enum(['authentication.k8s.io/v1', 'authentication.k8s.io/v1beta1']),
  kind: z.literal('TokenReview'),
  spec: z.object({ token: z.string().max(MAX_BYTES) }),
})

/** The answer, in the version that was asked in. @throws FairwayError INVALID_REQUEST, TOO_LARGE */
export async function reviewToken(
  request: IncomingMessage,
  admit: (token: string) => Promise<Admission | null>,
): Promise<object> {
  const parsed = review.safeParse(await smallJson(request, MAX_BYTES))
  if (!parsed.success) throw new FairwayError('INVALID_REQUEST', 'expected a TokenReview')
  const { apiVersion, kind, spec } = parsed.data
  const admission = await admit(spec.token)
  const status =
    admission === null
      ? { authenticated: false }
      : {
          authenticated: true,
          user: { username: admission.user.name, groups: [...admission.user.groups] },
        }
  return { apiVersion, kind, status }
}
