import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { minimalEnv, run, start } from '../../src/lib/process.ts'
import { npmClient, type NpmClient } from './npm-client.ts'
import { freePorts, passedOn } from './private-platform.ts'
import { eventually } from './probe-app.ts'

const EXAMPLE = join(import.meta.dirname, '../../examples/verdaccio')
const LONG = 300_000

/** A registry of npm packages of a company's own: verdaccio, which asks this machine's for what it does not have. */
export interface PackageRegistry {
  readonly url: string
  /** Somebody who may publish. */
  readonly client: NpmClient
  publish(name: string, source: string): Promise<void>
  close(): Promise<void>
}

/** @param host address on which it listens; @param folder is its own */
export async function startPackageRegistry(host: string, folder: string): Promise<PackageRegistry> {
  const [server, home] = [join(folder, 'server'), join(folder, 'home')]
  await cp(EXAMPLE, server, { recursive: true })
  await mkdir(home)
  const env = { ...minimalEnv(), ...passedOn(), HOME: home }
  await run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: server, env, timeoutMs: LONG })
  const upstream = (await run('npm', ['config', 'get', 'registry'], { cwd: server, env })).trim()
  await writeFile(join(server, 'config.yaml'), config(folder, upstream))
  const [port = 0] = await freePorts(1)
  const url = `http://${host}:${String(port)}/`
  const verdaccio = join(server, 'node_modules/verdaccio/bin/verdaccio')
  const child = await start(
    process.execPath,
    [verdaccio, '--config', 'config.yaml', '--listen', url],
    { cwd: server, env, stdio: ['ignore', 'ignore', 'inherit'] },
  )
  const ended = new Promise((resolve) => child.once('close', resolve))
  const close = async (): Promise<void> => {
    child.kill('SIGKILL')
    await ended
  }
  try {
    const answers = async (): Promise<boolean> => (await fetch(`${url}-/ping`)).ok
    await eventually(answers, { withinMs: 60_000 })
    const client = await npmClient(home, url)
    await client.addUser('tester', 'correct horse battery')
    return { url, client, publish: (name, source) => publish(client, folder, name, source), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function publish(
  { npm }: NpmClient,
  folder: string,
  name: string,
  source: string,
): Promise<void> {
  const library = join(folder, name)
  await mkdir(library)
  await writeFile(join(library, 'package.json'), JSON.stringify({ name, version: '1.0.0' }))
  await writeFile(join(library, 'index.js'), source)
  await npm(['publish'], library)
}

function config(folder: string, upstream: string): string {
  return JSON.stringify({
    storage: join(folder, 'storage'),
    auth: { htpasswd: { file: join(folder, 'htpasswd') } },
    uplinks: { upstream: { url: upstream } },
    packages: { '**': { access: '$all', publish: '$authenticated', proxy: 'upstream' } },
    log: { type: 'stdout', format: 'json', level: 'warn' },
  })
}
