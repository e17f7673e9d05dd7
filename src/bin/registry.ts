/** The registry of a control plane in a cluster: an image store on a disk of its own, open to whoever knows the password. */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { FairwayError } from '../model/errors.ts'
import { ImageStore } from '../oci/image-store.ts'
import { createRegistry, type Authorization, type RegistryAction } from '../registry/registry.ts'
import { COLLECTION } from './cluster-registry.ts'
import { readConfig } from './config.ts'
import { createDataFolder, dataFolder } from './data-folder.ts'
import { endOnFailure } from './program-failure.ts'
import { programLog } from './program-log.ts'
import { untilTold } from './until-told.ts'

const config = readConfig()
const folder = dataFolder(config.dataDir)
const log = programLog('server', config.logLevel)
endOnFailure(log, config)
const { registryPassword } = config
if (registryPassword === null)
  throw new FairwayError('INVALID_REQUEST', 'FAIRWAY_REGISTRY_PASSWORD is not set')
const mayAll = hash('sha256', registryPassword, 'buffer')
const { registryPullPassword } = config
const mayPull =
  registryPullPassword === null ? null : hash('sha256', registryPullPassword, 'buffer')

await createDataFolder(folder)
const images = await ImageStore.open({ root: folder.images, log })
const registry = createRegistry({
  images,
  authorize: (request, action) => Promise.resolve(authorized(request, action)),
  randomId: () => randomBytes(18).toString('hex'),
  log,
})
// Uploads last as long as they last.
const server = createServer({ requestTimeout: 0 }, (request, response) => {
  if (request.url?.startsWith('/v2') === true) void registry.handle(request, response)
  else if (request.url?.startsWith(`${COLLECTION}?`) === true) void collect(request, response)
  else response.writeHead(404).end()
})
server.listen(config.api)
await once(server, 'listening')
log.info({ api: config.api, dataDir: config.dataDir }, 'registry answers')
await untilTold()
server.close()
server.closeIdleConnections()
await once(server, 'close')
await registry.close()

/** Ordered by the server that knows which releases there are: whoever it was, what has a tag stays. */
async function collect(request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume()
  const age = new URL(request.url ?? '', 'http://registry').searchParams.get('olderThanMs') ?? ''
  const refusal = refusalOf(request, age)
  if (refusal !== null) {
    response.writeHead(refusal, { allow: 'POST' }).end()
    return
  }
  try {
    const { bytes } = await images.collect(new Set(), Number(age))
    log.info({ bytes }, 'garbage collected')
    response.writeHead(200, { 'content-type': 'application/json' }).end(`{"bytes":${bytes}}`)
  } catch (error) {
    log.error({ error: String(error) }, 'garbage collection failed')
    response.writeHead(500).end()
  }
}

/** The status that says why it may not be collected; null where it may. */
function refusalOf(request: IncomingMessage, age: string): number | null {
  const allowed = authorized(request, 'delete')
  if (allowed !== 'ok') return allowed === 'denied' ? 403 : 401
  if (request.method !== 'POST') return 405
  return /^\d{1,12}$/.test(age) ? null : 400
}

/** Basic, any name: the password is what counts, and nodes have one that pushes nothing. Hashes of one length are compared, so time tells nothing. */
function authorized({ headers }: IncomingMessage, action: RegistryAction): Authorization {
  const [scheme = '', value = ''] = (headers.authorization ?? '').split(' ')
  if (scheme.toLowerCase() !== 'basic') return 'unauthenticated'
  const given = Buffer.from(value, 'base64')
    .toString()
    .replace(/^[^:]*:/, '')
  const found = hash('sha256', given, 'buffer')
  if (timingSafeEqual(found, mayAll)) return 'ok'
  if (mayPull === null || !timingSafeEqual(found, mayPull)) return 'unauthenticated'
  return action === 'pull' ? 'ok' : 'denied'
}
