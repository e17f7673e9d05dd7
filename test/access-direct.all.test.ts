import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { z } from 'zod'
import { generateKeyPair } from 'jose'
import { start } from '../src/lib/process.ts'
import { cacheFolder, lacksGo } from './cluster/builds.ts'
import { missingPackages } from './cluster/packages.ts'
import { waitUntil } from './cluster/wait.ts'
import { DirectAccessBed, type Somebody } from './direct-access-bed.ts'
import { killServer } from './e2e/kill-server.ts'

const DAY = 86_400_000
const SHOP = 'shop--production'
const STAGING = 'shop--staging'

const review = z.object({
  status: z.object({
    userInfo: z.object({ username: z.string(), groups: z.array(z.string()) }),
  }),
})

/** Real kubectl, real API server and real Fairway; the API server checks tokens itself, or asks Fairway about them. */
describe(
  'kubectl at the API server itself',
  {
    skip: (await missingPackages()) ?? (await lacksGo(cacheFolder(process.env))),
    timeout: 1_500_000,
  },
  () => {
    let bed: DirectAccessBed
    let ann: Somebody
    let vic: Somebody
    let eve: Somebody
    let config: string
    /** Those that the API server was started with. */
    let flags: readonly string[]
    before(async () => {
      bed = await DirectAccessBed.open()
      const grant = async (...words: readonly string[]) =>
        bed.platform.must(['access', 'grant', ...words])
      await grant('--group', 'devs', '--role', 'developer', '--app', 'shop', '--env', 'production')
      await grant('--user', 'vic', '--role', 'viewer', '--app', 'shop')
      ann = await bed.person('ann', ['devs'])
      vic = await bed.person('vic', [])
      await grant('--user', 'eve', '--role', 'admin', '--app', 'shop')
      eve = await bed.person('eve', [])
    })
    after(() => bed.close())

    const whoami = async (who: Somebody, path: string) => {
      const { stdout, stderr } = await bed.kubectl(who, path, ['auth', 'whoami', '-o', 'json'])
      assert.equal(stderr, '')
      const { username, groups } = review.parse(JSON.parse(stdout)).status.userInfo
      return { username, groups: groups.sort() }
    }
    const allowed = async (who: Somebody, path: string, ...words: readonly string[]) =>
      (await bed.kubectl(who, path, ['auth', 'can-i', ...words])).stdout.trim()

    /** What holds by each way. */
    const rights = (): void => {
      test('who one is: name, and a group for each namespace', async () => {
        assert.deepEqual(await whoami(ann, config), {
          username: 'fairway:user:ann',
          groups: [`fairway:${SHOP}:developer`, 'system:authenticated'],
        })
        const view = await bed.kubeconfig(vic)
        assert.deepEqual(await whoami(vic, view), {
          username: 'fairway:user:vic',
          groups: [`fairway:${SHOP}:viewer`, `fairway:${STAGING}:viewer`, 'system:authenticated'],
        })
      })

      test('a viewer reads and does not write', async () => {
        const view = await bed.kubeconfig(vic)
        const read = await bed.kubectl(vic, view, ['get', 'cronjobs', '-n', SHOP, '-o', 'name'])
        assert.match(read.stdout, /^cronjob\.batch\/\S+\n$/, read.stderr)
        const made = ['create', 'configmap', 'never', '-n', SHOP]
        assert.match((await bed.kubectl(vic, view, made)).stderr, /forbidden/)
        assert.equal(await allowed(vic, view, 'get', 'secrets', '-n', SHOP), 'no')
        assert.equal(await allowed(vic, view, 'create', 'pods/exec', '-n', SHOP), 'no')
      })

      test('a developer writes, watches and may exec, in the namespace of the role and nowhere else', async () => {
        const watch = await follow(bed, ann, config, ['get', 'configmaps', '-w'])
        try {
          const made = await bed.kubectl(ann, config, ['apply', '-f', '-'], { input: MAP })
          assert.match(made.stdout, /^configmap\/made (created|unchanged)\n$/, made.stderr)
          await waitUntil('the watch shows it', 20_000, () => watch.text().includes('made'))
        } finally {
          watch.end()
        }
        const gone = await bed.kubectl(ann, config, ['delete', 'configmap', 'made'])
        assert.equal(gone.code, 0, gone.stderr)
        assert.equal(await allowed(ann, config, 'create', 'pods/exec'), 'yes')
        for (const words of [
          ['get', 'configmaps', '-n', STAGING],
          ['get', 'configmaps', '-n', 'till--production'],
          ['get', 'pods', '-A'],
          ['get', 'nodes'],
          ['get', 'secrets', '-n', 'kube-system'],
          ['create', 'rolebinding', 'x', '--clusterrole=admin', '--user=y'],
          ['get', 'pods', '--as=system:admin', '--as-group=system:masters'],
        ]) {
          const { code, stderr } = await bed.kubectl(ann, config, words)
          assert.equal(code, 1, words.join(' '))
          assert.match(stderr, /forbidden|Forbidden/, words.join(' '))
        }
      })

      test('a program with a token of its own is what its grants say', async () => {
        const only = ['--role', 'developer', '--app', 'shop', '--env', 'staging']
        const ci = await bed.machine(`ci-${String(Date.now())}`, only)
        const path = await bed.kubeconfig(ci)
        const { username, groups } = await whoami(ci, path)
        assert.equal(username, `fairway:token:${ci.name}`)
        assert.ok(groups.includes(`fairway:${STAGING}:developer`))
        assert.equal(await allowed(ci, path, 'create', 'configmaps', '-n', STAGING), 'yes')
        assert.equal(await allowed(ci, path, 'get', 'configmaps', '-n', SHOP), 'no')
      })

      test('two environments on one cluster: tokens for one say nothing in the other', async () => {
        const staging = await bed.kubeconfig(eve, ['--env', 'staging'])
        const { groups } = await whoami(eve, staging)
        assert.deepEqual(groups, [`fairway:${STAGING}:admin`, 'system:authenticated'])
        assert.equal(await allowed(eve, staging, 'create', 'configmaps', '-n', STAGING), 'yes')
        assert.equal(await allowed(eve, staging, 'get', 'configmaps', '-n', SHOP), 'no')
        const both = await bed.kubeconfig(eve)
        assert.equal(await allowed(eve, both, 'create', 'configmaps', '-n', SHOP), 'yes')
      })

      for (const version of ['v1', 'v1beta1'])
        test(`kubectl asks by client.authentication.k8s.io/${version}`, async () => {
          const path = await bed.kubeconfig(ann, ['--exec-version', version])
          const { stdout, stderr } = await bed.kubectl(ann, path, ['get', 'cronjobs', '-o', 'name'])
          assert.match(stdout, /^cronjob/, stderr)
        })
    }

    /** A token for the cluster is refused as soon as anything in it is not as the server would have made it. */
    const refusals = (): void => {
      test('forged, tampered, foreign and expired tokens are refused', async () => {
        const token = await bed.token(vic)
        const claims = claimsOf(token)
        const forged = await bed.whoami(await bed.forge(claims))
        assert.match(forged.said, /fairway:user:vic/, 'the forger forges well')
        const now = Math.floor(Date.now() / 1000)
        const { privateKey } = await generateKeyPair('ES256')
        const kid = bed.keys()[0]?.kid ?? ''
        const [head = '', , signature = ''] = token.split('.')
        const other = base64({ ...claims, sub: 'fairway:user:eve' })
        const tokens = {
          expired: await bed.forge({ ...claims, iat: now - 300, exp: now - 1 }),
          'for another cluster': await bed.forge({ ...claims, aud: `${String(claims['aud'])}2` }),
          'of another issuer': await bed.forge({ ...claims, iss: 'https://localhost:1' }),
          'by another key under the same name': await bed.forge(claims, { kid, key: privateKey }),
          'by an unknown key': await bed.forge(claims, { kid: 'unknown', key: privateKey }),
          'not yet good': await bed.forge({
            ...claims,
            iat: now + 600,
            nbf: now + 600,
            exp: now + 900,
          }),
          'of a system user': await bed.forge({ ...claims, sub: 'system:admin' }),
          'with somebody else’s name in it': `${head}.${other}.${signature}`,
          'without a signature': `${base64({ alg: 'none', typ: 'JWT' })}.${base64(claims)}.`,
          'none at all': 'nonsense',
          'the login itself': ann.env['FAIRWAY_TOKEN'] ?? 'fws_a_b',
        }
        for (const [what, wrong] of Object.entries(tokens)) {
          const { code, said } = await bed.whoami(wrong)
          assert.equal(code, 1, `${what}: ${said}`)
          assert.match(said, /Unauthorized/, what)
        }
      })

      test('who lost the login gets no further token for the cluster', async () => {
        const { who, revoke } = await guest()
        const path = await bed.kubeconfig(who)
        await revoke()
        await bed.forget(who)
        const { code, stderr } = await bed.kubectl(who, path, ['get', 'cronjobs', '-n', SHOP])
        assert.equal(code, 1)
        assert.match(stderr, /token/)
      })

      test('the signing key changes, and nobody is turned away meanwhile', async () => {
        const ask = async (): Promise<string> => {
          await bed.forget(ann)
          const token = await bed.token(ann)
          const { code, said } = await bed.whoami(token)
          assert.equal(code, 0, said)
          return token
        }
        bed.ageKey(29.5 * DAY)
        // What it knows of keys is not older than the next one.
        await bed.api.restart(flags)
        await untilLetIn(await bed.token(ann))
        const old = await ask()
        const [first, next, ...more] = bed.keys().slice(-2)
        assert.deepEqual([headOf(old)['kid'], more], [first?.kid, []])
        bed.ageKey(12 * 3_600_000 + 60_000)
        assert.equal(headOf(await ask())['kid'], next?.kid)
        assert.equal((await bed.whoami(old)).code, 0, 'what the last one signed still counts')
      })

      test('a key that was stolen is replaced: what it signed gets nobody in, what the next one signs does', async () => {
        const old = await bed.token(ann)
        await untilLetIn(old)
        await bed.platform.must(['target', 'access', '--new-key'])
        // Nobody has come with a new token.
        await untilRefused(old)
        for (const who of [ann, vic, eve]) await bed.forget(who)
        await untilLetIn(await bed.token(ann))
      })
    }

    let guests = 0
    /** Somebody with a token for the cluster who may be sent away. */
    const guest = async () => {
      const who = await bed.machine(`guest-${String(guests++)}`, [
        '--role',
        'viewer',
        '--app',
        'shop',
      ])
      const revoke = () => bed.platform.must(['tokens', 'revoke', who.id])
      return { who, revoke, token: await bed.token(who) }
    }
    /** Seconds until the API server answers the token so, asked all the time. */
    const untilAnswered = async (token: string, isIn: boolean): Promise<number> => {
      const from = performance.now()
      const what = isIn ? 'let in' : 'refused'
      await waitUntil(what, 120_000, async () => ((await bed.whoami(token)).code === 0) === isIn)
      return (performance.now() - from) / 1000
    }
    const untilRefused = (token: string) => untilAnswered(token, false)
    /** An API server asks an issuer about itself every ten seconds until that answers. */
    const untilLetIn = (token: string) => untilAnswered(token, true)

    describe('issuer', () => {
      before(async () => {
        flags = await bed.choose('issuer')
        config = await bed.kubeconfig(ann)
        await untilLetIn(await bed.token(ann))
      })
      rights()
      refusals()

      test('even by the server’s own key nobody gets in for longer, or as a group that is none of ours', async () => {
        const claims = claimsOf(await bed.token(vic))
        for (const change of [
          { exp: Number(claims['iat']) + 301 },
          { groups: ['system:masters'] },
          { groups: [`fairway:${SHOP}:viewer`, 'system:nodes'] },
        ]) {
          const { code, said } = await bed.whoami(await bed.forge({ ...claims, ...change }))
          assert.equal(code, 1, JSON.stringify(change))
          assert.match(said, /Unauthorized/)
        }
      })

      test('a revoked token goes on until it expires', async (t) => {
        const { token, revoke } = await guest()
        const now = Math.floor(Date.now() / 1000)
        const dying = await bed.forge({ ...claimsOf(token), iat: now - 270, exp: now + 30 })
        await revoke()
        assert.equal((await bed.whoami(token)).code, 0)
        assert.equal((await bed.whoami(dying)).code, 0)
        t.diagnostic(
          `refused ${(await untilRefused(dying)).toFixed(1)} s later; it was good for 30 s`,
        )
      })

      test('without the server, tokens that are out count and new ones are not to be had', async () => {
        const token = await bed.token(ann)
        await untilLetIn(token)
        await killServer(bed.platform)
        try {
          assert.equal((await bed.whoami(token)).code, 0)
          const kept = await bed.kubectl(ann, config, ['get', 'cronjobs', '-o', 'name'])
          assert.equal(kept.code, 0, kept.stderr)
          await bed.forget(ann)
          const none = await bed.kubectl(ann, config, ['get', 'cronjobs', '-o', 'name'])
          assert.match(none.stderr, /cannot reach|fairway up/)
        } finally {
          await bed.platform.must(['up'])
        }
        assert.equal((await bed.kubectl(ann, config, ['get', 'cronjobs'])).code, 0)
      })

      test('an API server that starts without the server lets everybody else in, and us when it is back', async (t) => {
        const token = await bed.token(ann)
        await killServer(bed.platform)
        try {
          await bed.api.restart(flags)
          assert.equal((await bed.whoami(token)).code, 1)
          await bed.api.cluster.kubectl(['get', 'namespaces'])
        } finally {
          await bed.platform.must(['up'])
        }
        t.diagnostic(`let in after ${(await untilLetIn(token)).toFixed(1)} s`)
      })
    })

    describe('webhook', () => {
      before(async () => {
        flags = await bed.choose('webhook')
        config = await bed.kubeconfig(ann)
      })
      rights()
      refusals()

      test('a revoked token is refused soon, a watch goes on', async (t) => {
        const { who, token, revoke } = await guest()
        assert.equal((await bed.whoami(token)).code, 0)
        const watch = await follow(bed, who, await bed.kubeconfig(who), [
          'get',
          'configmaps',
          '-n',
          SHOP,
          '-w',
        ])
        try {
          await revoke()
          const took = await untilRefused(token)
          t.diagnostic(`refused after ${took.toFixed(1)} s`)
          assert.ok(took < 30)
          const late = ['configmap', `late-${String(guests)}`, '-n', SHOP]
          await bed.api.cluster.kubectl(['create', ...late])
          await waitUntil('the watch shows it', 20_000, () => watch.text().includes('late-'))
        } finally {
          watch.end()
        }
      })

      test('a role that is taken away counts soon', async (t) => {
        const name = `leo-${String(guests++)}`
        const leo = await bed.person(name, [])
        const grant = [
          'access',
          'grant',
          '--user',
          name,
          '--role',
          'viewer',
          '--app',
          'shop',
          '--json',
        ]
        const made = bindings.parse(JSON.parse(await bed.platform.must(grant)))
        const token = await bed.token(leo)
        assert.equal((await bed.whoami(token)).code, 0)
        await bed.platform.must(['access', 'revoke', made.bindings[0]?.id ?? ''])
        const took = await untilRefused(token)
        t.diagnostic(`refused after ${took.toFixed(1)} s`)
        assert.ok(took < 30)
      })

      test('without the server the API server lets in whom it asked about lately, then nobody of ours, and everybody else', async (t) => {
        const token = await bed.token(ann)
        assert.equal((await bed.whoami(token)).code, 0)
        await killServer(bed.platform)
        try {
          assert.equal((await bed.whoami(token)).code, 0)
          t.diagnostic(`refused after ${(await untilRefused(token)).toFixed(1)} s`)
          const from = performance.now()
          await bed.whoami(token)
          t.diagnostic(`a refusal takes ${((performance.now() - from) / 1000).toFixed(1)} s`)
          const { cluster } = bed.api
          await cluster.kubectl(['get', 'namespaces'])
          await cluster.kubectl(['create', 'serviceaccount', 'robot', '-n', 'default'])
          const robot = await cluster.kubectl(['create', 'token', 'robot', '-n', 'default'])
          assert.match((await bed.whoami(robot.trim())).said, /serviceaccount:default:robot/)
        } finally {
          await bed.platform.must(['up'])
        }
        const back = await bed.kubectl(ann, config, ['get', 'cronjobs'])
        assert.equal(back.code, 0, back.stderr)
      })

      test('a binding that is lost, or one too many, is put right when tokens are asked for', async () => {
        const { cluster } = bed.api
        const binding = ['rolebinding', 'fairway--access-developer']
        const label = `jsonpath={.metadata.labels.fairway/access}`
        const owner = await cluster.kubectl(['get', ...binding, '-n', SHOP, '-o', label])
        await cluster.kubectl(['delete', ...binding, '-n', SHOP])
        const stray = ['rolebinding', 'stray', '-n', 'default']
        await cluster.kubectl(['create', ...stray, '--clusterrole=view', '--user=fairway:user:ann'])
        const labels = [`fairway/access=${owner}`, 'app.kubernetes.io/managed-by=fairway']
        await cluster.kubectl(['label', ...stray, ...labels])
        await waitUntil('put right', 60_000, async () => {
          await bed.forget(ann)
          await bed.token(ann)
          const lost = await cluster.tryKubectl(['get', ...binding, '-n', SHOP])
          return lost.code === 0 && (await cluster.tryKubectl(['get', ...stray])).code !== 0
        })
        assert.equal(await allowed(ann, config, 'create', 'configmaps'), 'yes')
      })

      test('a file that was written again ends the one before', async () => {
        await bed.files('webhook')
        const { token } = await guest()
        assert.equal((await bed.whoami(token)).code, 1)
        await bed.choose('webhook')
        assert.equal((await bed.whoami(token)).code, 0)
      })
    })

    describe('off', () => {
      const bound = async () =>
        bed.api.cluster.kubectl([
          ...['get', 'rolebindings,clusterroles,clusterrolebindings', '-A', '-o', 'name'],
          ...['-l', 'fairway/access'],
        ])
      const off = () => bed.platform.must(['target', 'access', 'prod', '--way', 'off'])

      test('tokens that the API server checks itself give no rights any more', async () => {
        await bed.choose('issuer')
        await untilLetIn(await bed.token(ann))
        // Tokens of before name no groups: those were looked up.
        await bed.forget(ann)
        const path = await bed.kubeconfig(ann)
        assert.equal(await allowed(ann, path, 'create', 'configmaps'), 'yes')
        await off()
        assert.equal(await allowed(ann, path, 'create', 'configmaps'), 'no')
        assert.equal(await bound(), '')
        await bed.forget(ann)
        const { stderr } = await bed.kubectl(ann, path, ['get', 'cronjobs'])
        assert.match(stderr, /access to prod is switched off/)
      })

      test('a cluster that does not answer is told as such, and is off once it is said again', async () => {
        const now = await bed.choose('issuer')
        await untilLetIn(await bed.token(ann))
        await bed.api.stop()
        const told = async (words: readonly string[], message: RegExp): Promise<void> => {
          const { code, stderr } = await bed.platform.fairway(['target', 'access', ...words])
          assert.equal(code, 8)
          assert.match(stderr, message)
        }
        await told(
          ['--new-key'],
          /the API server of prod still takes the old one: .* does not answer/,
        )
        // What was signed before is none of ours any more.
        await bed.forget(ann)
        await told(
          ['prod', '--way', 'off'],
          /nobody gets further tokens for prod, but .* does not answer/,
        )
        await bed.api.restart(now)
        assert.notEqual(await bound(), '')
        await off()
        assert.equal(await bound(), '')
      })

      test('what is open through the proxy ends, and its account is gone', async () => {
        await bed.platform.must(['target', 'access', 'prod', '--way', 'proxy'])
        const path = await bed.kubeconfig(ann)
        const watch = await follow(bed, ann, path, ['get', 'cronjobs', '-w'])
        await waitUntil('the watch shows what there is', 20_000, () =>
          watch.text().includes('nightly'),
        )
        assert.match(await bound(), /clusterrolebinding/)
        await off()
        assert.equal(await bound(), '')
        await watch.ended
      })
    })
  },
)

const bindings = z.object({ bindings: z.array(z.object({ id: z.string() })) })
const record = z.record(z.string(), z.unknown())

function claimsOf(token: string): Readonly<Record<string, unknown>> {
  return record.parse(JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()))
}

function headOf(token: string): Readonly<Record<string, unknown>> {
  return record.parse(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()))
}

function base64(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

const MAP = JSON.stringify({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'made' },
  data: { a: 'b' },
})

async function follow(
  { api }: DirectAccessBed,
  { env }: Somebody,
  config: string,
  args: readonly string[],
) {
  const child = await start(api.cluster.program, ['--kubeconfig', config, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const ended = new Promise<void>((done) => child.once('exit', () => done()))
  return { text: () => text, ended, end: () => child.kill('SIGKILL') }
}
