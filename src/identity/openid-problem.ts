import { errors } from 'jose'
import * as oidc from 'openid-client'
import { LoginProblem } from './provider.ts'

/** Answers of the token endpoint that are about the person and not about us: RFC 6749 section 5.2, RFC 8628 section 3.5. */
const ABOUT_THE_PERSON: ReadonlySet<string> = new Set([
  'invalid_grant',
  'access_denied',
  'expired_token',
  'interaction_required',
  'login_required',
  'consent_required',
  'invalid_token',
])

/** What openid-client, jose and fetch throw, as one of our kinds. Texts of the provider are cut and cleaned. */
export function asLoginProblem(error: unknown): LoginProblem {
  for (let each = error; each instanceof Error; each = each.cause) {
    if (each instanceof LoginProblem) return each
  }
  if (error instanceof oidc.ResponseBodyError || error instanceof oidc.AuthorizationResponseError) {
    const { error: code, error_description: description } = error
    if (ABOUT_THE_PERSON.has(code)) {
      return new LoginProblem('refused', `the provider refused: ${said(code, description)}`, error)
    }
    return new LoginProblem('wrong', `the provider answered ${said(code, description)}`, error)
  }
  if (error instanceof oidc.WWWAuthenticateChallengeError) {
    return new LoginProblem('refused', `the provider refused (${error.status})`, error)
  }
  if (error instanceof errors.JOSEError) {
    return new LoginProblem('wrong', `the ID token is not valid: ${clean(error.message)}`, error)
  }
  if (error instanceof oidc.ClientError) {
    const text = clean(`${error.message}${error.code === undefined ? '' : ` (${error.code})`}`)
    return new LoginProblem('wrong', `the provider's answer is not valid: ${text}`, error)
  }
  const why = error instanceof Error ? clean(error.message) : ''
  return new LoginProblem('wrong', `the login failed: ${why}`, error)
}

function said(code: string, description: string | undefined): string {
  return clean(description === undefined ? code : `${code}, ${description}`)
}

function clean(text: string): string {
  return text.replace(/\p{C}+/gu, ' ').slice(0, 200)
}
