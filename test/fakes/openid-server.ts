/** A real OpenID provider (`oidc-provider`), on loopback unless it is told where, whose people, keys and moods a test owns. */
import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { Provider, type AdapterPayload, type Configuration, type JWK } from 'oidc-provider'
import { freePorts } from '../e2e/private-platform.ts'
import { MapAdapter } from './map-adapter.ts'

export const CLIENT_ID = 'fairway'

/** Another address than loopback, by TLS. */
export interface OpenIdPlace {
  readonly host: string
  readonly cert: string
  readonly key: string
}

export class OpenIdServer {
  readonly clientSecret = randomBytes(24).toString('hex')
  /** Groups by login; who is not here does not exist. */
  readonly people = new Map<string, readonly string[]>()
  /** How often each endpoint was asked. */
  readonly asked = new Map<string, number>()
  /** Answers in place of the provider; null = the provider does. */
  mood: ((request: IncomingMessage, response: ServerResponse) => boolean) | null = null
  readonly port: number
  #server: Server | null = null
  #provider: Provider | null = null
  #key = newKey()
  readonly #stored = new Map<string, AdapterPayload>()
  readonly #redirectUri: string
  readonly #changes: Configuration

  readonly #place: OpenIdPlace | null

  private constructor(
    port: number,
    redirectUri: string,
    changes: Configuration,
    place: OpenIdPlace | null,
  ) {
    this.port = port
    this.#redirectUri = redirectUri
    this.#changes = changes
    this.#place = place
  }

  static async start(
    redirectUri: string,
    changes: Configuration = {},
    place: OpenIdPlace | null = null,
  ): Promise<OpenIdServer> {
    // Also free when it listens again.
    const [port = 0] = await freePorts(1)
    const server = new OpenIdServer(port, redirectUri, changes, place)
    await server.resume()
    return server
  }

  get issuer(): string {
    return this.#place === null
      ? `http://127.0.0.1:${this.port}`
      : `https://${this.#place.host}:${this.port}`
  }

  /** The private half of the key that it signs with. */
  get key(): KeyObject {
    return this.#key.privateKey
  }

  get kid(): string {
    return this.#key.jwk.kid ?? ''
  }

  /** New keys; the old ones are gone at once. */
  rotateKeys(): void {
    this.#key = newKey()
    this.#provider = this.#create()
  }

  /** Stops answering. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server === null) return
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }

  /** Listens again, on the same port, with everything it knew. */
  async resume(): Promise<void> {
    const answer = (request: IncomingMessage, response: ServerResponse): void => {
      const path = (request.url ?? '').split('?')[0] ?? ''
      this.asked.set(path, (this.asked.get(path) ?? 0) + 1)
      if (this.mood?.(request, response) === true) return
      void this.#provider?.callback()(request, response)
    }
    const place = this.#place
    const server = place === null ? createServer(answer) : createSecureServer(place, answer)
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.port, place?.host ?? '127.0.0.1', resolve)
    })
    this.#server = server
    this.#provider ??= this.#create()
  }

  #create(): Provider {
    return new Provider(this.issuer, {
      clients: [
        {
          client_id: CLIENT_ID,
          client_secret: this.clientSecret,
          redirect_uris: [this.#redirectUri],
          response_types: ['code'],
          grant_types: [
            'authorization_code',
            'refresh_token',
            'urn:ietf:params:oauth:grant-type:device_code',
          ],
        },
      ],
      adapter: (kind: string) => new MapAdapter(kind, this.#stored),
      jwks: { keys: [this.#key.jwk] },
      cookies: { keys: ['loopback only'] },
      scopes: ['openid', 'offline_access', 'profile', 'email'],
      claims: { openid: ['sub'], profile: ['preferred_username', 'groups'], email: ['email'] },
      conformIdTokenClaims: false,
      pkce: { required: () => true },
      issueRefreshToken: () => true,
      features: {
        devInteractions: { enabled: true },
        deviceFlow: { enabled: true },
        revocation: { enabled: true },
      },
      findAccount: (_, sub) => {
        const groups = this.people.get(sub)
        if (groups === undefined) return undefined
        return {
          accountId: sub,
          claims: () => ({ sub, preferred_username: sub, groups, email: `${sub}@example.org` }),
        }
      },
      ...this.#changes,
    })
  }
}

function newKey(): { readonly privateKey: KeyObject; readonly jwk: JWK } {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const kid = randomBytes(8).toString('hex')
  const jwk = { ...privateKey.export({ format: 'jwk' }), kid, alg: 'RS256', use: 'sig' } as JWK
  return { privateKey, jwk }
}
