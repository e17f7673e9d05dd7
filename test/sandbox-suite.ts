import assert from 'node:assert/strict'
import { chown, mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Sandbox, SandboxLimits, SandboxRequest, SandboxResult } from '../src/model/sandbox.ts'

export interface SandboxHarness {
  readonly sandbox: Sandbox
  readonly lowerDirs: readonly string[]
  leftovers(): Promise<readonly string[]>
  close(): Promise<void>
}

const LIMITS: SandboxLimits = {
  cpu: 1,
  memory: 128 << 20,
  pids: 64,
  disk: 20 << 20,
  timeoutMs: 20_000,
}

/** What every sandbox must do, as model/sandbox.ts promises; `more` adds what only some can. */
export function sandboxSuite(
  suite: { name: string; skip: string | null; make: () => Promise<SandboxHarness> },
  more: (run: (script: string, change?: Partial<SandboxRequest>) => Promise<SandboxRun>) => void,
): void {
  describe(`sandbox ${suite.name}`, { skip: suite.skip ?? false }, () => {
    let harness: SandboxHarness
    let folder: string
    before(async () => {
      harness = await suite.make()
      folder = await mkdtemp(join(tmpdir(), 'fairway-step-'))
      for (const name of ['work', 'cache']) {
        await mkdir(join(folder, name))
        const { writer } = harness.sandbox
        if (writer > 0) await chown(join(folder, name), writer, writer)
      }
    })
    after(async () => {
      const left = await harness.leftovers()
      await harness.close()
      await rm(folder, { recursive: true, force: true })
      assert.deepEqual(left, [])
    })
    const run = async (
      script: string,
      change: Partial<SandboxRequest> & { signal?: AbortSignal } = {},
    ): Promise<SandboxRun> => {
      const { sandbox } = harness
      const work = join(folder, 'work')
      const cache = join(folder, 'cache')
      let output = ''
      const boxed = sandbox.flavour === 'image'
      const result = await sandbox.run(
        {
          lowerDirs: harness.lowerDirs,
          workDir: work,
          workMount: boxed ? '/work' : work,
          caches: [{ dir: cache, mount: boxed ? '/var/cache/step' : cache }],
          readOnly: [],
          argv: ['sh', '-c', script],
          env: { CACHE: boxed ? '/var/cache/step' : cache },
          cwd: boxed ? '/work' : work,
          network: false,
          limits: LIMITS,
          ...change,
        },
        (text) => (output += text),
        change.signal ?? new AbortController().signal,
      )
      return { ...result, output, folder }
    }

    it('leaves what it made in the work folder and in the caches', async () => {
      const result = await run('echo made > made; echo kept > $CACHE/kept; echo done')
      assert.equal(result.code, 0)
      assert.equal(result.reason, 'exited')
      assert.match(result.output, /done/)
      assert.equal(await readFile(join(folder, 'work/made'), 'utf8'), 'made\n')
      assert.equal(await readFile(join(folder, 'cache/kept'), 'utf8'), 'kept\n')
      // Without mapped users what a step makes is of whoever runs it.
      const { writer } = harness.sandbox
      const owner = writer > 0 ? writer : process.getuid?.()
      assert.equal((await stat(join(folder, 'work/made'))).uid, owner)
    })

    it('tells the exit code and the last lines', async () => {
      const result = await run('echo out; echo err >&2; exit 3')
      assert.deepEqual({ code: result.code, reason: result.reason }, { code: 3, reason: 'exited' })
      assert.deepEqual([...result.lastLines].sort(), ['err', 'out'])
    })

    it('ends what takes too long, with its children', async () => {
      const limits = { ...LIMITS, timeoutMs: 400 }
      assert.equal((await run('sleep 1000 & sleep 1000', { limits })).reason, 'timeout')
    })

    it('ends what is not wanted any more', async () => {
      for (const ms of [0, 30, 300]) {
        const signal = AbortSignal.timeout(ms)
        assert.equal((await run('sleep 1000', { signal })).reason, 'aborted', String(ms))
      }
    })

    it('ends what writes too much', async () => {
      const result = await run('while :; do head -c 1000000 /dev/zero >> big; done')
      assert.equal(result.reason, 'disk')
      await rm(join(folder, 'work/big'), { force: true })
    })

    it('gets nothing of the platform’s environment', async () => {
      process.env['PLATFORM_SECRET'] = 'not yours'
      try {
        assert.doesNotMatch((await run('set')).output, /not yours/)
      } finally {
        delete process.env['PLATFORM_SECRET']
      }
    })

    more(run)
  })
}

export interface SandboxRun extends SandboxResult {
  readonly output: string
  readonly folder: string
}
