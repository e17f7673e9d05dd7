import { ClientError } from '../../client/client-error.ts'
import { FairwayError } from '../../model/errors.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { configPath, normalServer, readConfig, withoutServer, writeConfig } from '../user-config.ts'

export const logout: Command = {
  name: 'logout',
  summary: 'end the session at a server and forget its token',
  usage: '[URL]',
  details: [
    'Without URL from the server in use. The session ends there at once, and the identity provider is told. You stay logged in to the provider itself in your browser.',
    'An API token is only forgotten here: `fairway tokens revoke` ends it.',
  ],
  examples: ['fairway logout', 'fairway logout https://fairway.example'],
  options: [],
  positionals: { min: 0, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, io, out } = context
  const path = configPath(io)
  const config = readConfig(path)
  const given = args.positionals[0] ?? args.value('server')
  const server = given === undefined ? config.current : normalServer(given)
  const known = server === null ? undefined : config.servers[server]
  if (server === null || known === undefined) {
    throw new FairwayError('NOT_FOUND', `not logged in to ${server ?? 'any server'}`, {
      hint: '`fairway whoami` shows which server is used.',
    })
  }
  const ended = known.token.startsWith('fws_') && (await endSession(context, server, known.token))
  await writeConfig(path, withoutServer(config, server))
  if (out.json) out.object({ server, name: known.name, ended })
  else if (ended) out.note(`Logged out of ${server}.`)
  else out.note(`The token for ${server} is forgotten here.`)
  return 0
}

/** False where it had ended already. @throws ClientError where the server does not answer: the session would go on unseen */
async function endSession(context: Context, server: string, token: string): Promise<boolean> {
  try {
    await context.connect(server, token).logout()
    return true
  } catch (error) {
    if (error instanceof ClientError && error.code === 'UNAUTHENTICATED') return false
    throw error
  }
}
