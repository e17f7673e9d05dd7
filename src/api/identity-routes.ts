import { FairwayError } from '../model/errors.ts'
import type { Identity } from '../model/identity.ts'
import { route, type Routes } from './route.ts'

type IdentityRoutes = Pick<
  Routes,
  'claim' | 'whoami' | 'listTokens' | 'createToken' | 'revokeToken'
>

export function identityRoutes(identity: Identity): IdentityRoutes {
  return {
    claim: route('claim', ({ body }) => identity.claim(body.code, body.name)),
    whoami: route('whoami', ({ subject }) => {
      const { id, name, role } = subject()
      return Promise.resolve({ id, name, role })
    }),
    listTokens: route('listTokens', async () => ({ tokens: [...(await identity.listTokens())] })),
    createToken: route('createToken', ({ body }) =>
      identity.createToken({ ...body, expiresAt: body.expiresAt ?? null }),
    ),
    revokeToken: route('revokeToken', async ({ params }) => {
      if (await identity.revokeToken(params.token)) return undefined
      throw new FairwayError('NOT_FOUND', `there is no token ${params.token}`)
    }),
  }
}
