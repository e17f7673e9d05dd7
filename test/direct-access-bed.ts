import { DatabaseSync } from 'node:sqlite'
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { importJWK, SignJWT, type CryptoKey, type JWK } from 'jose'
import { z } from 'zod'
import { main } from '../src/cli/main.ts'
import { minimalEnv, runToEnd, type RunResult } from '../src/lib/process.ts'
import { FAIRWAY } from './access-bed.ts'
import { BUSYBOX } from './cluster/busybox-image.ts'
import { LoneApiServer } from './cluster/lone-api-server.ts'
import { freePorts, startPrivatePlatform, type PrivatePlatform } from './e2e/private-platform.ts'
import { TestIo, testPrograms } from './fakes/cli-io.ts'
import { CLIENT_ID, OpenIdServer } from './fakes/openid-server.ts'
import { ScriptedBrowser } from './scripted-browser.ts'

/** Somebody at a computer of their own: what their programs run with. */
export interface Somebody {
  readonly name: string
  readonly env: Readonly<Record<string, string>>
}

/** A key of the issuer, as the server keeps it. */
export interface IssuerKey {
  readonly kid: string
  readonly createdAt: number
  readonly jwk: JWK
}

const keys = z.array(
  z.object({ kid: z.string(), createdAt: z.number(), jwk: z.record(z.string(), z.string()) }),
)
const SETTING = 'kube.issuer'

/** A whole Fairway (a server of its own process, an identity provider, the real CLI and kubectl) and an API server that knows Fairway only by the files that Fairway writes. */
export class DirectAccessBed {
  readonly api: LoneApiServer
  readonly platform: PrivatePlatform
  readonly provider: OpenIdServer
  readonly #folder: string

  private constructor(
    folder: string,
    parts: {
      readonly api: LoneApiServer
      readonly platform: PrivatePlatform
      readonly provider: OpenIdServer
    },
  ) {
    this.#folder = folder
    this.api = parts.api
    this.platform = parts.platform
    this.provider = parts.provider
  }

  /** With the target `prod`, and on it `shop` in production and staging and `till` in production. */
  static async open(): Promise<DirectAccessBed> {
    const folder = await mkdtemp(join(tmpdir(), 'fairway-direct-'))
    const [apiPort = 0, accessPort = 0] = await freePorts(2)
    const provider = await OpenIdServer.start(`http://127.0.0.1:${String(apiPort)}/oidc/callback`)
    const ends: (() => Promise<unknown>)[] = [() => provider.stop()]
    try {
      const api = await LoneApiServer.open()
      ends.push(() => api.close())
      const secret = join(folder, 'oidc-secret')
      await writeFile(secret, provider.clientSecret, { mode: 0o600 })
      const platform = await startPrivatePlatform({
        runner: 'process',
        apiPort,
        env: {
          FAIRWAY_ACCESS_PORT: String(accessPort),
          FAIRWAY_OIDC_ISSUER: provider.issuer,
          FAIRWAY_OIDC_CLIENT_ID: CLIENT_ID,
          FAIRWAY_OIDC_CLIENT_SECRET_FILE: secret,
        },
      })
      ends.push(() => platform.destroy())
      const bed = new DirectAccessBed(folder, { api, platform, provider })
      await bed.addTarget('prod')
      await bed.deploy('shop', ['production', 'staging'])
      await bed.deploy('till', ['production'])
      return bed
    } catch (error) {
      for (const end of ends.reverse()) await end().catch(() => undefined)
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  get url(): string {
    return `http://127.0.0.1:${String(this.platform.apiPort)}`
  }

  async addTarget(name: string): Promise<void> {
    const { kubeconfig } = this.api.cluster
    // No node runs, so nothing is pulled: the address need only be one.
    const pull = ['--pull-from', '127.0.0.1:5000']
    await this.platform.must(['target', 'add', name, '--kubeconfig', kubeconfig, ...pull])
  }

  /** An app that only runs at night: its rollout waits for no pod. */
  async deploy(name: string, environments: readonly string[], target = 'prod'): Promise<void> {
    const folder = join(this.#folder, name)
    await mkdir(folder, { recursive: true })
    await copyFile(BUSYBOX, join(folder, 'app'))
    await chmod(join(folder, 'app'), 0o755)
    const file = {
      version: 1,
      name,
      processes: { nightly: { command: './app true', schedule: '0 3 * * *' } },
      environments: Object.fromEntries(environments.map((one) => [one, { target }])),
    }
    await writeFile(join(folder, 'fairway.yaml'), JSON.stringify(file))
    for (const one of environments) await this.platform.must(['deploy', folder, '--env', one])
  }

  /** What docs/access-kubernetes.md tells an administrator to do; the API server starts with nothing but that. */
  async choose(way: 'issuer' | 'webhook'): Promise<readonly string[]> {
    const flags = await this.files(way)
    await this.api.restart(flags)
    return flags
  }

  /** The flags that `fairway target access --files` prints, with the file where it wrote it. */
  async files(way: 'issuer' | 'webhook'): Promise<readonly string[]> {
    const folder = join(this.#folder, way)
    const words = ['target', 'access', 'prod', '--way', way, '--files', folder]
    const printed = await this.platform.must(words)
    return printed.split('\n').filter((line) => line.startsWith('--'))
  }

  /** A person who logs in at the provider with a browser. */
  async person(name: string, groups: readonly string[]): Promise<Somebody> {
    this.provider.people.set(name, groups)
    const home = join(this.#folder, `home-${name}`)
    await mkdir(home, { recursive: true })
    const io = new TestIo({ home, cwd: home, env: {} })
    io.stdin.end()
    let browsing = Promise.resolve()
    const openBrowser = (url: string): Promise<boolean> => {
      browsing = signIn(url, name)
      return Promise.resolve(true)
    }
    const code = await main(['login', this.url], io, testPrograms({ openBrowser }))
    await browsing
    if (code !== 0) throw new Error(io.err)
    return { name, env: { ...minimalEnv(), HOME: home } }
  }

  /** A program with a token of its own; the id revokes it. */
  async machine(name: string, grants: readonly string[]): Promise<Somebody & { id: string }> {
    const words = ['tokens', 'create', name, ...grants]
    const token = (await this.platform.must(words)).trim().split(/\s+/).at(-1) ?? ''
    const home = join(this.#folder, `home-${name}`)
    await mkdir(home, { recursive: true })
    const id = /^fwy_([^_]+)_/.exec(token)?.[1] ?? ''
    return { name, id, env: { ...minimalEnv(), HOME: home, FAIRWAY_TOKEN: token } }
  }

  fairway({ env }: Somebody, args: readonly string[]): Promise<RunResult> {
    return runToEnd(FAIRWAY, args, { env: { ...env, FAIRWAY_SERVER: this.url } })
  }

  /** Path of what `fairway kubeconfig` prints for them. */
  async kubeconfig(who: Somebody, args: readonly string[] = []): Promise<string> {
    const words = ['kubeconfig', '--command', FAIRWAY, ...args]
    const { code, stdout, stderr } = await this.fairway(who, words)
    if (code !== 0) throw new Error(stderr)
    const path = join(this.#folder, `${who.name}${args.join('')}.kubeconfig`)
    await writeFile(path, stdout)
    return path
  }

  kubectl(
    { env }: Somebody,
    config: string,
    args: readonly string[],
    options: { readonly input?: string; readonly program?: string } = {},
  ): Promise<RunResult> {
    const { input = '', program = this.api.cluster.program } = options
    return runToEnd(program, ['--kubeconfig', config, ...args], {
      env,
      input,
      timeoutMs: 120_000,
    })
  }

  /** The token that kubectl would be given now. */
  async token(who: Somebody, args: readonly string[] = []): Promise<string> {
    const words = ['kube-token', '--target', 'prod', ...args]
    const { stdout, stderr } = await this.fairway(who, words)
    if (stdout === '') throw new Error(stderr)
    return z.object({ status: z.object({ token: z.string() }) }).parse(JSON.parse(stdout)).status
      .token
  }

  /** Their next token is a new one. */
  async forget({ env }: Somebody): Promise<void> {
    await rm(join(env['HOME'] ?? '/nonexistent', '.cache/fairway/kube'), {
      recursive: true,
      force: true,
    })
  }

  /** What the API server says to whoever shows this token: exit code and what was printed. */
  async whoami(token: string): Promise<{ readonly code: number | null; readonly said: string }> {
    const config = join(this.#folder, 'bare.kubeconfig')
    const { stdout: text } = await this.api.cluster.tryKubectl([
      'config',
      'view',
      '--raw',
      '-ojson',
    ])
    const { clusters } = z.object({ clusters: z.array(z.unknown()) }).parse(JSON.parse(text))
    await writeFile(config, JSON.stringify({ apiVersion: 'v1', kind: 'Config', clusters }))
    const words = ['--kubeconfig', config, '--cluster', 'lab', '--token', token]
    const asked = ['auth', 'whoami', '-o', 'json']
    const { code, stdout, stderr } = await runToEnd(this.api.cluster.program, [...words, ...asked])
    return { code, said: stdout + stderr }
  }

  /** The keys of the issuer as they are stored, oldest first. */
  keys(): readonly IssuerKey[] {
    const database = this.#database()
    try {
      const row = database.prepare('select value from settings where key = ?').get(SETTING)
      return keys
        .parse(JSON.parse(z.object({ value: z.string() }).parse(row).value))
        .map(({ jwk, ...key }) => ({ ...key, jwk: { ...jwk, kty: jwk['kty'] ?? 'EC' } }))
    } finally {
      database.close()
    }
  }

  /** As if the newest was made so long ago, and the others that much earlier too. */
  ageKey(ms: number): void {
    const all = this.keys()
    const shift = (all.at(-1)?.createdAt ?? 0) - (Date.now() - ms)
    const aged = all.map((key) => ({ ...key, createdAt: key.createdAt - shift }))
    const database = this.#database()
    try {
      const change = database.prepare('update settings set value = ? where key = ?')
      change.run(JSON.stringify(aged), SETTING)
    } finally {
      database.close()
    }
  }

  /** A token that the server never made, signed by its own key or another one: `claims` over those that it would have had. */
  async forge(
    claims: Readonly<Record<string, unknown>>,
    key?: { readonly kid: string; readonly key: CryptoKey | Uint8Array },
  ): Promise<string> {
    const own = this.keys().at(-1)
    if (own === undefined) throw new Error('the server has no key yet')
    const signer = key ?? { kid: own.kid, key: await importJWK(own.jwk, 'ES256') }
    const now = Math.floor(Date.now() / 1000)
    return new SignJWT({ iat: now, nbf: now - 30, exp: now + 300, jti: 'forged', ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: signer.kid, typ: 'JWT' })
      .sign(signer.key)
  }

  async close(): Promise<void> {
    await this.platform.destroy()
    await this.api.close()
    await this.provider.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }

  #database(): DatabaseSync {
    return new DatabaseSync(join(this.platform.dataDir, 'fairway.db'), { timeout: 5000 })
  }
}

/** What `fairway login` opens: our page, a click, the provider's two pages, and back. */
async function signIn(url: string, login: string): Promise<void> {
  const browser = new ScriptedBrowser()
  const page = await browser.follow(await browser.open(url))
  const consent = await browser.submit(page, { login, password: 'any' })
  const end = await browser.submit(consent)
  if (!end.html.includes('Logged in')) throw new Error(end.html)
}
