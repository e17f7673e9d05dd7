import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { main } from '../../src/cli/main.ts'
import { TestIo, testPrograms } from '../fakes/cli-io.ts'
import type { PrivatePlatform } from './private-platform.ts'

export interface Said {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** One person's command line against a real server: the same `main`, without starting a program for every command. */
export class Desk {
  readonly #home: string

  private constructor(home: string) {
    this.#home = home
  }

  /** Of whoever started the platform. */
  static ofOwner({ env }: PrivatePlatform): Desk {
    return new Desk(env['HOME'] ?? '/nonexistent')
  }

  /** Of somebody who was given this token; has a home of its own, to be removed. */
  static async withToken(server: string, token: string): Promise<Desk> {
    const desk = new Desk(await mkdtemp(join(tmpdir(), 'fairway-desk-')))
    await desk.must('login', server, '--token', token.trim())
    return desk
  }

  async fairway(...args: readonly string[]): Promise<Said> {
    const io = new TestIo({ home: this.#home })
    io.width = 200
    io.stdin.end()
    const code = await main([...args], io, testPrograms())
    return { code, stdout: io.out, stderr: io.err }
  }

  /** Same, must succeed; returns standard output. */
  async must(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.fairway(...args)
    if (code === 0) return stdout
    throw new Error(`fairway ${args.join(' ')}: exit ${code}\n${stdout}\n${stderr}`)
  }

  async remove(): Promise<void> {
    await rm(this.#home, { recursive: true, force: true })
  }
}
