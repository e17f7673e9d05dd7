/**
 * Keeps one lab: `node supervisor.ts ROOT NAME`. Started by `lab.ts`, it tells how far it is in `lab.json` and takes orders on `supervisor.sock`.
 * All processes of the lab are below it, and end with it.
 */
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { join } from 'node:path'
import { z } from 'zod'
import { minimalEnv, start } from '../../src/lib/process.ts'
import { identify, isAlive, type ProcessIdentity } from '../../src/lib/process-identity.ts'
import { Cluster } from './cluster.ts'
import type { Component } from './component.ts'
import { LabFolder, type LabRecord } from './lab-folder.ts'

const OWNER_LOOK_MS = 2000

const [root = '', name = ''] = process.argv.slice(2)
await supervise(new LabFolder(root, name))

async function supervise(folder: LabFolder): Promise<void> {
  const settings = await folder.settings()
  const supervisor = await identify(process.pid)
  if (settings === null || supervisor === null) throw new Error(`${folder.path} is no lab`)
  let record: LabRecord = {
    phase: 'starting',
    message: '',
    steps: [],
    supervisor,
    index: null,
    holder: null,
    server: '',
    kubeconfig: folder.at('kubeconfig'),
    kubectl: `${settings.kubernetes}/kubectl`,
    host: '',
    registry: settings.registry,
    nodes: [],
  }
  const tell = async (change: Partial<LabRecord>): Promise<void> => {
    record = { ...record, ...change }
    await folder.write(record)
  }
  const step = async (what: string, work: () => Promise<void> | void): Promise<void> => {
    const began = Date.now()
    await tell({ message: what })
    await work()
    await tell({ steps: [...record.steps, { name: what, ms: Date.now() - began }] })
  }
  await tell({})
  try {
    const cluster = await Cluster.open(folder, settings)
    closeOnSignal(cluster)
    if (settings.owner !== null) takeDownWithout(settings.owner)
    const { addresses, holder, server } = cluster
    holder.process.once('exit', () => process.exit(1))
    await tell({
      index: addresses.index,
      holder: holder.pid,
      server,
      host: addresses.host,
    })
    await takeOrders(cluster, folder.socket, () =>
      tell({ registry: cluster.registry.target, nodes: [...cluster.nodes] }),
    )
    await step('etcd, API server, controllers, scheduler', () => cluster.startControlPlane())
    await step('nodes: containerd, images, kubelet, kube-proxy', () => cluster.startNodes())
    await tell({ nodes: [...cluster.nodes] })
    await step('CoreDNS, metrics-server, StorageClass', () => cluster.installAddons())
    await step('NetworkPolicy, volumes', () => cluster.startControllers(complain))
    await step('everything ready', () => cluster.waitUntilReady())
    await tell({ phase: 'ready', message: '' })
  } catch (error) {
    await tell({ phase: 'failed', message: `${record.message}: ${String(error)}` })
    throw error
  }
}

/** What is tried again anyway; it stands in `supervisor.log`. */
function complain(error: unknown): void {
  process.stderr.write(`${new Date().toISOString()} ${String(error)}\n`)
}

function closeOnSignal(cluster: Cluster): void {
  const end = (): void => {
    void cluster.close().then(() => process.exit(0))
  }
  process.once('SIGTERM', end)
  process.once('SIGINT', end)
}

/** Whoever was to take the lab down may be killed first. It is done from outside then, as at any other time: we are among what ends. */
function takeDownWithout(owner: ProcessIdentity): void {
  const look = async (): Promise<void> => {
    if (await isAlive(owner)) return
    clearInterval(timer)
    const script = join(import.meta.dirname, 'take-down.ts')
    await start(process.execPath, [script, root, name], {
      env: minimalEnv(),
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    })
  }
  const timer = setInterval(() => void look().catch(complain), OWNER_LOOK_MS)
}

const registryOrder = z.object({ target: z.string().nullable() })
const componentOrder = z.object({
  name: z.string(),
  action: z.enum(['stop', 'start', 'restart', 'kill']),
})

async function takeOrders(
  cluster: Cluster,
  socket: string,
  changed: () => Promise<void>,
): Promise<void> {
  const obey = async (path: string, body: unknown): Promise<unknown> => {
    if (path === '/components') return [...cluster.components.values()].map(componentState)
    if (path === '/registry') cluster.registry.target = registryOrder.parse(body).target
    else if (path === '/component') {
      const { name: wanted, action } = componentOrder.parse(body)
      await cluster.command(wanted, action)
    } else throw new Error(`no order ${path}`)
    await changed()
    return {}
  }
  const server: Server = createServer((request, response) => {
    readJson(request)
      .then((body) => obey(request.url ?? '', body))
      .then(
        (answer) => response.end(JSON.stringify(answer)),
        (error: unknown) => response.writeHead(400).end(String(error)),
      )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socket, resolve)
  })
}

function componentState({ name: component, isRunning, restarts }: Component): object {
  return { name: component, isRunning, restarts }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk as Uint8Array))
  return chunks.length === 0 ? null : JSON.parse(Buffer.concat(chunks).toString())
}
