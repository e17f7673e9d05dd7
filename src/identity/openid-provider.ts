import { createRemoteJWKSet, customFetch as joseFetch, jwtVerify, type JWTVerifyGetKey } from 'jose'
import * as oidc from 'openid-client'
import type { Log } from '../lib/log.ts'
import type { Clock } from '../model/clock.ts'
import {
  boundedFetch,
  FETCH_LIMITS,
  type BoundedFetch,
  type Fetch,
  type FetchLimits,
} from './bounded-fetch.ts'
import { emailIn, groupsIn, nameIn, type Claims } from './claims.ts'
import { asLoginProblem } from './openid-problem.ts'
import {
  LoginProblem,
  ProviderCredentials,
  type Checks,
  type DeviceCode,
  type Provider,
  type Vouched,
} from './provider.ts'

export interface OpenIdOptions {
  readonly issuer: string
  readonly clientId: string
  /** Read whenever the provider is looked up, so that a new secret needs no restart; null = a public client. */
  readonly clientSecret: (() => Promise<string>) | null
  readonly scopes: string
  readonly groupsClaim: string
  readonly nameClaim: string
  /** Exactly as registered at the provider. */
  readonly redirectUri: string
  readonly fetch: Fetch
  readonly clock: Clock
  readonly log: Log
  readonly limits?: FetchLimits
}

/** Nothing that a client secret could sign, and not `none`: RFC 8725, section 3.1. */
const SIGNATURES = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512']
const ALGORITHMS = [...SIGNATURES, 'EdDSA', 'Ed25519']
const TOLERANCE_S = 60
/** Endpoints may move, and client secrets change. */
const LOOKED_UP_MS = 3_600_000
const LOOK_AGAIN_MS = 5000
/** A key that is not known is looked for at once, though not more often than this. */
const KEYS_COOLDOWN_MS = 1000
const KEYS_KEPT_MS = 600_000

interface LookedUp {
  readonly config: oidc.Configuration
  readonly keys: JWTVerifyGetKey
  readonly at: number
}

/** Any provider of OpenID Connect Discovery 1.0. Nothing is asked before the first use. */
export class OpenIdProvider implements Provider {
  readonly issuer: string
  readonly #options: OpenIdOptions
  readonly #fetch: BoundedFetch
  #lookedUp: LookedUp | null = null
  #lookingUp: Promise<LookedUp> | null = null
  #failure: { readonly error: unknown; readonly at: number } | null = null

  constructor(options: OpenIdOptions) {
    this.issuer = options.issuer
    this.#options = options
    this.#fetch = boundedFetch(options.fetch, options.limits ?? FETCH_LIMITS)
  }

  /** Looks the provider up, so that a wrong configuration is told before somebody needs it. */
  async check(): Promise<void> {
    await this.#provider()
  }

  async authorizationUrl({ state, nonce, verifier }: Checks): Promise<string> {
    const { config } = await this.#provider()
    const url = oidc.buildAuthorizationUrl(config, {
      redirect_uri: this.#options.redirectUri,
      scope: this.#options.scopes,
      state,
      nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    })
    return url.href
  }

  async exchange(query: string, { state, nonce, verifier }: Checks): Promise<Vouched> {
    const provider = await this.#provider()
    const callback = new URL(this.#options.redirectUri)
    callback.search = query
    return await this.#asking(async () => {
      const tokens = await oidc.authorizationCodeGrant(provider.config, callback, {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      })
      return await this.#vouch(provider, tokens, null)
    })
  }

  async beginDevice(verifier: string): Promise<DeviceCode> {
    const { config } = await this.#provider()
    if (config.serverMetadata().device_authorization_endpoint === undefined) {
      throw new LoginProblem('refused', 'the identity provider offers no login by device code')
    }
    return await this.#asking(async () => {
      // RFC 8628 knows no PKCE, and who does not know it there ignores it (RFC 6749, section 3.1); Keycloak's clients may demand it.
      const answer = await oidc.initiateDeviceAuthorization(config, {
        scope: this.#options.scopes,
        code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      })
      return {
        deviceCode: answer.device_code,
        userCode: printed(answer.user_code),
        url: webUrl(answer.verification_uri),
        completeUrl:
          answer.verification_uri_complete === undefined
            ? null
            : webUrl(answer.verification_uri_complete),
        expiresInMs: Math.min(Math.max(answer.expires_in, 1), 3600) * 1000,
        intervalMs: Math.min(Math.max(answer.interval ?? 5, 1), 60) * 1000,
      }
    })
  }

  async pollDevice(
    deviceCode: string,
    verifier: string,
  ): Promise<Vouched | 'pending' | 'slow down'> {
    const provider = await this.#provider()
    try {
      const tokens = await oidc.genericGrantRequest(
        provider.config,
        'urn:ietf:params:oauth:grant-type:device_code',
        { device_code: deviceCode, code_verifier: verifier },
      )
      return await this.#vouch(provider, tokens, null)
    } catch (error) {
      if (error instanceof oidc.ResponseBodyError) {
        if (error.error === 'authorization_pending') return 'pending'
        if (error.error === 'slow_down') return 'slow down'
      }
      throw asLoginProblem(error)
    }
  }

  async confirm(credentials: ProviderCredentials, subject: string): Promise<Vouched> {
    const provider = await this.#provider()
    const { refresh, access } = credentials
    return await this.#asking(async () => {
      if (refresh === null) {
        const claims = await oidc.fetchUserInfo(provider.config, access ?? '', subject)
        return this.#person(claims, subject, ProviderCredentials.of({ refresh, access }))
      }
      const tokens = await oidc.refreshTokenGrant(provider.config, refresh)
      return await this.#vouch(provider, { refresh_token: refresh, ...tokens }, subject)
    })
  }

  async revoke(credentials: ProviderCredentials): Promise<void> {
    const { config } = await this.#provider()
    const token = credentials.refresh ?? credentials.access
    if (token === null || config.serverMetadata().revocation_endpoint === undefined) return
    await this.#asking(() => oidc.tokenRevocation(config, token))
  }

  /** @param subject whom the answer must be about; null = whoever logged in */
  async #vouch(
    { config, keys }: LookedUp,
    tokens: {
      readonly id_token?: string | undefined
      readonly access_token: string
      readonly refresh_token?: string | undefined
    },
    subject: string | null,
  ): Promise<Vouched> {
    const { id_token: idToken, access_token: access, refresh_token: refresh = null } = tokens
    const credentials = ProviderCredentials.of({
      refresh,
      access: refresh === null ? access : null,
    })
    const claims = idToken === undefined ? null : await this.#verified(config, keys, idToken)
    const found = claims?.['sub'] ?? subject
    if (typeof found !== 'string' || found === '' || found.length > 255) {
      throw new LoginProblem(
        'wrong',
        'the provider sent no ID token: is the scope openid asked for?',
      )
    }
    if (subject !== null && found !== subject) {
      throw new LoginProblem('refused', 'the provider answered for somebody else')
    }
    if (claims !== null && groupsIn(claims, this.#options.groupsClaim) !== null) {
      return this.#person(claims, found, credentials)
    }
    if (config.serverMetadata().userinfo_endpoint === undefined) {
      return this.#person(claims ?? {}, found, credentials)
    }
    const more = await oidc.fetchUserInfo(config, access, found)
    return this.#person({ ...claims, ...more }, found, credentials)
  }

  /** Checked by signature too, though it came from the provider itself: a key that was taken out of its set counts no more. */
  async #verified(
    config: oidc.Configuration,
    keys: JWTVerifyGetKey,
    idToken: string,
  ): Promise<Claims> {
    const { payload } = await jwtVerify(idToken, keys, {
      issuer: config.serverMetadata().issuer,
      audience: this.#options.clientId,
      algorithms: ALGORITHMS,
      requiredClaims: ['sub', 'exp', 'iat'],
      clockTolerance: TOLERANCE_S,
      currentDate: new Date(this.#options.clock.now()),
    })
    return payload
  }

  #person(claims: Claims, subject: string, credentials: ProviderCredentials): Vouched {
    const { nameClaim, groupsClaim } = this.#options
    return {
      issuer: this.issuer,
      subject,
      name: nameIn(claims, nameClaim, subject),
      email: emailIn(claims),
      groups: groupsIn(claims, groupsClaim),
      credentials,
    }
  }

  async #provider(): Promise<LookedUp> {
    const now = this.#options.clock.elapsed()
    const known = this.#lookedUp
    if (known !== null) {
      // What is known goes on while it is looked up again.
      if (now - known.at >= LOOKED_UP_MS) void this.#lookUp().catch(() => undefined)
      return known
    }
    if (this.#failure !== null && now - this.#failure.at < LOOK_AGAIN_MS) throw this.#failure.error
    return await this.#lookUp()
  }

  #lookUp(): Promise<LookedUp> {
    this.#lookingUp ??= this.#discover().finally(() => (this.#lookingUp = null))
    return this.#lookingUp
  }

  async #discover(): Promise<LookedUp> {
    const { clock, log } = this.#options
    try {
      const lookedUp = await this.#asking(() => this.#configuration())
      this.#lookedUp = lookedUp
      this.#failure = null
      return lookedUp
    } catch (error) {
      log.warn({ issuer: this.issuer, err: error }, 'identity provider cannot be looked up')
      this.#failure = { error, at: clock.elapsed() }
      // Asked again in a while, not at every request.
      if (this.#lookedUp !== null) this.#lookedUp = { ...this.#lookedUp, at: clock.elapsed() }
      throw error
    }
  }

  async #configuration(): Promise<LookedUp> {
    const { clientId, clientSecret, clock, issuer } = this.#options
    const secret = clientSecret === null ? null : await clientSecret()
    const insecure = new URL(issuer).protocol === 'http:'
    const found = await oidc.discovery(new URL(issuer), clientId, undefined, oidc.None(), {
      [oidc.customFetch]: this.#fetch,
      // eslint-disable-next-line @typescript-eslint/no-deprecated -- marked so to stand out; the configuration takes http on loopback only
      ...(insecure ? { execute: [oidc.allowInsecureRequests] } : {}),
    })
    const metadata = found.serverMetadata()
    const config = new oidc.Configuration(
      metadata,
      clientId,
      { [oidc.clockTolerance]: TOLERANCE_S },
      clientAuth(secret, metadata.token_endpoint_auth_methods_supported),
    )
    config[oidc.customFetch] = this.#fetch
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- marked so to stand out; the configuration takes http on loopback only
    if (insecure) oidc.allowInsecureRequests(config)
    if (metadata.jwks_uri === undefined) {
      throw new LoginProblem('wrong', `${issuer} names no keys (jwks_uri)`)
    }
    const keys = createRemoteJWKSet(new URL(metadata.jwks_uri), {
      [joseFetch]: this.#fetch,
      cooldownDuration: KEYS_COOLDOWN_MS,
      cacheMaxAge: KEYS_KEPT_MS,
    })
    return { config, keys, at: clock.elapsed() }
  }

  async #asking<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw asLoginProblem(error)
    }
  }
}

function clientAuth(
  secret: string | null,
  methods: readonly string[] = ['client_secret_basic'],
): oidc.ClientAuth {
  if (secret === null) return oidc.None()
  if (methods.includes('client_secret_basic')) return oidc.ClientSecretBasic(secret)
  return oidc.ClientSecretPost(secret)
}

/** What a terminal prints as it stands. */
function printed(text: string): string {
  if (/^[\x21-\x7e ]{1,100}$/.test(text)) return text
  throw new LoginProblem('wrong', 'the provider sent a device code that cannot be shown')
}

function webUrl(text: string): string {
  const url = URL.parse(text)
  if (url !== null && /^https?:$/.test(url.protocol) && url.href.length <= 2000) return url.href
  throw new LoginProblem('wrong', 'the provider sent a verification URL that is none')
}
