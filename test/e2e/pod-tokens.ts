import { readFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { SECRETS_SERVER_NAME, type InstanceNeed } from '../../src/model/instance-secrets.ts'
import type { TestCluster } from '../cluster/test-cluster.ts'
import type { ClusterPlatform } from './cluster-bed.ts'

/** Which token somebody with rights on the cluster has made. */
export interface TokenOf {
  readonly account?: string
  /** Namespace. */
  readonly in?: string
  readonly audience?: string
  /** What it is bound to; absent = nothing. */
  readonly pod?: { readonly name: string; readonly uid: string }
}

export async function podToken(
  cluster: TestCluster,
  { account = 'web', pod, ...of }: TokenOf & Required<Pick<TokenOf, 'in' | 'audience'>>,
): Promise<string> {
  const bound =
    pod === undefined
      ? []
      : [
          ...['--bound-object-kind', 'Pod', '--bound-object-name', pod.name],
          ...['--bound-object-uid', pod.uid],
        ]
  const asked = ['create', 'token', account, '-n', of.in, '--audience', of.audience]
  return (await cluster.kubectl([...asked, ...bound])).trim()
}

/** Whom the tokens of a process's pods are made for. */
export async function audienceOf(
  { cluster }: ClusterPlatform,
  namespace: string,
  need: InstanceNeed,
): Promise<string> {
  const path = `jsonpath={.spec.template.spec.volumes[?(@.name=="${need}-token")].projected.sources[0].serviceAccountToken.audience}`
  return cluster.kubectl(['get', 'deployment', 'web-a', '-n', namespace, '-o', path])
}

/** Asks the server as the programs in pods do. */
export async function askDoor(
  { platform }: ClusterPlatform,
  path: string,
  token: string,
  body = '',
): Promise<{ readonly status: number; readonly text: string }> {
  const ca = await readFile(join(platform.dataDir, 'access/ca.pem'), 'utf8')
  const { FAIRWAY_ACCESS_HOST: host, FAIRWAY_ACCESS_PORT: port } = platform.env
  const options = {
    ...{ method: 'POST', host, port, path, ca, servername: SECRETS_SERVER_NAME, agent: false },
    headers: {
      authorization: `Bearer ${token}`,
      'content-length': String(Buffer.byteLength(body)),
    },
  }
  return new Promise((resolve, reject) => {
    const outgoing = request(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      )
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}
