import { readFile, mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { fingerprints } from '../src/kubernetes/fingerprints.ts'
import { ClusterClient } from '../src/kubernetes/cluster-client.ts'
import { KubernetesEngine } from '../src/kubernetes/engine.ts'
import { textAt } from '../src/kubernetes/json-value.ts'
import { KINDS } from '../src/kubernetes/kinds.ts'
import { readKubeconfig, type ClusterConnection } from '../src/kubernetes/kubeconfig.ts'
import { LABELS } from '../src/kubernetes/labels.ts'
import { systemClock } from '../src/lib/clock.ts'
import { silentLog } from '../src/lib/log.ts'
import { run } from '../src/lib/process.ts'
import type { ImageFacts } from '../src/model/release.ts'
import { Secret } from '../src/model/secrets.ts'
import { writeImageArchive } from './cluster/image-archive.ts'
import type { TestCluster } from './cluster/test-cluster.ts'

const APP = join(import.meta.dirname, 'apps/behaviour')
/** What tests run in clusters: node and the app that behaves as its environment says. */
export const BEHAVIOUR_IMAGE = 'fairway.test/behaviour:1'
export const BEHAVIOUR: ImageFacts = {
  digest: `sha256:${'b'.repeat(64)}`,
  flavour: 'image',
  command: ['/bin/node', '/app/app.js'],
  env: {},
  workingDir: '/',
  user: '',
  port: null,
  sizeBytes: 0,
}

/** Makes the image of test/apps/behaviour known to the cluster's nodes. On a cluster of the user's it must be there already. */
export async function importBehaviour(cluster: TestCluster): Promise<void> {
  if (cluster.lab === null) return
  const folder = await mkdtemp(join(tmpdir(), 'fairway-behaviour-'))
  try {
    const archive = join(folder, 'behaviour.tar')
    await writeImageArchive(archive, {
      reference: BEHAVIOUR_IMAGE,
      files: {
        'app/app.js': join(APP, 'app.js'),
        'app/package.json': join(APP, 'package.json'),
        'bin/node': process.execPath,
        ...(await librariesOf(process.execPath)),
      },
      entrypoint: ['/bin/node', '/app/app.js'],
    })
    await cluster.lab.importImage(archive)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export interface EngineBed {
  readonly client: ClusterClient
  readonly engine: KubernetesEngine
}

export interface EngineBedOptions {
  readonly owner: string
  readonly connection?: ClusterConnection
  readonly imageOf?: (digest: string) => string
}

/** An engine of its own client on the cluster; `engine.close()` closes both. */
export async function engineOn(
  cluster: TestCluster,
  options: EngineBedOptions,
): Promise<EngineBed> {
  const connection = options.connection ?? (await connectionOf(cluster))
  const client = new ClusterClient({ connection, clock: systemClock, random: Math.random })
  const engine = new KubernetesEngine({
    client,
    settings: {
      owner: options.owner,
      imageOf: options.imageOf ?? (() => BEHAVIOUR_IMAGE),
      pullSecret: null,
      defaultHost: ({ app }) => `${app}.localhost`,
      fingerprint: fingerprints(Secret.of(options.owner)),
      minReadySeconds: 1,
    },
    clock: systemClock,
    log: silentLog,
    random: Math.random,
    orphansAfterMs: 1_000,
  })
  return { client, engine }
}

export async function connectionOf({
  kubeconfig,
}: Pick<TestCluster, 'kubeconfig'>): Promise<ClusterConnection> {
  return readKubeconfig(await readFile(kubeconfig, 'utf8'))
}

/** A name that nobody else on a shared cluster has. */
export function freshOwner(): string {
  return `t${randomBytes(4).toString('hex')}`
}

/** Names of the namespaces that an owner has in the cluster. */
export async function namespacesOf(client: ClusterClient, owner: string): Promise<string[]> {
  const labels = `${LABELS.owner}=${owner}`
  const { items } = await client.list(KINDS.Namespace, { namespace: null, labels })
  return items.map((item) => textAt(item, 'metadata', 'name'))
}

/** GET to a Service by its address: the lab routes those to this host. Status 0 where no answer came. */
export async function getService(
  client: ClusterClient,
  namespace: string,
  name: string,
  path: string,
): Promise<{ readonly status: number; readonly body: string }> {
  const service = await client.get({ kind: KINDS.Service, namespace, name })
  return getAt(textAt(service, 'spec', 'clusterIP'), path)
}

function getAt(
  host: string,
  path: string,
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve) => {
    const outgoing = request({ host, port: 80, path, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }),
      )
      response.on('error', (error) => resolve({ status: 0, body: error.message }))
    })
    outgoing.on('error', (error) => resolve({ status: 0, body: error.message }))
    outgoing.end()
  })
}

async function librariesOf(program: string): Promise<Record<string, string>> {
  const listed = await run('ldd', [program])
  const paths = [...listed.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] ?? '')
  return Object.fromEntries(paths.map((path) => [path.replace(/^\//, ''), path]))
}
