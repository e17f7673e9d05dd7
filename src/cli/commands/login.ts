import { FairwayError } from '../../model/errors.ts'
import { claimServer, rememberServer } from '../claim-server.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { noRoleLines } from '../no-role.ts'
import { readLine } from '../prompt.ts'
import { loginAtProvider, type PersonLogin } from '../provider-login.ts'
import { printable } from '../text-width.ts'
import { configPath, normalServer, readConfig } from '../user-config.ts'
import { ClientError } from '../../client/client-error.ts'
import { serverUrl } from '../../client/connection.ts'

export const login: Command = {
  name: 'login',
  summary: 'log in to a server and use it from now on',
  usage: '[URL]',
  details: [
    'At the identity provider of the server: in the browser of this machine, or with --device by a code that you type in on any other. Without URL at the server in use.',
    'Or with a token that somebody gave you (--token), or with the one-time claim code of a server that nobody has claimed (--claim). URL may be the whole claim link. `-` reads token or code from standard input; where the server has no identity provider the token is asked for.',
    'What is kept lies in ~/.config/fairway/config.json, readable by you alone. FAIRWAY_SERVER and FAIRWAY_TOKEN are used instead where they are set.',
  ],
  examples: [
    'fairway login https://fairway.example',
    'fairway login --device',
    'fairway login https://fairway.example --token -',
    'fairway login http://127.0.0.1:7070 --claim CODE --name ada',
  ],
  options: [
    { name: 'device', summary: 'by a code, for a machine without a browser' },
    { name: 'token', value: 'TOKEN', summary: 'token; - reads it from standard input' },
    {
      name: 'claim',
      value: 'CODE',
      summary: 'one-time claim code; - reads it from standard input',
    },
    {
      name: 'name',
      value: 'NAME',
      summary: 'with --claim: name of your token (default: you@host)',
    },
  ],
  positionals: { min: 0, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const { server, claim } = target(args.positionals[0] ?? currentServer(context))
  if ([args.flag('token'), args.flag('claim'), args.flag('device')].filter(Boolean).length > 1) {
    throw new FairwayError('INVALID_REQUEST', 'only one of --token, --claim and --device')
  }
  warnOfPlainHttp(context, server)
  const chosen = args.flag('token') || args.flag('device')
  const code = args.value('claim') ?? (chosen ? undefined : claim)
  if (code === undefined && !args.flag('token')) {
    const person = await asPerson(context, server)
    if (person !== null) return welcome(context, server, person)
  }
  const name =
    code === undefined
      ? await withToken(context, server)
      : await claimServer(context, server, await secret(context, code, 'Claim code: '))
  if (out.json) out.object({ server, name })
  else out.note(`Logged in to ${server} as ${name}.`)
  return 0
}

function currentServer({ args, io }: Context): string {
  const server = args.value('server') ?? io.env['FAIRWAY_SERVER'] ?? ''
  const known = server === '' ? readConfig(configPath(io)).current : server
  if (known !== null) return known
  throw new FairwayError('INVALID_REQUEST', 'login needs the URL of a server')
}

/** Null where the server has no identity provider, and --device was not asked for. */
async function asPerson(context: Context, server: string): Promise<PersonLogin | null> {
  try {
    return await loginAtProvider(context, server)
  } catch (error) {
    const none = error instanceof ClientError && error.details['provider'] === null
    if (none && !context.args.flag('device')) return null
    throw error
  }
}

async function welcome(
  context: Context,
  server: string,
  { token, user }: PersonLogin,
): Promise<number> {
  const { out } = context
  await rememberServer(context, server, { token, name: user.name })
  const me = await context.connect(server, token).whoami()
  if (out.json) {
    out.object({ server, name: user.name, groups: user.groups, grants: me.grants })
    return 0
  }
  out.note(`Logged in to ${server} as ${printable(user.name, false)}.`)
  if (me.grants.length === 0) {
    const [first = '', ...rest] = noRoleLines(me)
    for (const line of [`You may do ${first}`, ...rest]) out.note(line)
  }
  return 0
}

async function withToken(context: Context, server: string): Promise<string> {
  const token = await secret(context, context.args.value('token'), 'Token: ')
  const { name } = await context.connect(server, token).whoami()
  await rememberServer(context, server, { token, name })
  return name
}

/** The secret from the command line, from standard input for `-`, or asked for where there is a terminal. */
async function secret(
  { io }: Context,
  given: string | undefined,
  question: string,
): Promise<string> {
  if (given !== undefined && given !== '-') return given
  if (given === undefined && io.stdin.isTTY !== true) {
    throw new FairwayError(
      'INVALID_REQUEST',
      'the server has no identity provider: login needs --token TOKEN or --claim CODE',
    )
  }
  const line = (await readLine(io, given === undefined ? question : '', { hidden: true })).trim()
  if (line === '') throw new FairwayError('INVALID_REQUEST', 'nothing was given')
  return line
}

/** A claim link is `URL/claim#CODE`, `URL/claim/CODE` or `URL?claim=CODE`. */
function target(text: string): { server: string; claim: string | undefined } {
  const url = serverUrl(text)
  const claim =
    url.searchParams.get('claim') ??
    /^#(?:claim=)?(.+)$/.exec(url.hash)?.[1] ??
    /\/claim\/([^/]+)\/?$/.exec(url.pathname)?.[1]
  url.pathname = url.pathname.replace(/\/claim(?:\/[^/]+)?\/?$/, '')
  url.search = ''
  url.hash = ''
  return { server: normalServer(url.href), claim: claim ?? undefined }
}

function warnOfPlainHttp({ out }: Context, server: string): void {
  const { protocol, hostname } = new URL(server)
  const local = /^(?:localhost|127(?:\.\d+){3}|\[::1\]|.*\.localhost)$/.test(hostname)
  if (protocol === 'https:' || local) return
  out.problem(
    `${out.paint('yellow', 'warning:')} ${server} is not encrypted: anybody on the way can read your token`,
  )
}
