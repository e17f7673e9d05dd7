/** `node-agent.ts --node NAME`: tells the cluster what the provider of this machine announces. Runs on every node, from a DaemonSet. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { AwsNotices, AWS_METADATA_URL } from '../kubernetes/aws-notices.ts'
import { ClusterClient } from '../kubernetes/cluster-client.ts'
import {
  inClusterConnection,
  readKubeconfig,
  type ClusterConnection,
} from '../kubernetes/kubeconfig.ts'
import { runNodeAgent } from '../kubernetes/node-agent.ts'
import { systemClock } from '../lib/clock.ts'
import { programLog } from './program-log.ts'
import { untilTold } from './until-told.ts'
import { packageVersion } from './version.ts'

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

const { values } = parseArgs({
  options: {
    node: { type: 'string', default: '' },
    'metadata-url': { type: 'string', default: AWS_METADATA_URL },
    /** Instead of the pod's own account: for a program outside of the cluster. */
    kubeconfig: { type: 'string' },
  },
})
if (values.node === '') throw new TypeError('--node is missing')
const clock = systemClock
const log = programLog('node-agent', 'info')
const client = new ClusterClient({
  connection: await connection(values.kubeconfig),
  clock,
  random: Math.random,
  userAgent: `fairway-node-agent/${packageVersion()}`,
})
const source = new AwsNotices({
  node: values.node,
  baseUrl: values['metadata-url'],
  fetch,
  clock,
  log,
})
const ended = new AbortController()
void untilTold().then(() => {
  ended.abort()
})
await runNodeAgent({ client, node: values.node, source, clock, log }, ended.signal)
await client.close()

/** Its address is the same in every cluster, so nothing of the environment is needed. */
async function connection(kubeconfig: string | undefined): Promise<ClusterConnection> {
  if (kubeconfig !== undefined) return readKubeconfig(await readFile(kubeconfig, 'utf8'))
  const read = (file: string): Promise<string> => readFile(join(ACCOUNT, file), 'utf8')
  return await inClusterConnection({ host: 'kubernetes.default.svc', port: '443', read })
}
