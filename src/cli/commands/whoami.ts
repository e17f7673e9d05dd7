import { ClientError } from '../../client/client-error.ts'
import type { FairwayClient } from '../../client/fairway-client.ts'
import type { ResponseOf } from '../../contract/endpoints.ts'
import type { Command } from '../command.ts'
import { grantText } from '../grant.ts'
import type { Context } from '../context.ts'
import { noRoleLines } from '../no-role.ts'
import { ageText } from '../quantity.ts'
import { printable } from '../text-width.ts'

export const whoami: Command = {
  name: 'whoami',
  summary: 'show which server is used, as whom, and what one may do where',
  usage: '',
  details: [],
  examples: ['fairway whoami', 'fairway whoami --server https://fairway.example --json'],
  options: [],
  positionals: { min: 0, max: 0 },
  run: async (context) => {
    const { out } = context
    const client = context.client()
    const me = await client.whoami()
    const own = me.kind === 'user' ? await sessionOf(client) : null
    if (out.json) {
      out.object({ server: client.server, ...me, session: own?.session, notice: own?.notice })
      return 0
    }
    const service = me.kind === 'token' ? ' (a service)' : ''
    out.line(`${printable(me.name, false)}${service} at ${client.server}`)
    if (me.groups.length > 0) out.line(`groups  ${printable(me.groups.join(', '), false)}`)
    if (me.grants.length === 0) {
      for (const [index, line] of noRoleLines(me).entries())
        out.line(`${index === 0 ? 'may     ' : '        '}${line}`)
    }
    for (const [index, grant] of me.grants.entries()) {
      out.line(`${index === 0 ? 'may     ' : '        '}${grantText(grant)}`)
    }
    if (own !== null) showSession(context, own)
    return 0
  },
}

function showSession({ out, now }: Context, own: ResponseOf<'getSession'>): void {
  const { session, notice } = own
  out.line(`session ${session.id}, ends in ${ageText(session.expiresAt - now)} at the latest`)
  if (notice !== null) out.problem(`${out.paint('yellow', 'warning:')} ${notice}`)
}

/** Null for an API token. */
async function sessionOf(client: FairwayClient): Promise<ResponseOf<'getSession'> | null> {
  try {
    return await client.getSession()
  } catch (error) {
    if (error instanceof ClientError && error.code === 'NOT_FOUND') return null
    throw error
  }
}
