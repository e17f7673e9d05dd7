import { z } from 'zod'
import { ACTIONS, ROLES } from '../model/identity.ts'
import { appName, environmentName, teamName } from './name.ts'

/** Most grants of one token. */
export const MAX_GRANTS = 100

export const role = z.enum(ROLES)
export const action = z.enum(ACTIONS)

/** As the server answers. */
export const grant = z
  .object({
    role,
    environment: z.string().nullable(),
    team: z.string().nullable(),
    app: z.string().nullable(),
    actions: z.array(action).nullable(),
  })
  .meta({ id: 'Grant' })

/** As clients send it; what is absent is no limit. */
export const grantBody = z.strictObject({
  role,
  environment: environmentName.nullable().default(null),
  team: teamName.nullable().default(null),
  app: appName.nullable().default(null),
  actions: z.array(action).min(1).max(ACTIONS.length).nullable().default(null),
})

export type GrantBody = z.output<typeof grant>
