/** Canaries by the weights of HTTPRoutes, carried by a real Gateway: what its requests meet, and what it says of the routes. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import { askService, startServiceLoad, type ServiceAddress } from '../../bench/service-load.ts'
import { ClusterProbe, TARGET, type ClusterPlatform } from './cluster-bed.ts'
import { targetArguments } from './cluster-platform.ts'
import { Gateway, GATEWAY_DOMAIN } from './gateway.ts'
import { eventually } from './probe-app.ts'
import { Prometheus } from './prometheus.ts'
import { startRepeating } from './repeating.ts'

/** Requests of one look at how the traffic is split. */
const SAMPLE = 400
/** Beyond this many standard deviations it is not chance: one look in a million. */
const SIGMAS = 5
/** Within it a sample is taken and looked at, on a machine that carries the cluster too. */
const PAUSE_MS = 15_000

/** @param bedOf a platform with a cluster that has no Gateway yet */
export function canariesBehindGateway(bedOf: () => ClusterPlatform, skip: string | false): void {
  describe('behind a real Gateway', { skip }, () => {
    let parts: { readonly gateway: Gateway; readonly prometheus: Prometheus } | null = null
    before(async () => {
      const gateway = await Gateway.open(bedOf().cluster)
      const { platform, cluster } = bedOf()
      const prometheus = await Prometheus.start([scrapedBy(gateway)])
      parts = { gateway, prometheus }
      const target = targetArguments(cluster.kubeconfig)
      await platform.must([...target, '--metrics', prometheus.url])
    })
    after(async () => {
      await parts?.prometheus.stop()
      await parts?.gateway.stop()
    })
    const world = (): World => {
      assert.ok(parts)
      return new World(bedOf(), parts.gateway)
    }
    describe('side by side', { concurrency: 2 }, () => {
      test('each step gets its share and begins when the Gateway follows; no request fails', (t) =>
        sharesFollow(world(), (line) => t.diagnostic(line)))
      test('a release that fails requests goes back by what the Gateway counts', (t) =>
        badGoesBack(world(), (line) => t.diagnostic(line)))
    })
    test('a route that the Gateway refuses is told by the rollout and by doctor', () =>
      refusalIsTold(world()))
  })
}

class World {
  readonly bed: ClusterPlatform
  readonly gateway: Gateway

  constructor(bed: ClusterPlatform, gateway: Gateway) {
    this.bed = bed
    this.gateway = gateway
  }

  /** Where the requests for an app go. */
  through(name: string): ServiceAddress {
    return { ...this.gateway.address, name: `${name}.${GATEWAY_DOMAIN}` }
  }

  /** Deployed, and answered for through the Gateway. */
  async serve(name: string, steps: readonly string[], deploy: object = {}): Promise<ClusterProbe> {
    const probe = await ClusterProbe.create(this.bed, name, {
      routes: { main: { host: `${name}.${GATEWAY_DOMAIN}` } },
      deploy: { strategy: 'canary', steps, pause: `${String(PAUSE_MS)}ms`, ...deploy },
    })
    await probe.deploy()
    await eventually(async () => /release 1/.test(await askService(this.through(name))))
    return probe
  }

  /** Weight of the second slot, which the new release is in. */
  async share(probe: ClusterProbe): Promise<number> {
    const { spec } = await this.#route(probe)
    const backends = spec.rules.flatMap(({ backendRefs }) => backendRefs)
    return backends.find(({ name }) => name === 'web--b')?.weight ?? 0
  }

  untilShare(probe: ClusterProbe, share: number): Promise<void> {
    return eventually(async () => (await this.share(probe)) === share, { withinMs: 60_000 })
  }

  /** Until the Gateway has seen the route as it is now. */
  untilFollowed(probe: ClusterProbe): Promise<void> {
    return eventually(async () => {
      const { metadata, status } = await this.#route(probe)
      const conditions = status.parents.flatMap((parent) => parent.conditions)
      return conditions.every(
        (one) => one.observedGeneration === metadata.generation && one.status === 'True',
      )
    })
  }

  async #route({ namespace }: ClusterProbe): Promise<z.infer<typeof route>> {
    const query = ['get', 'httproute', '-n', namespace, '-o', 'json']
    const text = await this.bed.cluster.kubectl(query)
    const [found] = z.object({ items: z.array(route) }).parse(JSON.parse(text)).items
    if (found === undefined) throw new Error(`${namespace} has no route`)
    return found
  }
}

type Say = (line: string) => void

async function sharesFollow(world: World, say: Say): Promise<void> {
  const good = await world.serve('good', ['20%', '60%', '100%'])
  const address = world.through('good')
  const load = startServiceLoad(address, 20, ['kept', 'new', 'slow'])
  try {
    const deploying = good.tell('env', 'set', 'A=1')
    await world.untilShare(good, 20)
    const shares = [await newShare(address)]
    assert.equal(await world.share(good), 20)
    world.gateway.haltController()
    await world.untilShare(good, 60)
    await setTimeout(PAUSE_MS + 1000)
    assert.equal(await world.share(good), 60, 'the step was over before it began')
    shares.push(await newShare(address))
    world.gateway.wakeController()
    await world.untilFollowed(good)
    shares.push(await newShare(address))
    assert.equal(await world.share(good), 60)
    const { code, all } = await deploying
    assert.equal(code, 0, all)
    assert.match(all, /60 % of the traffic goes to release 2/)
    shares.push(await newShare(address))
    say(`met the new release, of ${String(SAMPLE)}: ${shares.join(', ')}`)
    for (const [index, share] of [20, 20, 60, 100].entries()) assertShare(shares[index], share)
  } finally {
    world.gateway.wakeController()
    const { sent, failed, failures } = await load.stop()
    say(`requests under load: ${String(sent)}, failed: ${String(failed)}`)
    assert.equal(failed, 0, failures.join('\n'))
    assert.ok(sent > 300)
    await good.app.remove()
  }
}

async function badGoesBack(world: World, say: Say): Promise<void> {
  const analysis = { errorRate: '<5%', minRequests: 20 }
  const bad = await world.serve('bad', ['25%', '100%'], { analysis })
  const address = world.through('bad')
  const load = startRepeating(() => askService(address, '/maybe'))
  try {
    const { code, all } = await bad.tell('env', 'set', 'FAIL=1')
    assert.notEqual(code, 0)
    assert.match(all, /did not hold at 25 % of the traffic/)
    const [verdict = ''] = /\d+ of \d+ requests failed .* may/.exec(all) ?? []
    assert.match(verdict, /\([\d.]+ %\), p95 .*; at most 5 % may/)
    say(verdict)
    await bad.untilCopies('1')
    assert.equal(await newShare(address), 0)
  } finally {
    await load.stop()
    await bad.app.remove()
  }
}

async function refusalIsTold({ bed }: World): Promise<void> {
  const doctor = async (): Promise<string> =>
    (await bed.platform.fairway(['doctor', '--target', TARGET])).stdout
  assert.match(await doctor(), /✓ routes .*Gateway gateway\/web .* split traffic by weight/)
  const lost = await ClusterProbe.create(bed, 'lost')
  const said = await lost.deploy()
  const words = /the Gateway gateway\/web refuses: NoMatchingListenerHostname: .*lost\.localhost/
  assert.match(said, words)
  assert.match(said, /release 1 of lost is live/)
  assert.match(await doctor(), words)
  await lost.app.remove()
}

/** How many of the sample a release other than the first answers. */
async function newShare(address: ServiceAddress): Promise<number> {
  let fresh = 0
  const ask = async (): Promise<void> => {
    for (let n = 0; n < SAMPLE / 8; n++) if (!/release 1,/.test(await askService(address))) fresh++
  }
  await Promise.all(Array.from({ length: 8 }, ask))
  return fresh
}

function assertShare(fresh: number | undefined, percent: number): void {
  assert.ok(fresh !== undefined)
  const share = percent / 100
  const off = SIGMAS * Math.sqrt(SAMPLE * share * (1 - share))
  const said = `${String(fresh)} of ${String(SAMPLE)} requests met the new release at ${String(percent)} %`
  assert.ok(Math.abs(fresh - SAMPLE * share) <= off, said)
}

function scrapedBy({ stats }: Gateway): object {
  const metrics = { metrics_path: '/stats/prometheus', static_configs: [{ targets: [stats] }] }
  return { job_name: 'envoy', ...metrics }
}

const backend = z.object({ name: z.string(), weight: z.number() })
const condition = z.object({ status: z.string(), observedGeneration: z.number() })
const route = z.object({
  metadata: z.object({ generation: z.number() }),
  spec: z.object({ rules: z.array(z.object({ backendRefs: z.array(backend) })) }),
  status: z.object({ parents: z.array(z.object({ conditions: z.array(condition) })) }),
})
