import type { Identity } from '../model/identity.ts'
import type { Platform } from '../model/platform.ts'
import { asker } from './app-routes.ts'
import { route, type Routes } from './route.ts'
import { rolloutView } from './view.ts'

type SecretRoutes = Pick<Routes, 'environmentKey' | 'pushSecrets' | 'rotateGenerated'>

/** What concerns secrets of environments: names and public keys go out, encrypted files come in. */
export function secretRoutes(platform: Platform, identity: Identity): SecretRoutes {
  return {
    environmentKey: route('environmentKey', async ({ params }) => ({
      recipient: (await platform.environmentKey(params)).recipient,
    })),
    pushSecrets: route('pushSecrets', async ({ params, body, subject }) => {
      const by = asker(identity, subject(), 'app:deploy', params)
      const rollout = await platform.pushSecrets(params, body.documents, by)
      return { rollout: rollout === null ? null : rolloutView(rollout) }
    }),
    rotateGenerated: route('rotateGenerated', async ({ params, body }) => ({
      rotated: [...(await platform.rotateGenerated(params, body.names))],
    })),
  }
}
