/** A PostgreSQL of one test: a real server on a private folder and a random port of 127.0.0.1, ended with the test. */
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { chmod, chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { systemClock } from '../src/lib/clock.ts'
import { minimalEnv, run, start } from '../src/lib/process.ts'
import { freePorts } from './e2e/private-platform.ts'

const DEBIAN_FOLDER = '/usr/lib/postgresql'

export interface PostgresCluster {
  readonly port: number
  readonly password: string
  /** PEM file: who signed the server's certificate, which is for 127.0.0.1. */
  readonly authority: string
  /** URL of a new, empty database. */
  newDatabase(suffix?: string): Promise<string>
  /** A statement as superuser; rows as objects. */
  query(database: string, text: string): Promise<readonly Record<string, unknown>[]>
  /** Ends it: `SIGKILL` as in a crash, `SIGINT` without waiting for clients. */
  stop(signal: 'SIGKILL' | 'SIGINT'): Promise<void>
  start(): Promise<void>
  /** Ends it and removes its folder. */
  remove(): Promise<void>
}

/** Folder of the programs, or why there is none. */
export function postgresPrograms(): { readonly folder: string } | { readonly missing: string } {
  const versions = existsSync(DEBIAN_FOLDER) ? readdirSync(DEBIAN_FOLDER) : []
  const [newest] = versions.sort((a, b) => Number(b) - Number(a))
  const folder = join(DEBIAN_FOLDER, newest ?? '', 'bin')
  return existsSync(join(folder, 'initdb'))
    ? { folder }
    : { missing: 'needs PostgreSQL (package postgresql)' }
}

/** It refuses to run as root: there it runs as the user that the package made. */
export async function startPostgresCluster(programs: string): Promise<PostgresCluster> {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-postgres-'))
  const password = randomBytes(12).toString('hex')
  const [port = 0] = await freePorts(1)
  const user = process.getuid?.() === 0 ? await packageUser() : null
  const data = join(folder, 'data')
  const passwordFile = join(folder, 'password')
  await writeFile(passwordFile, password)
  if (user !== null)
    for (const path of [folder, passwordFile]) await chown(path, user.uid, user.gid)
  const own = ['-D', data, '-U', 'fairway', '--encoding=UTF8', '--locale=C.UTF-8']
  const [initdb = '', ...initArgs] = asUser(user, [
    join(programs, 'initdb'),
    ...own,
    '--auth=scram-sha-256',
    `--pwfile=${passwordFile}`,
    '--no-sync',
  ])
  await run(initdb, initArgs, { cwd: folder })
  const authority = join(folder, 'server.crt')
  const key = join(folder, 'server.key')
  await run('openssl', [
    ...[
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=127.0.0.1',
    ],
    ...['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', authority],
  ])
  // Whatever the umask here: it is read by another user.
  await chmod(authority, 0o644)
  await chmod(key, 0o600)
  if (user !== null) await chown(key, user.uid, user.gid)
  const tls = ['ssl=on', `ssl_cert_file=${authority}`, `ssl_key_file=${key}`]
  const settings = [
    ...tls,
    `port=${String(port)}`,
    `unix_socket_directories=${folder}`,
    'fsync=off',
  ]
  const argv = asUser(user, [
    join(programs, 'postgres'),
    '-D',
    data,
    ...settings.flatMap((setting) => ['-c', setting]),
  ])
  return new Cluster({ folder, port, password, authority, argv })
}

type Child = Awaited<ReturnType<typeof start>>

interface ClusterFacts {
  readonly folder: string
  readonly port: number
  readonly password: string
  readonly authority: string
  readonly argv: readonly string[]
}

class Cluster implements PostgresCluster {
  readonly port: number
  readonly password: string
  readonly authority: string
  readonly #folder: string
  readonly #argv: readonly string[]
  #child: Child | null = null
  #databases = 0

  constructor(facts: ClusterFacts) {
    this.port = facts.port
    this.password = facts.password
    this.authority = facts.authority
    this.#folder = facts.folder
    this.#argv = facts.argv
  }

  async start(): Promise<void> {
    const [program = '', ...args] = this.#argv
    const child = await start(program, args, {
      cwd: this.#folder,
      env: minimalEnv(),
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child = child
    let said = ''
    child.stderr?.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)))
    for (;;) {
      try {
        await this.query('postgres', 'select 1')
        return
      } catch (error) {
        if (child.exitCode !== null) throw new Error(`PostgreSQL ended: ${said}`, { cause: error })
        await systemClock.sleep(20)
      }
    }
  }

  async stop(signal: 'SIGKILL' | 'SIGINT'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    // Its own processes have its output too: all of them are gone, none answers a connection any more.
    const ended = new Promise((resolve) => child.once('close', resolve))
    child.kill(signal)
    await ended
  }

  async remove(): Promise<void> {
    await this.stop('SIGINT')
    await rm(this.#folder, { recursive: true, force: true })
  }

  async newDatabase(suffix = ''): Promise<string> {
    this.#databases++
    const name = `test${String(this.#databases)}`
    await this.query('postgres', `create database ${name} ${suffix}`)
    return this.#url(name)
  }

  async query(database: string, text: string): Promise<readonly Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: this.#url(database) })
    // Told once more when the server ends while it answers.
    client.on('error', () => undefined)
    await client.connect()
    try {
      const { rows } = await client.query<Record<string, unknown>>(text)
      return rows
    } finally {
      await client.end()
    }
  }

  #url(database: string): string {
    return `postgres://fairway:${this.password}@127.0.0.1:${String(this.port)}/${database}`
  }
}

interface User {
  readonly uid: number
  readonly gid: number
}

/** With the signal that ends it when the test ends in any way. */
function asUser(user: User | null, argv: readonly string[]): readonly string[] {
  const ids =
    user === null
      ? []
      : [`--reuid=${String(user.uid)}`, `--regid=${String(user.gid)}`, '--clear-groups']
  return ['setpriv', ...ids, '--pdeathsig=INT', ...argv]
}

async function packageUser(): Promise<User> {
  const line = (await readFile('/etc/passwd', 'utf8'))
    .split('\n')
    .find((entry) => entry.startsWith('postgres:'))
  const [, , uid, gid] = line?.split(':') ?? []
  if (uid === undefined || gid === undefined) throw new Error('there is no user postgres')
  return { uid: Number(uid), gid: Number(gid) }
}
