import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { minimalEnv, start } from '../../src/lib/process.ts'
import { Authority, writePair } from '../cluster/certificates.ts'
import { freePorts } from './private-platform.ts'
import { eventually } from './probe-app.ts'

export interface Login {
  readonly name: string
  readonly password: string
}

export const PUSHER: Login = { name: 'pusher', password: 'push-secret-1' }
export const PULLER: Login = { name: 'puller', password: 'pull-secret-2' }
/** bcrypt, the only kind that the registry reads, with cost 5: made with crypt(3). */
const HTPASSWD = `pusher:$2y$05$abcdefghijklmnopqrstuuvm8tWvxo1kiAGhrGPZ4SEXxxgE95IlW
puller:$2y$05$abcdefghijklmnopqrstuuopfvmSdbmIC5jxSkFYbN6CmIK7DSgIa
`

/** The registry of a team, as Debian packages it (distribution/distribution): TLS of a private authority, and two users. */
export class TeamRegistry {
  /** `host:port`, as in the names of its images. */
  readonly name: string
  /** PEM. */
  readonly authority: string
  /** File with the authority, and with those that this machine trusts in addition already. */
  readonly trusted: string
  readonly #folder: string
  #program: Awaited<ReturnType<typeof start>> | null = null

  private constructor(name: string, authority: string, folder: string) {
    this.name = name
    this.authority = authority
    this.trusted = join(folder, 'trusted.pem')
    this.#folder = folder
  }

  /** @param host an address of this machine */
  static async start(host: string): Promise<TeamRegistry> {
    const [port = 0] = await freePorts(1)
    const folder = await mkdtemp(join(tmpdir(), 'fairway-registry-'))
    const authority = await Authority.create('a team')
    const registry = new TeamRegistry(`${host}:${String(port)}`, authority.certificate, folder)
    await writePair(
      folder,
      'registry',
      await authority.issue({ name: 'registry', addresses: [host] }),
    )
    const others = process.env['NODE_EXTRA_CA_CERTS']
    const trusted = others === undefined ? '' : await readFile(others, 'utf8')
    await writeFile(registry.trusted, `${authority.certificate}\n${trusted}`)
    await writeFile(join(folder, 'users'), HTPASSWD)
    await writeFile(
      join(folder, 'config.json'),
      JSON.stringify(configuration(folder, registry.name)),
    )
    await registry.begin()
    return registry
  }

  async begin(): Promise<void> {
    this.#program = await start('docker-registry', ['serve', join(this.#folder, 'config.json')], {
      env: minimalEnv(),
      stdio: 'ignore',
    })
    await eventually(async () => (await this.ask('/v2/', PUSHER).catch(() => null))?.status === 200)
  }

  async end(): Promise<void> {
    const program = this.#program
    this.#program = null
    if (program === null || program.exitCode !== null) return
    const ended = new Promise((done) => program.once('exit', done))
    program.kill('SIGKILL')
    await ended
  }

  async destroy(): Promise<void> {
    await this.end()
    await rm(this.#folder, { recursive: true, force: true })
  }

  ask(path: string, { name, password }: Login): Promise<{ status: number; text: string }> {
    const { hostname, port } = new URL(`https://${this.name}`)
    return new Promise((resolve, reject) => {
      const options = { hostname, port, path, auth: `${name}:${password}`, ca: this.authority }
      const outgoing = request({ ...options, agent: false, timeout: 5_000 }, (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.once('end', () => resolve({ status: response.statusCode ?? 0, text }))
      })
      outgoing.once('timeout', () => outgoing.destroy(new Error('timeout')))
      outgoing.once('error', reject)
      outgoing.end()
    })
  }
}

/** Its file is YAML, of which JSON is a part. */
function configuration(folder: string, address: string): object {
  return {
    version: '0.1',
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(folder, 'images') } },
    auth: { htpasswd: { realm: 'team', path: join(folder, 'users') } },
    http: {
      addr: address,
      tls: { certificate: join(folder, 'registry.crt'), key: join(folder, 'registry.key') },
    },
  }
}
