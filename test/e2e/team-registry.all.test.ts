/** A cluster whose nodes pull from the team's own registry: TLS of a private authority, one login that pushes and another that pulls. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ClusterProbe, lacksClusterBed } from './cluster-bed.ts'
import { startClusterPlatform, TARGET, type ClusterPlatform } from './cluster-platform.ts'
import { lacks } from './lacks.ts'
import { PULLER, PUSHER, TeamRegistry } from './team-registry.ts'

const skip = lacks('docker-registry') || (await lacksClusterBed())

describe('the registry of a team', { skip, timeout: 1_200_000 }, () => {
  let bed: ClusterPlatform
  let registry: TeamRegistry
  let shop: ClusterProbe
  before(async () => {
    bed = await startClusterPlatform({
      subnet: '10.235.12.0/24',
      addTarget: false,
      prepare: async ({ lab, host }) => {
        registry = await TeamRegistry.start(host)
        await lab.trustRegistry(registry.name, registry.authority)
        return { NODE_EXTRA_CA_CERTS: registry.trusted }
      },
    })
    shop = await ClusterProbe.create(bed, 'shop')
  })
  after(async () => {
    await bed.destroy()
    await registry.destroy()
    await shop.app.remove()
  })

  const addTarget = async (pushPassword: string) =>
    bed.platform.fairway(
      [
        ...['target', 'add', TARGET, '--kubeconfig', bed.cluster.kubeconfig],
        ...['--registry', `${registry.name}/team/apps`],
        ...['--registry-user', PUSHER.name, '--registry-password', '-'],
        ...['--pull-username', PULLER.name, '--pull-password', '-'],
      ],
      { input: `${pushPassword}\n${PULLER.password}\n` },
    )

  test('a login that it refuses is told by name, and nothing is written', async () => {
    const added = await addTarget('wrong')
    const said = added.code === 0 ? await shop.refusedDeploy() : added.stdout + added.stderr
    assert.match(said, new RegExp(`registry ${registry.name} does not know this login`))
    assert.doesNotMatch(said, /wrong|bug in Fairway/)
  })

  test('a release is pushed there, and nodes pull it with a login that is theirs alone', async () => {
    const added = await addTarget(PUSHER.password)
    assert.equal(added.code, 0, added.stdout + added.stderr)
    assert.match(await shop.deploy(), /release 2 of shop is live/)
    assert.equal(await shop.release(), 2)
    const image = await shopImage()
    assert.match(image, new RegExp(`^${registry.name}/team/apps/\\S*@sha256:[0-9a-f]{64}$`))
    const { text } = await registry.ask('/v2/_catalog', PULLER)
    assert.match(text, /team\/apps/)
    const secret = Buffer.from(await pullSecret(), 'base64').toString()
    assert.match(secret, /puller/)
    assert.doesNotMatch(secret, /pusher|push-secret/)
  })

  test('while it is away a deploy ends with its name, and the release before serves', async () => {
    await registry.end()
    await shop.change('two')
    assert.match(await shop.refusedDeploy(), new RegExp(registry.name))
    assert.equal(await shop.release(), 2)
    await registry.begin()
    assert.match(await shop.deploy(), /release 4 of shop is live/)
    assert.equal(await shop.release(), 4)
  })

  test('an authority that the server does not know is told as such', async () => {
    const stranger = await TeamRegistry.start(String(bed.cluster.host))
    try {
      const added = await bed.platform.fairway(
        [
          ...['target', 'add', TARGET, '--kubeconfig', bed.cluster.kubeconfig],
          ...['--registry', `${stranger.name}/team`],
          ...['--registry-user', PUSHER.name, '--registry-password', '-'],
        ],
        { input: `${PUSHER.password}\n` },
      )
      await shop.change('three')
      const said = added.code === 0 ? await shop.refusedDeploy() : added.stdout + added.stderr
      assert.match(said, new RegExp(`${stranger.name}.*certificate`, 's'))
    } finally {
      await stranger.destroy()
    }
  })

  const shopImage = (): Promise<string> =>
    bed.cluster.kubectl([
      ...['get', 'pods', '-n', shop.namespace],
      ...['-o', 'jsonpath={.items[0].spec.containers[0].image}'],
    ])
  const pullSecret = (): Promise<string> =>
    bed.cluster.kubectl([
      ...['get', 'secret', 'fairway-pull', '-n', shop.namespace],
      ...['-o', 'jsonpath={.data.\\.dockerconfigjson}'],
    ])
})
