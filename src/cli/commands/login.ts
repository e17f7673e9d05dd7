import { FairwayError } from '../../model/errors.ts'
import { claimServer, rememberServer } from '../claim-server.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { readLine } from '../prompt.ts'
import { normalServer } from '../user-config.ts'
import { serverUrl } from '../../client/connection.ts'

export const login: Command = {
  name: 'login',
  summary: 'log in to a server and use it from now on',
  usage: 'URL',
  details: [
    'With a token that somebody gave you, or with the one-time claim code of a server that nobody has claimed. URL may be the whole claim link. `-` reads token or code from standard input; without either it is asked for.',
    'What is kept lies in ~/.config/fairway/config.json, readable by you alone. FAIRWAY_SERVER and FAIRWAY_TOKEN are used instead where they are set.',
  ],
  examples: [
    'fairway login https://fairway.example --token -',
    'fairway login http://127.0.0.1:7070 --claim CODE --name ada',
  ],
  options: [
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
  positionals: { min: 1, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const { server, claim } = target(args.positionals[0] ?? '')
  if (args.flag('token') && args.flag('claim')) {
    throw new FairwayError('INVALID_REQUEST', 'either --token or --claim, not both')
  }
  warnOfPlainHttp(context, server)
  const code = args.value('claim') ?? (args.flag('token') ? undefined : claim)
  const name =
    code === undefined
      ? await withToken(context, server)
      : await claimServer(context, server, await secret(context, code, 'Claim code: '))
  if (out.json) out.object({ server, name })
  else out.note(`Logged in to ${server} as ${name}.`)
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
    throw new FairwayError('INVALID_REQUEST', 'login needs --token TOKEN or --claim CODE')
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
