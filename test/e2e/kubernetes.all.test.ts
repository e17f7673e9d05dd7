/** The day of a user whose app runs on a real cluster: real CLI, server and registry, nodes that pull from it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { after, before, describe, test } from 'node:test'
import { startServiceLoad } from '../../bench/service-load.ts'
import {
  ClusterProbe,
  lacksClusterBed,
  startClusterPlatform,
  TARGET,
  type ClusterPlatform,
} from './cluster-bed.ts'
import { killServer } from './kill-server.ts'
import { targetArguments } from './cluster-platform.ts'
import { eventually } from './probe-app.ts'

const skip = await lacksClusterBed()

describe('a user’s apps on a real cluster', { skip, timeout: 1_500_000 }, () => {
  let bed: ClusterPlatform
  before(async () => {
    bed = await startClusterPlatform({ subnet: '10.235.2.0/24', addTarget: false })
  })
  after(async () => {
    await bed.destroy()
    await Promise.all(made.map(({ app }) => app.remove()))
  })

  const made: ClusterProbe[] = []
  const create = async (
    name: string,
    ...more: readonly Readonly<Record<string, unknown>>[]
  ): Promise<ClusterProbe> => {
    const [web = {}, file = {}] = more
    const probe = await ClusterProbe.create(bed, name, web, file)
    made.push(probe)
    return probe
  }

  test('target add, list and doctor', async () => {
    const { platform, cluster } = bed
    const unknown = await platform.fairway(['doctor', '--target', TARGET])
    assert.match(unknown.stderr, /there is no target prod/)
    await platform.must(targetArguments(cluster.kubeconfig))
    const listed = await platform.must(['target', 'list'])
    assert.match(listed, /prod +https:\/\/\S+ +\S+ +127\.0\.0\.1:5000 +0/)
    const doctor = await platform.fairway(['doctor', '--target', TARGET])
    assert.equal(doctor.code, 0, doctor.stdout + doctor.stderr)
    assert.match(doctor.stdout, /1\.34/)
  })

  describe('side by side', { concurrency: 4 }, () => {
    test('a day: deploy, again under load, ps, logs, run, exec, scale, env, rollback, releases, destroy', async () => {
      const shop = await create('shop', { scale: { min: 2 } })
      assert.match(await shop.deploy(), /release 1/)
      assert.match(await shop.get('/'), /probe \(release 1/)
      assert.match(await shop.must('ps'), /web-a-\S+ +1 +ready/)

      const load = startServiceLoad(await bed.service(shop.namespace), 20, ['new'])
      try {
        await shop.must('env', 'set', 'GREETING=hello')
      } finally {
        const { failed, sent, failures } = await load.stop()
        assert.equal(failed, 0, failures.join('\n'))
        assert.ok(sent > 100)
      }
      await shop.untilAnswer(/hello \(release 2/)

      const following = await shop.follow('logs', '-f', '--raw')
      await eventually(async () => {
        await shop.get('/log?text=heard')
        return following.text().includes('heard')
      })
      assert.equal(await following.interrupt(), 0)

      const ran = await shop.tell('run', '--', 'node', '-e', 'console.log(6*7);process.exit(3)')
      assert.match(ran.all, /42/)
      assert.equal(ran.code, 3, ran.all)
      const execed = await shop.tell('exec', '--', 'node', '-p', 'process.env.GREETING')
      assert.match(execed.all, /hello/)
      assert.equal(execed.code, 0)

      await shop.must('scale', 'web=3')
      await shop.untilCopies('2,2,2')
      await shop.must('scale', 'web=1')
      await shop.untilCopies('2')

      assert.match(await shop.must('rollback'), /release 3 serves, from release 2/)
      await shop.untilAnswer(/probe \(release 3/)
      const releases = await shop.must('releases')
      assert.match(releases, /3 .*active.*rollback to 1/)
      assert.match(releases, /2 .*superseded/)

      await shop.destroy()
      const left = await bed.cluster.tryKubectl(['get', 'namespace', shop.namespace])
      assert.match(left.stderr, /NotFound/)
      assert.equal((await shop.tell('ps')).code, 4)
    })

    test('bluegreen: the Service switches, the way back is to the same copies', async () => {
      const web = { deploy: { strategy: 'bluegreen', keep: '10m' } }
      const blue = await create('blue', web)
      await blue.deploy()
      const [first] = (await blue.app.status()).instances
      await blue.must('env', 'set', 'A=1')
      assert.equal(await blue.copies(), '1,2')
      await blue.untilAnswer(/release 2/)
      assert.match(await blue.must('rollback'), /release 1/)
      await blue.untilAnswer(/release 1/)
      await blue.untilCopies('1')
      assert.equal((await blue.app.status()).instances[0]?.id, first?.id)
      await blue.destroy()
    })

    test('canary: a share of the copies first, then all; the candidate keeps its place', async () => {
      const steps = { strategy: 'canary', steps: ['50%', '100%'], pause: '6s' }
      const canary = await create('canary', { deploy: steps, scale: { min: 2 } })
      await canary.deploy()
      const deploying = canary.must('env', 'set', 'A=1')
      const seen = new Set<number>()
      await Promise.race([
        eventually(
          async () => {
            seen.add(await canary.release())
            return seen.size === 2
          },
          { withinMs: 60_000 },
        ),
        deploying.then((text) => assert.fail(`all at once: ${text}`)),
      ])
      assert.match(await deploying, /50 % of the traffic goes to release 2/)
      await canary.untilCopies('2,2')
      await canary.destroy()
    })

    test('the release command runs once, as a Job, before the release; one that fails stops it', async () => {
      const release = { command: ['node', '-e', 'console.log("migrated " + process.env.A)'] }
      const job = await create('job', {}, { release, env: { A: 'once' } })
      const said = await job.deploy()
      assert.equal(said.match(/migrated once/g)?.length, 1)
      await job.describe({}, { release: { command: ['node', '-e', 'process.exit(7)'] } })
      const failed = await job.refusedDeploy()
      assert.match(failed, /the release command failed: exit code 7/)
      assert.equal(await job.release(), 1)
      await job.destroy()
    })

    test('a failing probe, and what no node can take: explained, the old release serves', async () => {
      const bad = await create('bad')
      await bad.deploy()
      await bad.describe({ health: { ready: '/nothing-here', start: '8s' } })
      const probe = await bad.refusedDeploy()
      assert.match(probe, /did not become ready/)
      assert.match(probe, /\/nothing-here/)
      assert.match(probe, /404/)
      assert.match(probe, /probe bad listens/)
      assert.equal(await bad.release(), 1)
      await bad.describe({ resources: { cpu: 0.1, memory: '64Gi' } })
      const crowded = await bad.refusedDeploy()
      assert.match(crowded, /no node takes it: .*[Ii]nsufficient memory/)
      assert.equal(await bad.release(), 1)
      await bad.untilCopies('1')
      await bad.destroy()
    })

    test('objects: deleted by hand they come back; others of the same name are not touched', async () => {
      const kept = await create('kept')
      await kept.deploy()
      await bed.cluster.kubectl(['delete', 'deployment', '--all', '-n', kept.namespace])
      const back = async (): Promise<boolean> => (await kept.objects('deployment')).length === 1
      await eventually(back)
      await eventually(async () => (await kept.release()) === 1, { withinMs: 60_000 })
      await kept.destroy()

      const hand = await create('hand')
      await bed.cluster.kubectl(['create', 'namespace', hand.namespace])
      await bed.cluster.kubectl(['create', 'configmap', 'theirs', '-n', hand.namespace])
      const refused = await hand.refusedDeploy()
      assert.match(refused, /Namespace hand--production exists and was not made by Fairway/)
      assert.match(refused, /fairway adopt/)
      await hand.destroy()
      assert.ok((await hand.objects('configmap')).includes('configmap/theirs'))
      await bed.cluster.kubectl(['delete', 'namespace', hand.namespace, '--wait=false'])
    })

    test('an environment moves from the machine to the cluster, and is gone from the machine', async () => {
      const moved = await create('moved', {}, { environments: {} })
      await moved.deploy()
      assert.match(await moved.app.get('/'), /release 1/)
      await moved.describe({})
      await moved.deploy()
      await moved.untilAnswer(/release 2/)
      await eventually(async () => (await moved.app.get('/').catch(() => '')) === '')
      await moved.untilCopies('2')
      assert.match((await moved.app.status()).instances[0]?.id ?? '', /^web-a-/)
      await moved.destroy()
    })
  })

  test('an image that cannot be pulled: explained, the old release serves', async () => {
    const pull = await create('pull')
    await pull.deploy()
    const empty = createServer((_, response) => response.writeHead(404).end())
    const port = await listening(empty)
    await bed.lab.setRegistry(`127.0.0.1:${String(port)}`)
    try {
      await pull.change('a new image')
      const said = await pull.refusedDeploy()
      assert.match(said, /ErrImagePull|ImagePullBackOff/)
      assert.equal(await pull.release(), 1)
    } finally {
      await bed.lab.setRegistry(`127.0.0.1:${String(bed.platform.apiPort)}`)
      empty.close()
    }
    await pull.destroy()
  })

  test('a registry that refuses a node once, as one whose login came late: asked again, and live', async () => {
    const late = await create('late')
    const asked = Promise.withResolvers<undefined>()
    const refusing = createServer((_, response) => {
      response.writeHead(401).end()
      asked.resolve(undefined)
    })
    await bed.lab.setRegistry(`127.0.0.1:${String(await listening(refusing))}`)
    const deploying = late.deploy()
    try {
      await Promise.race([asked.promise, deploying])
    } finally {
      await bed.lab.setRegistry(`127.0.0.1:${String(bed.platform.apiPort)}`)
      refusing.close()
    }
    assert.match(await deploying, /release 1/)
    await late.destroy()
  })

  test('faults: a target in use stays; a killed server goes on; a cluster that is away holds up only its own apps', async () => {
    const { platform, lab } = bed
    const far = await create('far', { scale: { min: 2 } })
    const near = await create('near', {}, { environments: {} })
    await Promise.all([far.deploy(), near.deploy()])
    const refused = await platform.fairway(['target', 'remove', TARGET])
    assert.notEqual(refused.code, 0)
    assert.match(refused.stderr, /far\/production.* run on prod/)

    const interrupted = far.tell('env', 'set', 'A=1')
    // A look may come after the first of the old copies has left.
    await eventually(async () => (await far.copies()).includes('2'))
    await killServer(platform)
    await platform.must(['up'])
    await interrupted
    const resumed = async (): Promise<boolean> =>
      (await far.app.status()).active === 2 && (await far.copies()) === '2,2'
    await eventually(resumed, { withinMs: 240_000 })
    assert.equal((await far.objects('deployment')).length, 1)
    assert.equal(
      (await far.must('releases')).split('\n').filter((line) => /^\d/.test(line)).length,
      2,
    )

    await far.untilAnswer(/release 2/)
    let waiting: Promise<unknown> = Promise.resolve()
    await lab.component('kube-apiserver', 'stop')
    try {
      waiting = far.tell('env', 'set', 'A=2')
      await near.must('env', 'set', 'A=1')
      assert.match(await near.app.get('/'), /release 2/)
      assert.equal(await far.release(), 2)
      await platform.must(['up', '--restart'])
      await near.must('env', 'set', 'A=2')
      assert.match(await near.app.get('/'), /release 3/)
      assert.equal((await platform.fairway(['ps'])).code, 0)
    } finally {
      await lab.component('kube-apiserver', 'start')
    }
    // It follows its rollout over the restart of the server.
    await waiting
    await eventually(async () => (await far.app.status()).active === 3, { withinMs: 240_000 })
    await eventually(async () => (await far.release()) === 3)
    await Promise.all([far.destroy(), near.destroy()])
    await platform.must(['target', 'remove', TARGET])
    assert.match(await platform.must(['target', 'list']), /No targets/)
  })
})

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}
