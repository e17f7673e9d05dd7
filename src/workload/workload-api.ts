/** The SPIFFE Workload API for one caller: who that is follows from the socket on which the call came in, from nothing in the call. */
import { chmod, open, rename, rm, type FileHandle } from 'node:fs/promises'
import type { Http2Server, ServerHttp2Session } from 'node:http2'
import { basename, dirname } from 'node:path'
import type { Log } from '../lib/log.ts'
import type { Authority, TrustBundle } from './authority.ts'
import type { X509Svid } from './certificate.ts'
import { createGrpcServer, GRPC, GrpcError, type GrpcCall, type GrpcMethod } from './grpc.ts'
import { derOf } from './pem.ts'
import { decodeMessage, encodeMessage, encodeStruct, mapEntry, type Field } from './protobuf.ts'
import { spiffeIdText } from './spiffe-id.ts'

/** What the API has to give to its one caller. */
export interface Caller {
  /** The newest one; the same that lies in the caller's files. */
  svid(): X509Svid
  /** Told after every new SVID or bundle. Returns how to stop being told. */
  onChange(listener: () => void): () => void
}

/** Of the authority what an API asks it for; in a pod it is far away. */
export interface WorkloadAuthority extends Pick<
  Authority,
  'trustDomain' | 'jwtBundle' | 'jwtSvid' | 'validateJwtSvid'
> {
  bundle(): Promise<Pick<TrustBundle, 'trustDomain' | 'roots'>>
}

export interface WorkloadApiOptions {
  readonly authority: WorkloadAuthority
  readonly caller: Caller
  readonly log: Pick<Log, 'error' | 'warn'>
}

const SERVICE = '/SpiffeWorkloadAPI/'
/** A web page or an app that can be made to send requests cannot set it: SPIFFE Workload Endpoint section 5. */
const METADATA = 'workload.spiffe.io'
const MAX_CONNECTIONS = 64
const MAX_AUDIENCES = 16
const MAX_TEXT = 2048

/** Serves the API at a socket until closed. */
export class WorkloadApi {
  readonly #options: WorkloadApiOptions
  readonly #server: Http2Server
  readonly #sessions = new Set<ServerHttp2Session>()
  #folder: FileHandle | null = null

  constructor(options: WorkloadApiOptions) {
    this.#options = options
    this.#server = createGrpcServer({
      methods: this.#methods(),
      onError: (error) => options.log.error({ error: String(error) }, 'Workload API call failed'),
    })
    this.#server.on('session', (session) => {
      if (this.#sessions.size >= MAX_CONNECTIONS) {
        session.destroy()
        return
      }
      this.#sessions.add(session)
      session.on('error', () => undefined)
      session.once('close', () => this.#sessions.delete(session))
    })
  }

  /** Takes the place of a socket that an earlier server left. `prepare` gives the socket to whom it belongs, before anybody can find it. */
  async listen(path: string, prepare: (path: string) => Promise<void> = openToAll): Promise<void> {
    const beside = `${path}.new`
    await rm(beside, { force: true })
    const address = await this.#addressOf(beside)
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(address, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    // A connection that fails is its own end, not the server's.
    this.#server.on('error', (error) =>
      this.#options.log.warn({ error: String(error) }, 'Workload API socket'),
    )
    await prepare(beside)
    await rename(beside, path)
  }

  /** The socket's file stays: it may be the next server's by now. */
  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const session of this.#sessions) session.destroy()
    await closed
    await this.#folder?.close()
  }

  /** sockaddr_un takes 107 bytes; a longer path is named by way of its open folder, which stays open as long as the server. */
  async #addressOf(path: string): Promise<string> {
    if (process.platform !== 'linux' || Buffer.byteLength(path) <= 107) return path
    this.#folder = await open(dirname(path))
    return `/proc/self/fd/${String(this.#folder.fd)}/${basename(path)}`
  }

  #methods(): ReadonlyMap<string, GrpcMethod> {
    const stream = (answer: () => Promise<Buffer>): GrpcMethod =>
      checked((call) => this.#keepSending(call, answer))
    const methods: readonly (readonly [string, GrpcMethod])[] = [
      ['FetchX509SVID', stream(() => this.#x509Svid())],
      ['FetchX509Bundles', stream(() => this.#x509Bundles())],
      ['FetchJWTBundles', stream(() => this.#jwtBundles())],
      ['FetchJWTSVID', checked((call) => this.#jwtSvid(call))],
      ['ValidateJWTSVID', checked((call) => this.#validateJwtSvid(call))],
    ]
    return new Map(methods.map(([name, method]) => [SERVICE + name, method]))
  }

  /** All there is now, and all there is again after every change: SPIFFE Workload API section 5. */
  async #keepSending(call: GrpcCall, answer: () => Promise<Buffer>): Promise<void> {
    const { caller } = this.#options
    let changed = Promise.withResolvers<undefined>()
    const end = (): void => changed.resolve(undefined)
    call.signal.addEventListener('abort', end)
    const stop = caller.onChange(end)
    try {
      let sent: Uint8Array = new Uint8Array()
      while (!call.signal.aborted) {
        const message = await answer()
        if (!message.equals(sent)) call.send(message)
        sent = message
        await changed.promise
        changed = Promise.withResolvers<undefined>()
      }
    } finally {
      stop()
    }
  }

  async #x509Svid(): Promise<Buffer> {
    const { authority, caller } = this.#options
    const { id, certificate, key } = caller.svid()
    const { roots } = await authority.bundle()
    const svid = encodeMessage([
      [1, spiffeIdText(id)],
      [2, certificate],
      [3, key],
      [4, derOf(roots)],
    ])
    return encodeMessage([[1, svid]])
  }

  async #x509Bundles(): Promise<Buffer> {
    const { trustDomain, roots } = await this.#options.authority.bundle()
    const name = spiffeIdText({ trustDomain, path: '' })
    return encodeMessage([[2, mapEntry(name, derOf(roots))]])
  }

  async #jwtBundles(): Promise<Buffer> {
    const { authority } = this.#options
    const name = spiffeIdText({ trustDomain: authority.trustDomain, path: '' })
    return encodeMessage([[1, mapEntry(name, await authority.jwtBundle())]])
  }

  async #jwtSvid(call: GrpcCall): Promise<void> {
    const { authority, caller } = this.#options
    const { 1: audience = [], 2: wanted = [] } = texts(call.message)
    if (audience.length === 0 || audience.length > MAX_AUDIENCES || audience.includes(''))
      throw new GrpcError(GRPC.INVALID_ARGUMENT, 'an audience is needed')
    const { id } = caller.svid()
    const name = spiffeIdText(id)
    const asked = wanted.at(-1) ?? ''
    if (asked !== '' && asked !== name)
      throw new GrpcError(GRPC.PERMISSION_DENIED, 'that identity is not the caller’s')
    const token = await authority.jwtSvid(id, audience)
    const svid: readonly Field[] = [
      [1, name],
      [2, token],
    ]
    call.send(encodeMessage([[1, encodeMessage(svid)]]))
  }

  async #validateJwtSvid(call: GrpcCall): Promise<void> {
    const { 1: audience = [], 2: token = [] } = texts(call.message, 32_768)
    const [wanted, svid] = [audience.at(-1) ?? '', token.at(-1) ?? '']
    if (wanted === '' || svid === '')
      throw new GrpcError(GRPC.INVALID_ARGUMENT, 'audience and svid are needed')
    const verdict = await this.#options.authority.validateJwtSvid(svid, wanted)
    if (verdict === null) throw new GrpcError(GRPC.INVALID_ARGUMENT, 'not a valid JWT-SVID')
    call.send(
      encodeMessage([
        [1, spiffeIdText(verdict.id)],
        [2, encodeStruct(verdict.claims)],
      ]),
    )
  }
}

/** Whoever reaches the folder may use the socket in it; the folder is for one instance. */
async function openToAll(path: string): Promise<void> {
  await chmod(path, 0o666)
}

function checked(method: GrpcMethod): GrpcMethod {
  return async (call) => {
    if (call.metadata(METADATA) !== 'true')
      throw new GrpcError(GRPC.INVALID_ARGUMENT, `the metadata ${METADATA}: true is missing`)
    await method(call)
  }
}

/** String fields 1 and 2 of a request. @throws GrpcError */
function texts(message: Buffer, longest = MAX_TEXT): { 1?: string[]; 2?: string[] } {
  const fields = decodeMessage(message)
  if (fields === null) throw new GrpcError(GRPC.INVALID_ARGUMENT, 'not a message')
  const read = (number: 1 | 2): string[] => {
    const found = fields.get(number) ?? []
    if (found.some(({ length }) => length > longest))
      throw new GrpcError(GRPC.INVALID_ARGUMENT, 'a field is too long')
    return found.map((bytes) => bytes.toString('utf8'))
  }
  return { 1: read(1), 2: read(2) }
}
