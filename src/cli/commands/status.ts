import { failureOf } from '../failure.ts'
import type { Command } from '../command.ts'
import { grantTexts } from '../grant.ts'
import type { Context } from '../context.ts'
import { DATA_OPTION } from '../data-option.ts'
import { printable } from '../text-width.ts'
import type { ProgramState } from '../programs.ts'
import { tableLines } from '../table.ts'

export const status: Command = {
  name: 'status',
  summary: 'show whether server and router run, and which server is used',
  usage: '',
  details: ['Exit code 8 where the server in use does not answer.'],
  examples: ['fairway status', 'fairway status --json'],
  options: [DATA_OPTION],
  positionals: { min: 0, max: 0 },
  run,
}

/** Whatever listens there and says nothing is no server. */
const ANSWER_MS = 5_000

interface Answer {
  readonly server: string | null
  readonly version: string | null
  readonly runner: string | null
  readonly login: string | null
  readonly error: string | null
}

async function run(context: Context): Promise<number> {
  const { args, out, programs } = context
  const [here, answer] = await Promise.all([
    programs.platform.status({ dataDir: args.value('data') }),
    ask(context),
  ])
  if (out.json) {
    out.object({ here, inUse: answer })
  } else {
    const rows = [
      ['server', ...cells(here.server)],
      ['router', ...cells(here.router)],
    ]
    for (const line of tableLines(['HERE', 'STATE', 'URL', 'DETAIL'], rows, out.width)) {
      out.line(line)
    }
    out.line()
    out.line(`in use  ${inUse(answer)}`)
  }
  return answer.error === null ? 0 : 8
}

async function ask(context: Context): Promise<Answer> {
  const none: Answer = { server: null, version: null, runner: null, login: null, error: null }
  try {
    const client = context.client({ timeoutMs: ANSWER_MS })
    const named = { ...none, server: client.server }
    try {
      const [version, me] = await Promise.all([client.version(), client.whoami()])
      return {
        ...named,
        version: version.version,
        runner: version.runner,
        login: `${me.name} (${grantTexts(me.grants)})`,
      }
    } catch (error) {
      return { ...named, error: failureOf(error).message }
    }
  } catch (error) {
    return { ...none, error: failureOf(error).message }
  }
}

function cells({ state, url, detail }: ProgramState): string[] {
  return [state, url ?? '', printable(detail, false)]
}

function inUse({ server, version, runner, login, error }: Answer): string {
  if (error !== null) return error
  return `${server ?? ''}  Fairway ${version ?? ''}, runner ${runner ?? ''}, as ${login ?? ''}`
}
