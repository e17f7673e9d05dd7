/** What login and sessions need of an identity provider. `openid-provider.ts` is the implementation. */
import { FairwayError } from '../model/errors.ts'

/** What the provider gave to ask again with. Nothing prints it: `reveal` is the only way out. */
export class ProviderCredentials {
  readonly #text: string

  private constructor(text: string) {
    this.#text = text
  }

  /** @param tokens null where the provider gave none */
  static of(tokens: { readonly refresh: string | null; readonly access: string | null }) {
    return new ProviderCredentials(JSON.stringify([tokens.refresh, tokens.access]))
  }

  /** @throws SyntaxError for text that `reveal` did not give */
  static parse(text: string): ProviderCredentials {
    const value: unknown = JSON.parse(text)
    if (!Array.isArray(value) || value.length !== 2) throw new SyntaxError('not credentials')
    return new ProviderCredentials(text)
  }

  get refresh(): string | null {
    return this.#at(0)
  }

  get access(): string | null {
    return this.#at(1)
  }

  reveal(): string {
    return this.#text
  }

  toJSON(): string {
    return '[secret]'
  }

  #at(index: number): string | null {
    const value: unknown = JSON.parse(this.#text)
    const found: unknown = Array.isArray(value) ? value[index] : null
    return typeof found === 'string' ? found : null
  }
}

/** Somebody whom the provider vouches for. */
export interface Vouched {
  readonly issuer: string
  /** `sub`. */
  readonly subject: string
  readonly name: string
  /** Null where there is none, or the provider says that it was not verified. */
  readonly email: string | null
  /** Null where the answer says nothing of groups: they are as they were. */
  readonly groups: readonly string[] | null
  readonly credentials: ProviderCredentials
}

/** RFC 8628, section 3.2. */
export interface DeviceCode {
  readonly deviceCode: string
  readonly userCode: string
  readonly url: string
  readonly completeUrl: string | null
  readonly expiresInMs: number
  readonly intervalMs: number
}

/** What binds an answer to the question: RFC 6749 section 10.12, OpenID Connect Core 3.1.2.1, RFC 7636. */
export interface Checks {
  readonly state: string
  readonly nonce: string
  readonly verifier: string
}

/** Every method throws LoginProblem. */
export interface Provider {
  readonly issuer: string
  /** Where the browser is to be sent. */
  authorizationUrl(checks: Checks): Promise<string>
  /** @param query of the callback */
  exchange(query: string, checks: Checks): Promise<Vouched>
  /** @param verifier 43 to 128 letters; its challenge goes along, for providers that ask clients for PKCE with every grant */
  beginDevice(verifier: string): Promise<DeviceCode>
  /** One question, with the verifier that the code was asked for with. */
  pollDevice(deviceCode: string, verifier: string): Promise<Vouched | 'pending' | 'slow down'>
  /** Does it still vouch for them? Refuses where the answer is about somebody else. */
  confirm(credentials: ProviderCredentials, subject: string): Promise<Vouched>
  /** Tells the provider that the credentials are not used any more, where it takes such words (RFC 7009). */
  revoke(credentials: ProviderCredentials): Promise<void>
}

/**
 * `refused`: the provider says no. `down`: it does not answer, or not as a provider does just now. `wrong`: its answer cannot be trusted.
 */
export type ProblemKind = 'refused' | 'down' | 'wrong'

/** Why the provider does not vouch for somebody. The message is for people and holds nothing secret. */
export class LoginProblem extends Error {
  override readonly name = 'LoginProblem'
  readonly kind: ProblemKind

  constructor(kind: ProblemKind, message: string, cause?: unknown) {
    super(message, { cause })
    this.kind = kind
  }
}

/** As the API tells it. */
export function loginError(problem: unknown): unknown {
  if (!(problem instanceof LoginProblem)) return problem
  const code = problem.kind === 'down' ? 'LOGIN_UNAVAILABLE' : 'LOGIN_REFUSED'
  return new FairwayError(code, problem.message, { cause: problem })
}
