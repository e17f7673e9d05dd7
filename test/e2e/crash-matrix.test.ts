/** The server dies by SIGKILL at every write of a rollout; the next one brings it to its end, and nobody who calls the app notices. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { containersWork } from '../containers-work.ts'
import type { Death } from '../fakes/mortal-store.ts'
import { CrashBed, type Outcome } from './crash-bed.ts'
import { eventually, ProbeApp } from './probe-app.ts'
import { losingNoRequest } from './steady-requests.ts'

/** Prints its release: the logs tell how often it ran for which. */
const RELEASE_COMMAND = ['node', '-e', "console.log('migrates for ' + process.env.FAIRWAY_RELEASE)"]

interface Suite {
  readonly runner: 'container' | 'process'
  readonly skip: string | false
  readonly subnet: string
  /** Of the writes of a deploy: where to die. */
  readonly points: (writes: readonly string[]) => readonly Omit<Death, 'id'>[]
}

function crashMatrix({ runner, skip, subnet, points }: Suite): void {
  describe(`a server that dies, runner ${runner}`, { skip, timeout: 1_500_000 }, () => {
    let bed: CrashBed
    let app: ProbeApp
    let version = 0
    before(async () => {
      bed = await CrashBed.open(runner, subnet)
      app = await ProbeApp.create(bed.platform, 'shop')
    })
    after(async () => {
      await app.remove()
      await bed.close()
    })

    const edit = async (): Promise<string> => {
      version += 1
      const text = `v${String(version)}`
      await app.describe({ env: { GREETING: text }, release: { command: RELEASE_COMMAND } })
      return text
    }

    /** What must be true of the app once a server came back, whatever happened to the one before. */
    const settled = async (): Promise<number> => {
      await eventually(() =>
        Promise.resolve(
          bed.stored('shop')?.rollouts.every(({ status }) => isEnded(status)) ?? false,
        ),
      )
      const stored = bed.stored('shop')
      const active = stored?.active ?? 0
      assert.deepEqual(
        stored?.releases.filter(({ status }) => ['active', 'pending'].includes(status)),
        [{ number: active, status: 'active' }],
      )
      assert.match(await app.get('/'), new RegExp(`release ${String(active)},`))
      await eventually(async () => {
        const { instances } = await app.status()
        return (
          instances.length === 1 &&
          instances.every(({ release, state }) => release === active && state === 'ready')
        )
      })
      return active
    }

    const deploy = (): readonly string[] => ['deploy', app.folder]
    const served = (task: () => Promise<void>): Promise<void> =>
      losingNoRequest({ port: bed.platform.httpPort, host: 'shop.localhost' }, task)

    it('in a first deploy', async () => {
      // Before the rollout is stored the deploy was not accepted; afterwards it goes on by itself.
      await edit()
      const refused = await bed.dieIn(deploy(), { at: 1, when: 'after' })
      assert.equal(refused.result.code, 8, said(refused))
      const outcome = await bed.dieIn(deploy(), { at: 14, when: 'after' })
      assert.equal(outcome.result.code, 0, said(outcome))
      await settled()
    })

    it('at every write of a deploy', async () => {
      await edit()
      const writes = await bed.trace(deploy())
      for (const death of points(writes))
        await served(async () => {
          const text = await edit()
          const outcome = await bed.dieIn(deploy(), death)
          const where = `${JSON.stringify(death)}\n${said(outcome)}`
          await settled()
          const taken = outcome.result.code === 0
          assert.ok(taken || wasNotTold(outcome), where)
          const [rollout] = bed.stored('shop')?.rollouts ?? []
          assert.equal(rollout?.status, 'succeeded', where)
          if (taken) assert.match(await app.get('/'), new RegExp(`^${text} `), where)
        })
    })

    it('again and again in one deploy, and the last time `fairway up` brings it back', () =>
      served(async () => {
        const text = await edit()
        const outcome = await bed.dieIn(deploy(), { at: 9, when: 'after' }, async () => {
          for (const at of [2, 4]) await bed.resumeAndDie({ at, when: 'after' })
          await bed.platform.must(['up'])
        })
        assert.equal(outcome.result.code, 0, said(outcome))
        await settled()
        assert.match(await app.get('/'), new RegExp(`^${text} `))
        await bed.platform.must(['down', '--keep-router'])
        await bed.startServer()
      }))

    it('at every write of a rollback and of a new value', () =>
      served(async () => {
        const commands = [
          ['rollback', '--app', 'shop'],
          ['env', 'set', 'MORE=1', '--app', 'shop'],
        ]
        for (const command of commands) {
          const writes = await bed.trace(command)
          for (const death of spread(writes, runner === 'process' ? 3 : 6)) {
            const outcome = await bed.dieIn(command, death)
            const where = `${JSON.stringify(death)}\n${said(outcome)}`
            await settled()
            assert.ok(outcome.result.code === 0 || wasNotTold(outcome), where)
          }
        }
      }))

    it('while it is scaled: what was stored is what runs', async () => {
      const outcome = await bed.dieIn(['scale', 'web=2', '--app', 'shop'], { at: 1, when: 'after' })
      assert.equal(outcome.result.code, 8, said(outcome))
      await eventually(async () => {
        const { instances } = await app.status()
        return instances.length === 2 && instances.every(({ state }) => state === 'ready')
      })
      await bed.platform.must(['scale', 'web=1', '--app', 'shop'])
      await settled()
    })

    it('and no release command ran twice', async () => {
      const lines = await bed.platform.must([
        'logs',
        '--app',
        'shop',
        '-n',
        '100000',
        '--grep',
        'migrates for',
      ])
      const ran = [...lines.matchAll(/migrates for (\d+)/g)].map(([, number]) => Number(number))
      assert.deepEqual(ran, [...new Set(ran)])
      const { releases = [] } = bed.stored('shop') ?? {}
      assert.ok(ran.length >= 5 && releases.length > ran.length)
    })

    it('while an app is destroyed: it is gone, and nothing of it is left', async () => {
      const outcome = await bed.dieIn(['destroy', 'shop', '--yes'], { at: 1, when: 'after' })
      assert.equal(outcome.result.code, 8, said(outcome))
      await eventually(() => Promise.resolve(bed.stored('shop') === null))
      await assert.rejects(app.get('/'))
      await bed.platform.must(['deploy', app.folder])
      const again = await bed.dieIn(['destroy', 'shop', '--yes'], { at: 2, when: 'before' })
      assert.equal(again.result.code, 8, said(again))
      await eventually(() => Promise.resolve(bed.stored('shop') === null))
      for (const folder of ['processes', 'exits', 'instances'])
        assert.deepEqual(await entries(join(bed.platform.dataDir, 'run', folder)), [])
    })
  })
}

crashMatrix({
  runner: 'process',
  skip: false,
  subnet: '10.231.0.0/20',
  points: (writes) => [
    ...everyWrite(writes),
    { at: indexOf(writes, 'release:running'), when: 'after', delayMs: 60 },
    { at: indexOf(writes, 'start:running'), when: 'after', delayMs: 60 },
  ],
})
crashMatrix({
  runner: 'container',
  skip: await containersWork(),
  subnet: '10.231.0.0/20',
  points: (writes) => [
    { at: indexOf(writes, 'bake:running'), when: 'after', delayMs: 20 },
    ...[20, 100].map((delayMs) => ({
      at: indexOf(writes, 'release:running'),
      when: 'after' as const,
      delayMs,
    })),
    ...[10, 50, 150].map((delayMs) => ({
      at: indexOf(writes, 'start:running'),
      when: 'after' as const,
      delayMs,
    })),
    { at: indexOf(writes, 'start:done'), when: 'before' },
    { at: indexOf(writes, 'setActive'), when: 'after' },
    { at: indexOf(writes, 'drain:done'), when: 'before' },
  ],
})

/**
 * After each write that the next server could tell from the one before; before one only where a command ran or instances started since.
 * The steps `switch` and `drain` are done again as a whole.
 */
function everyWrite(writes: readonly string[]): readonly Omit<Death, 'id'>[] {
  return writes.flatMap((write, index): Omit<Death, 'id'>[] => {
    if (/^ensureApp|switch:running|drain:(?:done|running)$/.test(write)) return []
    const point = { at: index + 1, when: 'after' } as const
    return /(?:release|start):done$/.test(write) ? [{ ...point, when: 'before' }, point] : [point]
  })
}

/** After every `step`-th write. */
function spread(writes: readonly string[], step: number): readonly Omit<Death, 'id'>[] {
  return writes.flatMap((_, index) =>
    index % step === step - 1 ? [{ at: index + 1, when: 'after' as const }] : [],
  )
}

function indexOf(writes: readonly string[], part: string): number {
  const index = writes.findIndex((write) => write.includes(part))
  if (index < 0) throw new Error(`no write ${part} in ${writes.join(', ')}`)
  return index + 1
}

function isEnded(status: string): boolean {
  return !['queued', 'running'].includes(status)
}

/** The connection broke before the client heard that its rollout was stored, so it cannot know whether it was. */
function wasNotTold({ result }: Outcome): boolean {
  return result.code === 8 && !result.stderr.includes('the rollout goes on')
}

function said({ result, writes }: Outcome): string {
  return `${writes.join('\n')}\n${String(result.code)} ${result.stdout}${result.stderr}`
}

async function entries(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch {
    return []
  }
}
