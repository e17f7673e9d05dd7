import { z } from 'zod'
import { GET, POST, type Endpoint } from './endpoint.ts'
import { appName, environmentName } from './name.ts'
import { rollout } from './rollout.ts'
import { secretDocuments } from './source.ts'

const APP = '/v1/apps/:app/:environment'
const appParams = z.strictObject({ app: appName, environment: environmentName })
const valueName = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, 'expected a name')

/** The part of the API about secrets of environments: no value is in any of it. */
export const SECRET_ENDPOINTS = {
  environmentKey: {
    ...GET,
    method: 'POST',
    path: `${APP}/key`,
    params: appParams,
    response: z.object({ recipient: z.string() }),
    action: 'config:write',
    summary: 'Public half of the key of the environment, for encrypted files; made where missing',
    errors: ['CONFLICT', 'SECRETS_CLOSED'],
  },
  pushSecrets: {
    ...POST,
    path: `${APP}/secrets`,
    params: appParams,
    body: z.strictObject({ documents: secretDocuments }),
    response: z.object({ rollout: rollout.nullable() }),
    action: 'app:deploy',
    summary:
      'Other encrypted files for the release that serves: a new release without a bake; null where no value changed',
    errors: [
      'NOT_FOUND',
      'NOT_RUNNING',
      'CONFLICT',
      'SECRETS_CLOSED',
      'SECRETS_INVALID',
      'SECRETS_TAMPERED',
    ],
  },
  rotateGenerated: {
    ...POST,
    path: `${APP}/secrets/rotation`,
    params: appParams,
    body: z.strictObject({ names: z.array(valueName).max(512) }),
    response: z.object({ rotated: z.array(z.string()) }),
    action: 'config:write',
    summary:
      'New values for those that the release that serves lets generate, all or the named ones; instances follow as the app file says',
    errors: ['NOT_FOUND', 'NOT_RUNNING', 'CONFLICT', 'SECRETS_CLOSED'],
  },
} as const satisfies Record<string, Endpoint>
