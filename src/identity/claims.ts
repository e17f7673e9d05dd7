/** What an ID token or the userinfo endpoint says, as people and groups. */

export type Claims = Readonly<Record<string, unknown>>

const MAX_GROUPS = 1000
const MAX_GROUP_LENGTH = 256
/** Names are printed in terminals and compared letter by letter: nothing invisible, nothing that looks empty. */
const NAME = /^[\p{L}\p{N}][\p{L}\p{M}\p{N} ._@+:'-]{0,99}$/u

/**
 * The groups under a claim: a list of texts, or one text. `path` is the claim's whole name, or leads into objects by dots
 * (`realm_access.roles`). Keycloak writes a group as its path: `/team-a` is `team-a` here, `/org/team-a` is `org/team-a`.
 * @returns null where the claim is not there
 */
export function groupsIn(claims: Claims, path: string): readonly string[] | null {
  const value = claimAt(claims, path)
  if (value === undefined || value === null) return null
  const all: readonly unknown[] = Array.isArray(value) ? value : [value]
  const names = all
    .filter((each): each is string => typeof each === 'string')
    .map(groupName)
    .filter((each) => each !== '' && each.length <= MAX_GROUP_LENGTH && !/\p{C}/u.test(each))
  return [...new Set(names)].sort().slice(0, MAX_GROUPS)
}

/** A group as it is called here, of how the provider or a person writes it: without the slash that Keycloak's paths begin with. */
export function groupName(text: string): string {
  return text.startsWith('/') ? text.slice(1) : text
}

/** The claim `wanted` where it can be a name, else `sub`: an address counts only where the provider does not say that it is unverified. */
export function nameIn(claims: Claims, wanted: string, subject: string): string {
  const value = wanted === 'email' ? emailIn(claims) : claimAt(claims, wanted)
  if (typeof value !== 'string') return subject
  const name = value.normalize('NFC').trim()
  return NAME.test(name) ? name : subject
}

export function emailIn(claims: Claims): string | null {
  const { email, email_verified: verified } = claims
  if (typeof email !== 'string' || verified === false || verified === 'false') return null
  return email.length <= 254 && !/[\p{C}\s]/u.test(email) ? email : null
}

function claimAt(claims: Claims, path: string): unknown {
  // Some providers name claims by URL, which has dots too.
  if (Object.hasOwn(claims, path)) return claims[path]
  let value: unknown = claims
  for (const key of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = Reflect.get(value, key)
  }
  return value
}
