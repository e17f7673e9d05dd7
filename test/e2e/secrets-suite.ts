import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { runFolder } from '../../src/container/container-host.ts'
import { fetchText } from '../../bench/load.ts'
import { argumentsWith, filesWith } from '../planted.ts'
import { eventually } from './probe-app.ts'
import { killServer } from './kill-server.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { SecretsRepository } from './secrets-repository.ts'

/** Answers what its environment and its files hold, by length and by whether it is what was planted: an app may print its values, this one does not. */
const SERVER = `const hash = (text) => require('crypto').createHash('sha256').update(text).digest('hex')
const http = require('http'), fs = require('fs'), dir = process.env.FAIRWAY_SECRETS
http.createServer((request, response) => {
  const files = fs.readdirSync(dir).filter((name) => !name.startsWith('..')).sort()
  response.end(JSON.stringify({ release: process.env.FAIRWAY_RELEASE, session: hash(fs.readFileSync(dir + '/SESSION', 'utf8')), again: hash(process.env.SESSION), files: files.filter((name) => name !== 'SESSION'), ends: files.filter((name) => name !== 'SESSION').map((name) => fs.readFileSync(dir + '/' + name, 'utf8').slice(-1)), token: process.env.TOKEN?.slice(-1), pid: process.pid }))
}).listen(process.env.PORT)`

/** The way of encrypted files from a repository to instances, with the real programs. */
export function secretsSuite(options: {
  readonly runner: 'container' | 'process'
  readonly skip: string | false
  readonly subnet: string
}): void {
  const { runner, skip, subnet } = options
  describe(`secrets with runner ${runner}`, { skip, timeout: 900_000 }, () => {
    const marks = ['first-planted-1', 'first-planted-2', 'second-planted-3']
    /** Hashes of the generated value, as every answer told them. */
    const sessions: string[] = []
    let platform: PrivatePlatform
    let repository: SecretsRepository
    let folder: string
    before(async () => {
      repository = await SecretsRepository.create({
        'server.js': SERVER,
        'check.js':
          "process.exit(process.env.TOKEN && require('fs').existsSync(process.env.FAIRWAY_SECRETS + '/API_KEY') ? 0 : 1)",
        'fairway.yaml': `version: 1
name: vault
env: { TOKEN: { secret: TOKEN }, SESSION: { generate: 24 } }
files: { SESSION: { generate: 24 } }
release: { command: node check.js }
processes: { web: { command: node server.js } }
environments: { production: { secrets: [secrets.production.yaml] } }
`,
      })
      folder = repository.folder
      platform = await startPrivatePlatform({ runner, subnet, env: repository.env })
    })
    after(async () => {
      await platform.destroy()
      await repository.remove()
    })
    const fairway = (args: readonly string[], input?: string) =>
      repository.fairway(platform, args, input)
    const must = (args: readonly string[], input?: string) => repository.must(platform, args, input)
    const answer = async () => {
      const port = platform.httpPort
      const body = await fetchText({
        ...{ port, path: '/', host: 'vault.localhost' },
        ...{ agent: false, body: null },
      })
      const found = JSON.parse(body) as Record<string, unknown>
      sessions.push(String(found['session']))
      return found
    }

    test('a file that the environment cannot open, or in clear, ends the deploy before it begins, with the way out', async () => {
      await must(['secrets', 'set', 'API_KEY=-', '--env', 'production'], marks[0])
      await must(['secrets', 'set', 'TOKEN=-', '--env', 'production'], marks[1])
      for (const command of ['plan', 'deploy']) {
        const { code, stderr } = await fairway([command])
        assert.equal(code, 3, stderr)
        assert.match(
          stderr,
          /fairway secrets recipients add --app vault --env production --file secrets\.production\.yaml/,
        )
      }
      assert.doesNotMatch(await must(['ps']), /vault-1/)
      const encrypted = await readFile(join(folder, 'secrets.production.yaml'), 'utf8')
      await writeFile(join(folder, 'secrets.production.yaml'), `LEAKED: ${String(marks[0])}\n`)
      const plain = await fairway(['deploy'])
      assert.equal(plain.code, 2, plain.stderr)
      assert.match(plain.stderr, /not encrypted: it was not sent/)
      await writeFile(join(folder, 'secrets.production.yaml'), encrypted)
    })

    test('once it is a recipient, instances and the release command get the values', async () => {
      await must(
        'secrets recipients add --app vault --env production --file secrets.production.yaml'.split(
          ' ',
        ),
      )
      const planned = await must(['plan'])
      assert.match(planned, /\+ secret API_KEY/)
      assert.match(planned, /\+ secret TOKEN/)
      await must(['deploy'])
      const { files, ends, token, release } = await answer()
      assert.deepEqual(
        { files, ends, token, release },
        {
          files: ['API_KEY', 'TOKEN'],
          ends: ['1', '2'],
          token: '2',
          release: '1',
        },
      )
      assert.match(await must(['secrets', 'push']), /as it was/)
    })

    test('the server may die: instances keep theirs, and the next one opens the files again', async () => {
      const before = (await answer())['pid']
      await killServer(platform)
      assert.deepEqual((await answer())['ends'], ['1', '2'])
      await must(['up'])
      assert.equal((await answer())['pid'], before)
    })

    test('a push is a release without a bake, and a rollback brings the values of its release', async () => {
      await must(['secrets', 'set', 'API_KEY=-', '--env', 'production'], marks[2])
      await must(['secrets', 'set', 'MORE=-', '--env', 'production'], 'x9')
      const planned = await must(['plan'])
      assert.match(planned, /~ secret API_KEY/)
      assert.match(planned, /\+ secret MORE/)
      assert.doesNotMatch(planned, /secret TOKEN/)
      assert.doesNotMatch(await must(['secrets', 'push']), /bake/)
      assert.deepEqual((await answer())['ends'], ['3', '9', '2'])
      await must(['rollback', '1'])
      assert.deepEqual((await answer())['ends'], ['1', '2'])
    })

    test('a generated value is the same for all releases and after the server, until it is rotated', async () => {
      const { session, again } = await answer()
      assert.ok(sessions.length > 2 && new Set(sessions).size === 1, sessions.join(' '))
      assert.equal(again, session)
      const said = await must(['secrets', 'rotate-generated', 'SESSION', '--env', 'production'])
      assert.match(said, /New values for SESSION/)
      // The variable of another process: that of the one that ran cannot change.
      await eventually(
        async () => {
          const now = await answer()
          return now['session'] !== session && now['again'] === now['session']
        },
        { withinMs: 120_000 },
      )
      const { code, stderr } = await fairway(['secrets', 'rotate-generated', 'OTHER'])
      assert.equal(code, 4, stderr)
      assert.match(stderr, /no generated value OTHER; it has SESSION/)
    })

    test('no value was written or said anywhere', async () => {
      for (const args of [
        ['ps', '--json'],
        ['releases', '--json'],
        ['status', '--json'],
        ['logs', '--json'],
        ['env', 'list', '--values'],
        ['secrets', 'key'],
        ['run', '--', 'node', 'check.js'],
      ])
        await fairway(args)
      for (const mark of marks)
        assert.ok(!repository.said.join('\n').includes(mark), `${mark} was said`)
      assert.deepEqual(await argumentsWith(marks), [])
      const image = (await readdir(platform.dataDir)).map((name) => join(platform.dataDir, name))
      const disks = [...image, runFolder(platform.dataDir)]
      assert.ok(disks.some((path) => path.endsWith('fairway.db')))
      assert.deepEqual(await filesWith(disks, marks), [])
      const audited = await filesWith([platform.dataDir], ['"secret:opened"'])
      assert.ok(audited.length > 0, 'the search finds what is there: the audit')
    })
  })
}
