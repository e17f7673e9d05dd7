import { writeFile } from 'node:fs/promises'
import { runToEnd } from '../src/lib/process.ts'
import type { TestCluster } from '../test/cluster/test-cluster.ts'
import { connectionOf } from '../test/kubernetes-bed.ts'

const NAME = 'fairway-bench'

/**
 * An administrator of its own whose requests the API server counts apart: a FlowSchema matches it, and `apiserver_flowcontrol_dispatched_requests_total` has
 * one series per FlowSchema (`apiserver_request_total` does not say who asked).
 */
export class CountedUser {
  readonly #cluster: TestCluster

  private constructor(cluster: TestCluster) {
    this.#cluster = cluster
  }

  /** Writes a kubeconfig for it to `path`. */
  static async create(cluster: TestCluster, path: string): Promise<CountedUser> {
    await cluster.kubectl(
      ['apply', '-f', '-'],
      JSON.stringify({ kind: 'List', apiVersion: 'v1', items: OBJECTS }),
    )
    const options = ['-n', 'default', '--duration', '24h']
    const token = await cluster.kubectl(['create', 'token', NAME, ...options])
    const { server, ca } = await connectionOf(cluster)
    const data = { 'certificate-authority-data': Buffer.from(ca ?? '').toString('base64') }
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: NAME, cluster: { server, ...data } }],
      users: [{ name: NAME, user: { token: token.trim() } }],
      contexts: [{ name: NAME, context: { cluster: NAME, user: NAME } }],
      'current-context': NAME,
    }
    await writeFile(path, JSON.stringify(config), { mode: 0o600 })
    return new CountedUser(cluster)
  }

  /** Requests of this user since the API server began, watches included. */
  async requests(): Promise<number> {
    const { program, kubeconfig } = this.#cluster
    const asked = ['--kubeconfig', kubeconfig, 'get', '--raw', '/metrics']
    const { code, stdout, stderr } = await runToEnd(program, asked, { maxOutput: 64 << 20 })
    if (code !== 0) throw new Error(`the API server's metrics: ${stderr}`)
    return stdout
      .split('\n')
      .filter((line) => line.startsWith(COUNTER) && line.includes(`flow_schema="${NAME}"`))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1) ?? 0), 0)
  }
}

const COUNTER = 'apiserver_flowcontrol_dispatched_requests_total'
const USER = { kind: 'ServiceAccount', name: NAME, namespace: 'default' }
const OBJECTS = [
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: NAME, namespace: 'default' } },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: NAME },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [USER],
  },
  {
    apiVersion: 'flowcontrol.apiserver.k8s.io/v1',
    kind: 'FlowSchema',
    metadata: { name: NAME },
    spec: {
      // Not the exempt level, whose requests are counted too but never queued as a user's are.
      priorityLevelConfiguration: { name: 'workload-high' },
      matchingPrecedence: 100,
      distinguisherMethod: { type: 'ByUser' },
      rules: [
        {
          subjects: [
            { kind: 'ServiceAccount', serviceAccount: { name: NAME, namespace: 'default' } },
          ],
          resourceRules: [
            {
              verbs: ['*'],
              apiGroups: ['*'],
              resources: ['*'],
              clusterScope: true,
              namespaces: ['*'],
            },
          ],
          nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
        },
      ],
    },
  },
]
