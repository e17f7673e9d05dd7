/** Canaries on a real cluster, judged by what a real Prometheus counts of the app's own metrics. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { stringify } from 'yaml'
import { askService } from '../../bench/service-load.ts'
import { minimalEnv, runToEnd, start } from '../../src/lib/process.ts'
import {
  ClusterProbe,
  lacksClusterBed,
  startClusterPlatform,
  type ClusterPlatform,
} from './cluster-bed.ts'
import { targetArguments } from './cluster-platform.ts'
import { freePorts } from './private-platform.ts'
import { eventually } from './probe-app.ts'

const skip = (await lacksClusterBed()) || (await lacksPrometheus())

const CANARY = {
  scale: { min: 2 },
  deploy: {
    strategy: 'canary',
    steps: ['50%', '100%'],
    pause: '2s',
    analysis: { errorRate: '<5%', minRequests: 20 },
  },
}

describe('canaries on a cluster', { skip, timeout: 560_000 }, () => {
  let bed: ClusterPlatform
  let prometheus: Prometheus | null = null
  before(async () => {
    bed = await startClusterPlatform({ subnet: '10.237.2.0/24' })
    prometheus = await Prometheus.start(bed)
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
    const load = steadyLoad(() => askService(service, '/maybe'))
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
    const again = steadyLoad(() => askService(service, '/maybe'))
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
})

/** Twenty requests a second, whatever becomes of them. */
function steadyLoad(send: () => Promise<unknown>): { stop(): Promise<void> } {
  const sent: Promise<unknown>[] = []
  const timer = setInterval(() => sent.push(send().catch(() => undefined)), 50)
  return {
    stop: async () => {
      clearInterval(timer)
      await Promise.all(sent)
    },
  }
}

/** False where Debian's package is there. */
async function lacksPrometheus(): Promise<string | false> {
  const found = await runToEnd('prometheus', ['--version'], { env: minimalEnv() }).catch(() => null)
  return found?.code === 0 ? false : 'needs prometheus'
}

/**
 * A Prometheus of our own on loopback. Debian builds it without discovery in Kubernetes: we tell it the pods, with the labels
 * that everybody gives them.
 */
class Prometheus {
  readonly url: string
  readonly #child: Awaited<ReturnType<typeof start>>
  readonly #pods: Server
  readonly #folder: string

  private constructor(
    url: string,
    child: Awaited<ReturnType<typeof start>>,
    pods: Server,
    folder: string,
  ) {
    this.url = url
    this.#child = child
    this.#pods = pods
    this.#folder = folder
  }

  static async start({ cluster }: ClusterPlatform): Promise<Prometheus> {
    const folder = await mkdtemp(join(tmpdir(), 'fairway-prometheus-'))
    const config = join(folder, 'prometheus.yml')
    const pods = createServer((_request, response) => {
      podsOf(cluster).then(
        (text) => response.writeHead(200, { 'content-type': 'application/json' }).end(text),
        () => response.writeHead(500).end(),
      )
    })
    const [port = 0, podsPort = 0] = await freePorts(2)
    await once(pods.listen(podsPort, '127.0.0.1'), 'listening')
    await writeFile(config, stringify(scraping(`http://127.0.0.1:${String(podsPort)}/`)))
    const address = `127.0.0.1:${String(port)}`
    const child = await start(
      'prometheus',
      [
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=${address}`,
        '--log.level=error',
      ],
      { env: minimalEnv(), stdio: ['ignore', 'inherit', 'inherit'] },
    )
    const source = new Prometheus(`http://${address}`, child, pods, folder)
    await eventually(async () => (await fetch(`http://${address}/-/ready`)).ok, {
      withinMs: 60_000,
    })
    return source
  }

  /** Copies whose metrics it reads. */
  async targets(): Promise<number> {
    const response = await fetch(`${this.url}/api/v1/query?query=up%3D%3D1`)
    return ((await response.text()).match(/"pod":"web-/g) ?? []).length
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    await ended
    this.#pods.closeAllConnections()
    this.#pods.close()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

function scraping(url: string): unknown {
  return {
    global: { scrape_interval: '2s', scrape_timeout: '2s' },
    scrape_configs: [{ job_name: 'pods', http_sd_configs: [{ url, refresh_interval: '5s' }] }],
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
