import { Agent } from 'undici'
import { nameOf, ranked } from '../src/kubernetes/apply.ts'
import { pathOf } from '../src/kubernetes/kinds.ts'
import type { ClusterConnection } from '../src/kubernetes/kubeconfig.ts'
import type { KubeObject } from '../src/kubernetes/object.ts'

const WIDTH = 32

/** The other side: server-side applies of the same objects as fast as the API server takes them, and nothing else. Resolves with the number of writes. */
export async function writePlainly(
  connection: ClusterConnection,
  apps: readonly (readonly KubeObject[])[],
): Promise<number> {
  const { server, ca, token } = connection
  if (token === null) throw new TypeError('the plain client writes as a user with a token')
  const authorization = `Bearer ${await token()}`
  const agent = new Agent({ connect: { ca: ca ?? [] } })
  let written = 0
  const write = async (object: KubeObject): Promise<void> => {
    const { kind, namespace, name } = nameOf(object)
    const answer = await agent.request({
      origin: server,
      path: `${pathOf(kind, namespace, name)}?fieldManager=plain&force=true`,
      method: 'PATCH',
      headers: { authorization, 'content-type': 'application/apply-patch+yaml' },
      body: JSON.stringify(object),
    })
    const text = await answer.body.text()
    if (answer.statusCode >= 300) throw new Error(`${kind.kind} ${name}: ${text}`)
    written += 1
  }
  const waiting = [...apps]
  const work = async (): Promise<void> => {
    for (let app = waiting.shift(); app !== undefined; app = waiting.shift())
      for (const group of ranked(app)) await Promise.all(group.map(write))
  }
  try {
    await Promise.all(Array.from({ length: WIDTH }, work))
    return written
  } finally {
    await agent.close()
  }
}
