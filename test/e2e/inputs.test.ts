import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { minimalEnv, run, runToEnd } from '../../src/lib/process.ts'
import { containersWork } from '../containers-work.ts'
import { lacks } from './lacks.ts'
import { npmClient } from './npm-client.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { askThrough } from './routed.ts'

const examples = resolve(import.meta.dirname, '../../examples')

/** Software that nobody here wrote, as far as npm and Debian have it; the rest is in inputs.all.test.ts. */
for (const runner of ['container', 'process'] as const) {
  const skip = runner === 'container' ? await containersWork() : false
  describe(`inputs on runner ${runner}`, { skip, timeout: 900_000 }, () => {
    let platform: PrivatePlatform
    let scratch: string
    before(async () => {
      scratch = await mkdtemp(join(tmpdir(), 'fairway-inputs-'))
      platform = await startPrivatePlatform({ runner, subnet: '10.221.0.0/17' })
    })
    after(async () => {
      await platform.destroy()
      await rm(scratch, { recursive: true, force: true })
    })
    const ask = (app: string, path: string) =>
      askThrough(platform.httpPort, `${app}.localhost`, path)
    const example = async (name: string): Promise<string> => {
      await cp(join(examples, name), join(scratch, name), { recursive: true })
      return join(scratch, name)
    }

    test('verdaccio from npm: the npm client registers, publishes and installs through the router', async () => {
      const folder = await example('verdaccio')
      // Processes of the host share its /tmp: the storage of this one is elsewhere.
      const config = join(folder, 'config.yaml')
      if (runner === 'process')
        await writeFile(config, (await readFile(config, 'utf8')).replaceAll('/tmp/', `${scratch}/`))
      await platform.must(['deploy'], { cwd: folder })
      assert.equal((await ask('verdaccio', '/-/ping')).status, 200)
      const home = join(scratch, 'npm-home')
      const [library, user] = [join(scratch, 'library'), join(scratch, 'user')]
      for (const made of [home, library, user]) await mkdir(made)
      const registry = `http://verdaccio.localhost:${String(platform.httpPort)}/`
      const { addUser, npm } = await npmClient(home, registry)
      await addUser('tester', 'correct horse battery')
      assert.equal((await npm(['whoami'], home)).trim(), 'tester')
      await writeFile(
        join(library, 'package.json'),
        '{"name":"fairway-published","version":"1.2.3"}',
      )
      await writeFile(join(library, 'index.js'), "module.exports = 'published'\n")
      await npm(['publish'], library)
      await writeFile(join(user, 'package.json'), '{}')
      await npm(['install', 'fairway-published@1.2.3'], user)
      const said = await run(process.execPath, ['-p', "require('fairway-published')"], {
        cwd: user,
      })
      assert.equal(said, 'published\n')
    })

    test('a folder of files', async () => {
      await platform.must(['deploy'], { cwd: await example('static-site') })
      const page = await ask('static-site', '/')
      assert.equal(page.status, 200)
      assert.match(page.headers['content-type'] ?? '', /^text\/html/)
      assert.match(page.body, /<h1>It works<\/h1>/)
      assert.equal((await ask('static-site', '/style.css')).status, 200)
      const missing = await ask('static-site', '/nothing-here')
      assert.equal(missing.status, 404)
      assert.equal(missing.body, await readFile(join(examples, 'static-site/404.html'), 'utf8'))
    })

    test('what is not recognised is answered with what was looked for', async () => {
      const folder = join(scratch, 'unknown')
      await mkdir(folder)
      await writeFile(join(folder, 'notes.txt'), 'nothing to run')
      await writeFile(join(folder, 'broken.tar'), 'not a tar')
      const { code, stderr } = await platform.fairway(['deploy', folder])
      assert.equal(code, 2)
      assert.match(stderr, /found broken\.tar, notes\.txt/)
      for (const looked of [/oci-layout/, /docker save/, /package\.json/, /requirements\.txt/]) {
        assert.match(stderr, looked)
      }
      for (const looked of [/jar/, /ELF executable/, /index\.html/]) assert.match(stderr, looked)
    })

    describe('images', { skip: lacks('skopeo') }, () => {
      let registry: string
      let login: string
      let archive: string
      before(async () => {
        registry = `127.0.0.1:${String(platform.apiPort)}`
        const created = await platform.must(['tokens', 'create', 'images', '--role', 'developer'])
        login = `anybody:${created.trim()}`
        archive = join(scratch, 'image.tar')
        // Where no containers are, the image only has to be recognised.
        if (runner === 'process') return
        const from = ['--src-tls-verify=false', '--src-creds', login]
        const baked = `docker://${registry}/static-site/production:1`
        await skopeo([...from, baked, `docker-archive:${archive}:site:1`])
        await skopeo([`docker-archive:${archive}`, `oci:${join(scratch, 'layout')}:1`])
        const layout = `oci:${join(scratch, 'layout')}:1`
        await skopeo([layout, `oci-archive:${join(scratch, 'oci.tar')}`])
      })

      const kinds = runner === 'container' ? ['image.tar', 'layout', 'oci.tar'] : []
      for (const [index, name] of kinds.entries()) {
        test(`${name}: deployed as it is`, async () => {
          const app = `image-${String(index)}`
          await platform.must(['deploy', join(scratch, name), '--app', app])
          const page = await ask(app, '/')
          assert.equal(page.status, 200)
          assert.match(page.body, /It works/)
        })
      }

      test(
        'a reference: pushed to the embedded registry with a token, deployed from there',
        { skip: runner === 'process' && 'images need containers' },
        async () => {
          const reference = `${registry}/team/site:1.4`
          const to = ['--dest-tls-verify=false', '--dest-creds', login]
          await skopeo([...to, `docker-archive:${archive}`, `docker://${reference}`])
          await platform.must(['deploy', '--image', reference])
          assert.equal((await ask('site', '/')).status, 200)
          const unknown = await platform.fairway(['deploy', '--image', `${registry}/team/site:2`])
          assert.equal(unknown.code, 6)
          assert.match(unknown.stderr, /no .*team\/site:2; it has only 1\.4/)
        },
      )

      test(
        'podman pulls what was baked, by number and as latest, with a token only',
        { skip: lacks('podman') || (runner === 'process' && 'images need containers') },
        async () => {
          await platform.must(['deploy'], { cwd: join(scratch, 'static-site') })
          const store = [
            '--root',
            join(scratch, 'podman'),
            '--runroot',
            join(scratch, 'podman-run'),
          ]
          const podman = (args: readonly string[]) =>
            runToEnd('podman', [...store, '--storage-driver=vfs', ...args], {
              env: { ...minimalEnv(), HOME: scratch },
              timeoutMs: 400_000,
            })
          const pull = (tag: string, creds: string) => {
            const name = `${registry}/static-site/production:${tag}`
            return podman(['pull', '-q', '--tls-verify=false', '--creds', creds, name])
          }
          const [second, latest] = [await pull('2', login), await pull('latest', login)]
          assert.equal(second.code, 0, second.stderr)
          assert.equal(latest.stdout, second.stdout)
          const refused = await pull('1', 'anybody:wrong')
          assert.notEqual(refused.code, 0)
          const inspected = await podman(['inspect', second.stdout.trim()])
          assert.match(inspected.stdout, /"org\.opencontainers\.image\.title": "static-site"/)
        },
      )

      test('with an app go the names of its images', async () => {
        await platform.must(['destroy', 'static-site', '--yes'])
        const tags = await askThrough(platform.apiPort, registry, TAGS, {
          headers: { authorization: `Basic ${Buffer.from(login).toString('base64')}` },
        })
        assert.ok(tags.status === 404 || /"tags":\[\]/.test(tags.body), tags.body)
      })

      test(
        'without containers an image is refused in plain words',
        { skip: runner === 'container' && 'containers are here' },
        async () => {
          const refused = await platform.fairway(['deploy', '--image', `${registry}/team/site:1.4`])
          assert.notEqual(refused.code, 0)
          assert.match(refused.stderr, /container/)
        },
      )
    })
  })
}

const TAGS = '/v2/static-site/production/tags/list'

async function skopeo(args: readonly string[]): Promise<void> {
  await run('skopeo', ['--insecure-policy', 'copy', '-q', ...args], { timeoutMs: 400_000 })
}
