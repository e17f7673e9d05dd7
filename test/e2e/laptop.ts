import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { minimalEnv, runToEnd, type RunResult } from '../../src/lib/process.ts'
import { readConfig } from '../../src/cli/user-config.ts'
import { eventually } from './probe-app.ts'

const cli = resolve(import.meta.dirname, '../../bin/fairway')
/** A desktop's opener, of which only the browser is missing. */
const OPENER = '#!/bin/sh\nprintf %s "$1" >"$HOME/opening" && mv "$HOME/opening" "$HOME/opened"\n'
const LOGIN_MS = 120_000

/** The machine of one person: a home of its own and the real command line as a program of its own. */
export class Laptop {
  readonly server: string
  readonly #home: string

  private constructor(server: string, home: string) {
    this.server = server
    this.#home = home
  }

  static async open(server: string): Promise<Laptop> {
    const home = await mkdtemp(join(tmpdir(), 'fairway-laptop-'))
    await mkdir(join(home, 'bin'))
    await writeFile(join(home, 'bin/xdg-open'), OPENER)
    await chmod(join(home, 'bin/xdg-open'), 0o755)
    return new Laptop(server, home)
  }

  fairway(
    args: readonly string[],
    { onOutput }: { readonly onOutput?: (text: string) => void } = {},
  ): Promise<RunResult> {
    const env = minimalEnv()
    return runToEnd(cli, [...args], {
      env: {
        ...env,
        HOME: this.#home,
        PATH: `${join(this.#home, 'bin')}:${env['PATH'] ?? ''}`,
        DISPLAY: ':0',
      },
      cwd: this.#home,
      timeoutMs: LOGIN_MS,
      ...(onOutput === undefined
        ? {}
        : { onOutput: (chunk: Buffer) => onOutput(chunk.toString('utf8')) }),
    })
  }

  /** `fairway login`; `browse` gets what the browser was opened with. */
  async login(browse: (url: string) => Promise<unknown>): Promise<RunResult> {
    const opened = join(this.#home, 'opened')
    await rm(opened, { force: true })
    const ran = this.fairway(['login', this.server])
    const browsing = (async () => {
      await eventually(async () => (await readFile(opened, 'utf8')) !== '', {
        withinMs: LOGIN_MS,
      })
      await browse(await readFile(opened, 'utf8'))
    })()
    const [result] = await Promise.all([ran, browsing])
    return result
  }

  /** `fairway login --device`; `type` gets the address and the code that the person is told. */
  async loginByCode(type: (url: string, code: string) => Promise<unknown>): Promise<RunResult> {
    let said = ''
    const typing: Promise<unknown>[] = []
    const result = await this.fairway(['login', this.server, '--device'], {
      onOutput: (text) => {
        said += text
        const [, url] = /any device: (\S+)/.exec(said) ?? []
        const [, code] = /compare the code: (\S+)/.exec(said) ?? []
        if (url === undefined || code === undefined || typing.length > 0) return
        typing.push(type(url, code))
      },
    })
    await Promise.all(typing)
    return result
  }

  /** What the server answers to the kept token. */
  async status(): Promise<number> {
    const { servers } = readConfig(join(this.#home, '.config/fairway/config.json'))
    const token = servers[this.server]?.token ?? ''
    const response = await fetch(`${this.server}/v1/whoami`, {
      headers: { authorization: `Bearer ${token}` },
    })
    await response.body?.cancel()
    return response.status
  }

  async remove(): Promise<void> {
    await rm(this.#home, { recursive: true, force: true })
  }
}
