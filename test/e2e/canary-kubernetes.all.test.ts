/** Canaries on a real cluster, judged by what a real Prometheus counts of the app's own metrics. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { after, before, describe, test } from 'node:test'
import { askService } from '../../bench/service-load.ts'
import {
  ClusterProbe,
  lacksClusterBed,
  startClusterPlatform,
  type ClusterPlatform,
} from './cluster-bed.ts'
import { targetArguments } from './cluster-platform.ts'
import { lacksGateway } from './gateway-programs.ts'
import { canariesBehindGateway } from './gateway-canaries.ts'
import { freePorts } from './private-platform.ts'
import { eventually } from './probe-app.ts'
import { lacksPrometheus, Prometheus } from './prometheus.ts'
import { startRepeating } from './repeating.ts'

const skip = (await lacksClusterBed()) || (await lacksPrometheus())
const noGateway = await lacksGateway()

const CANARY = {
  scale: { min: 2 },
  deploy: {
    strategy: 'canary',
    steps: ['50%', '100%'],
    pause: '2s',
    analysis: { errorRate: '<5%', minRequests: 20 },
  },
}

describe('canaries on a cluster', { skip, timeout: 1_500_000 }, () => {
  let bed: ClusterPlatform
  let prometheus: ScrapedPods | null = null
  before(async () => {
    bed = await startClusterPlatform({ subnet: '10.235.11.0/24' })
    prometheus = await ScrapedPods.start(bed)
  })
  after(async () => {
    try {
      await prometheus?.stop()
    } finally {
      await bed.destroy()
    }
  })

  test('without metrics analysis is refused by name; with them a bad release goes back, silence holds, a good one is promoted', async () => {
    assert.ok(prometheus)
    const source = prometheus
    const app = await ClusterProbe.create(bed, 'canary', CANARY)
    const refused = await app.refusedDeploy()
    assert.match(refused, /fairway\.yaml:\d+:\d+: `processes\.web\.deploy\.analysis`/)
    assert.match(refused, /target add prod … --metrics URL/)

    const target = targetArguments(bed.cluster.kubeconfig)
    const nobody = await bed.platform.fairway([...target, '--metrics', 'http://127.0.0.1:1'])
    assert.match(nobody.stderr, /metrics at http:\/\/127\.0\.0\.1:1 cannot be read/)
    await bed.platform.must([...target, '--metrics', source.url])
    await app.deploy()

    const service = await bed.service(app.namespace)
    await eventually(async () => (await source.targets()) >= 2, { withinMs: 60_000 })
    const load = startRepeating(() => askService(service, '/maybe'))
    try {
      const bad = await app.tell('env', 'set', 'FAIL=1')
      assert.notEqual(bad.code, 0)
      assert.match(bad.all, /did not hold at 50 % of the traffic/)
      assert.match(bad.all, /of \d+ requests failed \([\d.]+ %\), p95 .*; at most 5 % may/)
      assert.match(bad.all, /gets 33\.3% of the requests instead of 50%/)
      await app.untilCopies('1,1')
    } finally {
      await load.stop()
    }

    // Probes and scrapes go on, and are no traffic.
    const following = app.tell('env', 'set', 'FAIL=')
    await app.untilCopies('1,1,3')
    await new Promise((later) => setTimeout(later, 12_000))
    assert.equal(await app.copies(), '1,1,3')
    const again = startRepeating(() => askService(service, '/maybe'))
    try {
      const good = await following
      assert.equal(good.code, 0, good.all)
      assert.match(good.all, /waits: \d+ requests, 20 are needed to judge/)
      assert.match(good.all, /0 of \d+ requests failed \(0 %\)/)
      await app.untilCopies('3,3')
    } finally {
      await again.stop()
    }
    await app.destroy()
  })

  canariesBehindGateway(() => bed, noGateway)
})

/** Debian builds Prometheus without discovery in Kubernetes: we tell it the pods, with the labels that everybody gives them. */
class ScrapedPods {
  readonly #prometheus: Prometheus
  readonly #pods: Server

  private constructor(prometheus: Prometheus, pods: Server) {
    this.#prometheus = prometheus
    this.#pods = pods
  }

  static async start({ cluster }: ClusterPlatform): Promise<ScrapedPods> {
    const pods = createServer((_request, response) => {
      podsOf(cluster).then(
        (text) => response.writeHead(200, { 'content-type': 'application/json' }).end(text),
        () => response.writeHead(500).end(),
      )
    })
    const [port = 0] = await freePorts(1)
    await once(pods.listen(port, '127.0.0.1'), 'listening')
    const url = `http://127.0.0.1:${String(port)}/`
    const found = { job_name: 'pods', http_sd_configs: [{ url, refresh_interval: '5s' }] }
    return new ScrapedPods(await Prometheus.start([found]), pods)
  }

  get url(): string {
    return this.#prometheus.url
  }

  /** Copies whose metrics it reads. */
  async targets(): Promise<number> {
    return ((await this.#prometheus.query('up==1')).match(/"pod":"web-/g) ?? []).length
  }

  async stop(): Promise<void> {
    await this.#prometheus.stop()
    this.#pods.closeAllConnections()
    this.#pods.close()
  }
}

/** The pods of web processes as Prometheus wants to be told of them. */
async function podsOf(cluster: ClusterPlatform['cluster']): Promise<string> {
  const query = ['get', 'pods', '-A', '-l', 'fairway/process=web', '-o']
  const fields =
    '{range .items[*]}{.metadata.namespace} {.metadata.name} {.status.podIP} {.spec.containers[0].ports[0].containerPort}{"\\n"}{end}'
  const lines = (await cluster.kubectl([...query, `jsonpath=${fields}`])).split('\n')
  return JSON.stringify(
    lines.flatMap((line) => {
      const [namespace, pod, address, port] = line.split(' ')
      return address === undefined || address === '' || port === undefined
        ? []
        : [{ targets: [`${address}:${port}`], labels: { namespace, pod } }]
    }),
  )
}
