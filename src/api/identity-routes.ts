import { FairwayError } from '../model/errors.ts'
import type { Grant, Identity, TokenView } from '../model/identity.ts'
import { grantText } from './audit-facts.ts'
import { route, type Routes } from './route.ts'

type IdentityRoutes = Pick<
  Routes,
  'claim' | 'whoami' | 'listTokens' | 'createToken' | 'revokeToken'
>

export function identityRoutes(identity: Identity): IdentityRoutes {
  return {
    claim: route('claim', async ({ body }) =>
      issuedView(await identity.claim(body.code, body.name)),
    ),
    whoami: route('whoami', ({ subject }) => {
      const { id, name, kind, groups, grants } = subject()
      return Promise.resolve({ id, name, kind, groups: [...groups], grants: grants.map(grantView) })
    }),
    listTokens: route('listTokens', async ({ subject }) => ({
      tokens: (await identity.listTokens(subject())).map(tokenView),
    })),
    createToken: route('createToken', async ({ body, subject }) => {
      const { person = null, expiresAt = null } = body
      return issuedView(await identity.createToken(subject(), { ...body, person, expiresAt }))
    }),
    revokeToken: route(
      'revokeToken',
      async ({ params, subject }) => {
        if (await identity.revokeToken(subject(), params.token)) return undefined
        throw new FairwayError('NOT_FOUND', `there is no token ${params.token}`)
      },
      async ({ params, subject }) => {
        const tokens = await identity.listTokens(subject())
        const token = tokens.find(({ id }) => id === params.token)
        if (token === undefined) return {}
        return { name: token.name, person: token.person, grants: token.grants.map(grantText) }
      },
    ),
  }
}

export function grantView({ actions, ...grant }: Grant) {
  return { ...grant, actions: actions === null ? null : [...actions] }
}

function tokenView({ grants, ...token }: TokenView) {
  return { ...token, grants: grants.map(grantView) }
}

function issuedView({ token, view }: { readonly token: string; readonly view: TokenView }) {
  return { token, view: tokenView(view) }
}
