import { basename } from 'node:path'
import { FairwayError } from '../model/errors.ts'
import { parseAppName, parseEnvironmentName, type AppRef } from '../model/names.ts'
import { FairwayClient } from '../client/fairway-client.ts'
import { inferredName, nameInAppFile, readAppFile } from './app-name.ts'
import type { Arguments } from './arguments.ts'
import type { CliIo } from './io.ts'
import type { CliPrograms } from './programs.ts'
import type { Terminal } from './terminal.ts'
import { configPath, normalServer, readConfig } from './user-config.ts'

/** What a command gets: its arguments, the outside world, and where to print. */
export class Context {
  readonly args: Arguments
  readonly io: CliIo
  readonly programs: CliPrograms
  readonly out: Terminal
  readonly #clients: FairwayClient[] = []

  constructor(args: Arguments, io: CliIo, programs: CliPrograms, out: Terminal) {
    this.args = args
    this.io = io
    this.programs = programs
    this.out = out
  }

  get now(): number {
    return this.io.clock.now()
  }

  /**
   * A client of the chosen server: --server, else FAIRWAY_SERVER, else the one last logged in to.
   * @throws FairwayError SERVER_UNREACHABLE where no server is known, UNAUTHENTICATED where there is no token for it
   */
  client(options: { readonly timeoutMs?: number } = {}): FairwayClient {
    const config = readConfig(configPath(this.io))
    const given = this.args.value('server') ?? nonEmpty(this.io.env['FAIRWAY_SERVER'])
    const server = given === undefined ? config.current : normalServer(given)
    if (server === null) {
      throw new FairwayError('SERVER_UNREACHABLE', 'no server is known yet', {
        hint: 'Start one here with `fairway up`, or log in to one with `fairway login URL --token TOKEN`.',
      })
    }
    const token = nonEmpty(this.io.env['FAIRWAY_TOKEN']) ?? config.servers[server]?.token
    if (token === undefined) {
      throw new FairwayError('UNAUTHENTICATED', `not logged in to ${server}`, {
        hint: `Log in with \`fairway login ${server} --token TOKEN\`, or set FAIRWAY_TOKEN.`,
      })
    }
    return this.connect(server, token, options)
  }

  /** A client of the given server, closed when the command ends. */
  connect(
    server: string,
    token: string | null,
    options: { readonly timeoutMs?: number } = {},
  ): FairwayClient {
    const client = new FairwayClient({ server, token, ...options })
    this.#clients.push(client)
    return client
  }

  environment(): AppRef['environment'] {
    return parseEnvironmentName(this.args.value('env') ?? 'production')
  }

  /** The app of this folder, or the one named by --app. @throws FairwayError INVALID_NAME, INVALID_APP_FILE */
  async ref(): Promise<AppRef> {
    const environment = this.environment()
    const named = this.args.value('app')
    if (named !== undefined) return { app: parseAppName(named), environment }
    const file = readAppFile(this.io.cwd)
    const name = file === null ? null : await nameInAppFile(file)
    return { app: parseAppName(name ?? inferredName(basename(this.io.cwd))), environment }
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}
