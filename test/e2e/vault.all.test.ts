/** Values of a real OpenBao on their way to instances, with the real programs: KV, users of a real PostgreSQL under short leases, a login under a short token. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { stringify } from 'yaml'
import { z } from 'zod'
import { fetchText } from '../../bench/load.ts'
import { runFolder } from '../../src/container/container-host.ts'
import { containersWork } from '../containers-work.ts'
import { lacksBao } from '../openbao.ts'
import { argumentsWith, filesWith } from '../planted.ts'
import { postgresPrograms } from '../postgres-cluster.ts'
import { killServer } from './kill-server.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { eventually } from './probe-app.ts'
import { openVaultBed, type VaultBed } from './vault-bed.ts'

/** Answers with hashes of what it has: an app may print its values, this one does not. */
const SERVER = `const http = require('http'), fs = require('fs'), crypto = require('crypto'), dir = process.env.FAIRWAY_SECRETS
const hash = (text) => text === undefined ? null : crypto.createHash('sha256').update(text).digest('hex')
let hangups = 0
process.on('SIGUSR1', () => { hangups += 1 })
http.createServer((request, response) => {
  const files = Object.fromEntries(fs.readdirSync(dir).filter((name) => !name.startsWith('..')).map((name) => [name, hash(fs.readFileSync(dir + '/' + name, 'utf8'))]))
  response.end(JSON.stringify({ pid: process.pid, id: process.env.HOSTNAME ?? '', hangups, files, variable: hash(process.env.KEY) }))
}).listen(process.env.PORT)`

const answer = z.object({
  pid: z.number(),
  hangups: z.number(),
  files: z.record(z.string(), z.string()),
  variable: z.string().nullable(),
})

const listed = z.object({
  apps: z.array(z.object({ instances: z.array(z.object({ id: z.string(), state: z.string() })) })),
})

const KV_PATH = 'secret/shop/production/web'
const postgres = postgresPrograms()
const lacking = (await lacksBao()) || ('missing' in postgres ? postgres.missing : false)
const hash = (text: string): string => createHash('sha256').update(text).digest('hex')

for (const { runner, skip, subnet } of [
  { runner: 'process', skip: lacking, subnet: '10.236.0.0/16' },
  { runner: 'container', skip: lacking || (await containersWork()), subnet: '10.237.0.0/16' },
] as const) {
  describe(`values of Vault with runner ${runner}`, { skip, timeout: 900_000 }, () => {
    const marks = ['planted-kv-file', 'planted-kv-variable', 'planted-kv-one', 'planted-kv-told']
    const [file = '', variable = '', plain = ''] = marks
    const stored: Record<string, string> = { file, variable, told: 'planted-kv-told' }
    const said: string[] = []
    let bed: VaultBed
    let platform: PrivatePlatform
    const cleanups: (() => Promise<void>)[] = []
    let folder = ''

    before(async () => {
      if ('missing' in postgres) return
      folder = await mkdtemp(join(tmpdir(), 'fairway-vault-app-'))
      cleanups.push(() => rm(folder, { recursive: true, force: true }))
      bed = await openVaultBed({ programs: postgres.folder, leaseSeconds: 12 })
      cleanups.push(() => bed.remove())
      platform = await startPrivatePlatform({ runner, subnet, env: bed.env })
      cleanups.push(() => platform.destroy())
      await bed.set(KV_PATH, stored)
      await bed.bao.call('POST', 'plain/shop', { key: plain })
      await mkdir(join(folder, 'shop'))
      await writeFile(join(folder, 'shop', 'server.js'), SERVER)
      await writeFile(join(folder, 'shop', 'package.json'), '{"name":"shop","version":"1.0.0"}')
    })
    after(async () => {
      for (const clean of cleanups.reverse()) await clean()
    })

    const fairway = async (args: readonly string[]) => {
      const result = await platform.fairway(args, { cwd: join(folder, 'shop') })
      said.push(result.stdout, result.stderr)
      return result
    }
    const must = async (args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await fairway(args)
      assert.equal(code, 0, `${args.join(' ')}\n${stdout}\n${stderr}`)
      return `${stdout}${stderr}`
    }
    const describeApp = (more: object): Promise<void> =>
      writeFile(
        join(folder, 'shop', 'fairway.yaml'),
        stringify({ version: 1, name: 'shop', processes: { web: {} }, ...more }),
      )
    const readyInstances = async (): Promise<readonly string[]> =>
      listed
        .parse(JSON.parse((await platform.fairway(['ps', '--json'])).stdout))
        .apps.flatMap(({ instances }) => instances)
        .flatMap(({ id, state }) => (state === 'ready' ? [id] : []))
    const ask = async () =>
      answer.parse(
        JSON.parse(
          await fetchText({
            ...{ port: platform.httpPort, path: '/', host: 'shop.localhost' },
            ...{ agent: false, body: null },
          }),
        ),
      )

    test('a path that no rule of the server names is denied, and so is one of another environment', async () => {
      for (const path of [
        'secret/other/web',
        'secret/shop/staging/web',
        'secret/shop/production',
      ]) {
        await describeApp({ files: { KEY: { vault: `${path}#file` } } })
        const { code, stderr } = await fairway(['deploy'])
        assert.equal(code, 3, stderr)
        assert.match(
          stderr,
          /may not take values from .* in Vault: no rule of this server names it/,
        )
      }
      await describeApp({ files: { KEY: { vault: 'secret/shop/production/../../x#file' } } })
      const { code, stderr } = await fairway(['deploy'])
      assert.equal(code, 2, stderr)
      assert.match(stderr, /fairway\.yaml:\d+:\d+: files\.KEY: expected \{ vault: path#key \}/)
      await describeApp({ env: { KEY: { vault: `${KV_PATH}#variable`, onChange: 'swap' } } })
      const variable = await fairway(['deploy'])
      assert.equal(variable.code, 2, variable.stderr)
      assert.match(
        variable.stderr,
        /fairway\.yaml:8:15: .*a variable of a running process cannot change/,
      )
      assert.match(variable.stderr, /make it a file: files\.KEY/)
    })

    test('values of both versions of KV reach file and variable, users of the database reach files', async () => {
      const at = 'secret/${app.name}/${app.environment}/web'
      await describeApp({
        env: { KEY: { vault: `${at}#variable` } },
        files: {
          KV: { vault: `${at}#file`, onChange: 'swap' },
          TOLD: { vault: `${at}#told`, onChange: 'signal', signal: 'SIGUSR1' },
          PLAIN: { vault: 'plain/shop#key' },
          DB_USER: { vault: 'database/creds/shop#username', onChange: 'swap' },
          DB_PASSWORD: { vault: 'database/creds/shop#password', onChange: 'swap' },
        },
      })
      await must(['deploy'])
      const { files, variable: given } = await ask()
      assert.equal(given, hash(variable))
      assert.equal(files['KV'], hash(file))
      assert.equal(files['PLAIN'], hash(plain))
      const [user, ...others] = await bed.users()
      assert.deepEqual(others, [])
      assert.equal(files['DB_USER'], hash(user?.name ?? ''))
      marks.push(user?.name ?? 'no user')
    })

    test('lease and login are renewed for as long as it runs', async () => {
      const [first] = await bed.users()
      const isRenewed = (than: number) => async (): Promise<boolean> => {
        const [user, ...others] = await bed.users()
        return others.length === 0 && user?.name === first?.name && (user?.until ?? 0) > than
      }
      // Twice the token's and the lease's whole life.
      await eventually(isRenewed((first?.until ?? 0) + 24), { withinMs: 120_000 })
      const now = await ask()
      assert.equal(now.files['DB_USER'], hash(first?.name ?? ''))
    })

    const change = async (key: string, value: string): Promise<string> => {
      marks.push(value)
      stored[key] = value
      await bed.set(KV_PATH, stored)
      return hash(value)
    }

    test('a changed value is swapped, or told by a signal, and the process goes on', async () => {
      const { pid } = await ask()
      const swapped = await change('file', 'planted-kv-swapped')
      await eventually(async () => (await ask()).files['KV'] === swapped, { withinMs: 60_000 })
      assert.equal((await ask()).hangups, 0)
      const told = await change('told', 'planted-kv-told-again')
      await eventually(async () => (await ask()).hangups === 1, { withinMs: 60_000 })
      const now = await ask()
      assert.deepEqual([now.files['TOLD'], now.files['KV'], now.pid], [told, swapped, pid])
      assert.match(await must(['logs']), /its files were swapped, and SIGUSR1 sent/)
    })

    test('a changed variable brings other instances, and every request is answered meanwhile', async () => {
      await must(['scale', 'web=2'])
      await eventually(async () => (await readyInstances()).length === 2, { withinMs: 60_000 })
      const before = await readyInstances()
      const given = await change('variable', 'planted-kv-variable-2')
      let fewest = 2
      const failures: unknown[] = []
      await eventually(
        async () => {
          const { variable: now } = await ask().catch((error: unknown) => {
            failures.push(error)
            throw error
          })
          const ready = await readyInstances()
          fewest = Math.min(fewest, ready.length)
          return now === given && ready.length === 2 && ready.every((id) => !before.includes(id))
        },
        { withinMs: 120_000 },
      )
      assert.equal(fewest, 2, 'never fewer ready copies than wanted')
      assert.deepEqual(failures, [])
      await must(['scale', 'web=1'])
      await eventually(async () => (await readyInstances()).length === 1, { withinMs: 60_000 })
    })

    test('the next server goes on: what did not change stays, what ends with the old login is read anew', async () => {
      const { pid } = await ask()
      await killServer(platform)
      await must(['up'])
      const follows = async (): Promise<boolean> => {
        const [user, ...others] = await bed.users()
        const { files } = await ask()
        const isNew = user !== undefined && !marks.includes(user.name)
        return isNew && others.length === 0 && files['DB_USER'] === hash(user.name)
      }
      await eventually(follows, { withinMs: 120_000 })
      marks.push(...(await bed.users()).map(({ name }) => name))
      assert.equal((await ask()).pid, pid)
    })

    test('while Vault is down what runs goes on and says so; what starts waits for it', async () => {
      const { pid } = await ask()
      await bed.bao.kill()
      const says = async (pattern: RegExp): Promise<boolean> => pattern.test(await must(['ps']))
      await eventually(() => says(/values not renewed: Vault/), { withinMs: 60_000 })
      assert.equal((await ask()).pid, pid)
      assert.match(await must(['logs']), /values not renewed: Vault/)
      await must(['scale', 'web=2'])
      await eventually(() => says(/Vault .*cannot be reached, next start after/), {
        withinMs: 60_000,
      })
      assert.equal((await ask()).pid, pid)
      await bed.bao.restart()
      await eventually(async () => (await must(['ps'])).match(/\bready\b/g)?.length === 2, {
        withinMs: 180_000,
      })
      await eventually(async () => !(await says(/values not renewed/)), { withinMs: 60_000 })
    })

    test('its leases are given back when the last instance is gone', async () => {
      await must(['destroy', '--yes'])
      await eventually(async () => (await bed.users()).length === 0, { withinMs: 90_000 })
    })

    test('no value was written or said anywhere', async () => {
      for (const mark of marks) assert.ok(!said.join('\n').includes(mark), `${mark} was said`)
      assert.deepEqual(await argumentsWith(marks), [])
      const parts = (await readdir(platform.dataDir)).map((name) => join(platform.dataDir, name))
      assert.deepEqual(await filesWith([...parts, runFolder(platform.dataDir)], marks), [])
      const secretId = await readFile(String(bed.env['FAIRWAY_VAULT_SECRET_ID_FILE']), 'utf8')
      assert.deepEqual(await filesWith(parts, [secretId]), [])
      assert.ok((await filesWith(parts, ['vault database/creds/shop'])).length > 0, 'the audit')
    })
  })
}
