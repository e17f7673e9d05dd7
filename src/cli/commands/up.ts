import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { ClientError } from '../../client/client-error.ts'
import { FairwayError } from '../../model/errors.ts'
import { claimServer } from '../claim-server.ts'
import type { RunningPlatform, UpOptions } from '../programs.ts'
import { DATA_OPTION } from '../data-option.ts'
import { configPath, normalServer, readConfig } from '../user-config.ts'

const RUNNERS = ['auto', 'container', 'process'] as const

export const up: Command = {
  name: 'up',
  summary: 'start the platform on this machine: server and router',
  usage: '',
  details: [
    'Both run in the background and listen on loopback only. The first start logs you in: who owns the data directory owns the server. The one-time claim link is for another person or browser to do the same instead.',
    'What runs already is left alone, so it is safe to repeat; what runs from another version is replaced, and no request is lost while a new router takes over. `fairway status` names the log files of both.',
  ],
  examples: [
    'fairway up',
    'fairway up --restart',
    'fairway up --runner process --port 7071 --http-port 8081',
  ],
  options: [
    { name: 'runner', value: 'NAME', summary: 'auto, container or process (default: auto)' },
    { name: 'port', value: 'N', summary: 'port of the API on loopback' },
    { name: 'http-port', value: 'N', summary: 'port under which apps are served' },
    {
      name: 'restart',
      summary: 'replace what runs by new processes; requests go on meanwhile',
    },
    { name: 'no-claim', summary: 'do not log in, only print the claim link' },
    DATA_OPTION,
  ],
  positionals: { min: 0, max: 0 },
  run,
}

async function run(context: Context): Promise<number> {
  const { out, programs, args } = context
  const platform = await programs.platform.up(upOptions(context), (line) => {
    out.note(line)
  })
  const server = normalServer(platform.url)
  const claimed =
    platform.claim !== null && !args.flag('no-claim')
      ? await claimUnlessUsed(context, server, platform.claim)
      : null
  const login = claimed ?? knownLogin(context, server)
  if (out.json) {
    const { routerUrls, caFile, dataDir, runner, started } = platform
    const claimUrl = claimed === null ? platform.claimUrl : null
    out.object({ url: server, routerUrls, caFile, dataDir, runner, started, login, claimUrl })
    return 0
  }
  show(context, platform, server, { login, claimed: claimed !== null })
  return 0
}

/** Null where somebody was quicker, with the link for instance. */
async function claimUnlessUsed(
  context: Context,
  server: string,
  code: string,
): Promise<string | null> {
  try {
    return await claimServer(context, server, code)
  } catch (error) {
    if (error instanceof ClientError && error.code === 'CLAIM_USED') return null
    throw error
  }
}

function show(
  { out }: Context,
  platform: RunningPlatform,
  server: string,
  { login, claimed }: { readonly login: string | null; readonly claimed: boolean },
): void {
  out.line(`server   ${server}${platform.started.includes('server') ? '' : '  (was running)'}`)
  for (const url of platform.routerUrls) {
    out.line(`router   ${url}${platform.started.includes('router') ? '' : '  (was running)'}`)
  }
  if (platform.caFile !== null) out.line(`ca       ${platform.caFile}  (trust it for https)`)
  out.line(`runner   ${platform.runner}`)
  out.line(`data     ${platform.dataDir}`)
  if (claimed) out.line(`login    you are ${login ?? ''}; this server is claimed now`)
  else if (platform.claimUrl !== null) out.line(`claim    ${platform.claimUrl}  (works once)`)
  else if (login === null) {
    out.line(`login    \`fairway login ${server} --token TOKEN\`: this server is claimed already`)
  } else out.line(`login    you are ${login}`)
  if (platform.runner === 'process') {
    out.problem(
      `${out.paint('yellow', 'warning:')} the process runner does not isolate apps from each other or from this machine`,
    )
  }
}

/** Name of the token that this user has for the server; null where there is none. */
function knownLogin({ io }: Context, server: string): string | null {
  const config = readConfig(configPath(io))
  return config.servers[server]?.name ?? null
}

function upOptions({ args }: Context): UpOptions {
  const runner = args.value('runner')
  const known = RUNNERS.find((each) => each === runner)
  if (runner !== undefined && known === undefined) {
    throw new FairwayError(
      'INVALID_REQUEST',
      `--runner must be ${RUNNERS.join(', ')}, not ${JSON.stringify(runner)}`,
    )
  }
  return {
    runner: known,
    port: portOf('port', args.integer('port', 1)),
    httpPort: portOf('http-port', args.integer('http-port', 1)),
    restart: args.flag('restart'),
    dataDir: args.value('data'),
  }
}

function portOf(name: string, port: number | undefined): number | undefined {
  if (port === undefined || port <= 65_535) return port
  throw new FairwayError('INVALID_REQUEST', `--${name} must be at most 65535, not ${port}`)
}
