import { Secret } from '../model/secrets.ts'
import type { KeptLease } from './held-secret.ts'
import { fieldsOf } from './vault-client.ts'

/** A lease with its values as one text, for a store that encrypts it. */
export function keptText({ values, lease }: KeptLease): Secret {
  const texts = [...values].map(([key, value]) => [key, value.revealText()] as const)
  return Secret.of(JSON.stringify({ values: Object.fromEntries(texts), lease }))
}

/** Null where the text is none. */
export function keptLease(text: Secret | null): KeptLease | null {
  const found = fieldsOf(parsed(text?.revealText() ?? ''))
  const [values, lease] = [fieldsOf(found?.['values']), fieldsOf(found?.['lease'])]
  if (values === null || lease === null) return null
  const { id, issuedAt, durationMs, renewable, grantMs, endsAt } = lease
  if (typeof id !== 'string' || typeof issuedAt !== 'number' || typeof durationMs !== 'number')
    return null
  if (typeof renewable !== 'boolean' || typeof grantMs !== 'number') return null
  if (endsAt !== null && typeof endsAt !== 'number') return null
  const secrets = Object.entries(values).flatMap(([key, value]) =>
    typeof value === 'string' ? [[key, Secret.of(value)] as const] : [],
  )
  return {
    values: new Map(secrets),
    lease: { id, issuedAt, durationMs, renewable, grantMs, endsAt },
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}
