import { hostname, userInfo } from 'node:os'
import type { Context } from './context.ts'
import { configPath, readConfig, withServer, writeConfig } from './user-config.ts'

/** Trades the claim code for the first admin token, remembers it and makes the server the current one. Returns the token's name. */
export async function claimServer(context: Context, server: string, code: string): Promise<string> {
  const { token, view } = await context
    .connect(server, null)
    .claim({ code, name: context.args.value('name') ?? localName() })
  await rememberServer(context, server, { token, name: view.name })
  return view.name
}

export async function rememberServer(
  { io }: Context,
  server: string,
  login: { readonly token: string; readonly name: string },
): Promise<void> {
  const path = configPath(io)
  await writeConfig(path, withServer(readConfig(path), server, login))
}

/** 'ada@laptop', as far as the names of tokens allow. */
export function localName(): string {
  const name = `${userInfo().username}@${hostname()}`.replace(/[^A-Za-z0-9._@-]+/g, '-')
  return name.replace(/^[^A-Za-z0-9]+/, '').slice(0, 60) || 'owner'
}
