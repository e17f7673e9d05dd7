import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { LocalAuthority } from '../src/router/local-authority.ts'
import { azureService, type KeyService } from './fakes/key-services.ts'

const CLIENT = { id: 'fairway', secret: 'secret-of-the-client' }
const LOGIN = 'https://login.microsoftonline.com'

/**
 * Azure's login and one of its vaults for programs that insist on Azure's own hosts: a proxy on loopback that answers in their place, by certificates of an authority of its own. Beside what
 * `azureService` does it answers what Microsoft's library asks before a login.
 */
export class AzureCloud {
  /** For programs; `HTTPS_PROXY` is not used for loopback. */
  readonly env: Readonly<Record<string, string>>
  /** For ours: asks the service where the address names one of Azure's hosts. */
  readonly fetch = (url: string, init: RequestInit): Promise<Response> =>
    fetch(
      url.replace(
        /^https:\/\/(?:team\.vault\.azure\.net|login\.microsoftonline\.com)/,
        this.#service.url,
      ),
      init,
    )
  readonly #service: KeyService
  readonly #proxy: Server

  private constructor(service: KeyService, proxy: Server, authority: string) {
    this.#service = service
    this.#proxy = proxy
    const { port } = proxy.address() as AddressInfo
    this.env = {
      AZURE_TENANT_ID: 'common',
      AZURE_CLIENT_ID: CLIENT.id,
      AZURE_CLIENT_SECRET: CLIENT.secret,
      HTTPS_PROXY: `http://127.0.0.1:${String(port)}`,
      SSL_CERT_FILE: authority,
    }
  }

  /** @param folder for the authority */
  static async open(folder: string): Promise<AzureCloud> {
    const service = azureService(CLIENT)
    await service.start()
    const authority = await LocalAuthority.open(folder, Date.now)
    const tls = createTlsServer(
      {
        SNICallback: (host, done) => {
          authority.context(host).then(
            (context) => done(null, context),
            (error: unknown) => done(error as Error),
          )
        },
      },
      (request, response) => {
        void answer(service.url, request, response)
      },
    )
    const proxy = createServer()
    proxy.on('connect', (_request, socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      tls.emit('connection', socket)
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    return new AzureCloud(service, proxy, join(folder, 'ca.pem'))
  }

  async close(): Promise<void> {
    this.#proxy.closeAllConnections()
    await new Promise((resolve) => this.#proxy.close(resolve))
    await this.#service.close()
  }
}

/** What the library asks first; the rest goes to the service. */
async function answer(
  service: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = request.url ?? ''
  const said = (status: number, body: object, headers: Readonly<Record<string, string>> = {}) =>
    response
      .writeHead(status, { 'content-type': 'application/json', ...headers })
      .end(JSON.stringify(body))
  if (path.startsWith('/common/discovery/instance')) {
    const aliases = ['login.microsoftonline.com']
    const known = { preferred_network: aliases[0], preferred_cache: aliases[0], aliases }
    said(200, {
      tenant_discovery_endpoint: `${LOGIN}/common/v2.0/.well-known/openid-configuration`,
      metadata: [known],
    })
  } else if (path.includes('/.well-known/openid-configuration')) {
    const [, tenant = ''] = path.split('/')
    const at = `${LOGIN}/${tenant}`
    const endpoints = {
      token_endpoint: `${at}/oauth2/v2.0/token`,
      authorization_endpoint: `${at}/oauth2/v2.0/authorize`,
    }
    said(200, { ...endpoints, issuer: `${at}/v2.0` })
  } else if (path.startsWith('/keys/') && request.headers.authorization === undefined) {
    // How a vault says whom it believes: the library asks once without a token.
    const challenge = `Bearer authorization="${LOGIN}/common", resource="https://vault.azure.net"`
    said(401, {}, { 'www-authenticate': challenge })
  } else {
    const asked = await forwarded(service, request)
    response.writeHead(asked.status, { 'content-type': 'application/json' }).end(await asked.text())
  }
}

async function forwarded(service: string, request: IncomingMessage): Promise<Response> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const { authorization = '', 'content-type': type = 'application/json' } = request.headers
  const path = (request.url ?? '').replace(/api-version=[\w.-]+/, 'api-version=7.4')
  return fetch(`${service}${path.replace(/\/\?/, '?')}`, {
    method: request.method ?? 'GET',
    headers: { authorization, 'content-type': type },
    ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }),
  })
}
