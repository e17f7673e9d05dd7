import type { ResponseOf } from '../contract/endpoints.ts'
import { printable } from './text-width.ts'

type Me = Pick<ResponseOf<'whoami'>, 'kind' | 'name' | 'groups'>

/** Of many groups the first ones: whoever has a hundred knows which one is meant. */
const MAX_GROUPS = 5

/** What somebody without any role is told: what the provider said of them, and the commands by which an admin lets them in. */
export function noRoleLines({ kind, name, groups }: Me): readonly string[] {
  if (kind === 'token') return ['nothing: ask an admin for a role']
  const shown = groups.slice(0, MAX_GROUPS)
  const more = groups.length > shown.length ? ', …' : ''
  const told =
    groups.length === 0
      ? 'the identity provider told no groups'
      : `the identity provider told these groups: ${printable(shown.join(', '), false)}${more}`
  return [
    `nothing yet: no role is granted to ${printable(name, false)}, and ${told}`,
    'An admin lets you in with one of these; --team, --app and --env limit it:',
    ...[...shown.map((group) => ['group', group]), ['user', name]].map(
      ([option = '', who = '']) =>
        `  fairway access grant --${option} ${shellWord(who)} --role developer`,
    ),
  ]
}

/** One word of a POSIX shell, to be copied. */
function shellWord(text: string): string {
  const safe = printable(text, false)
  return /^[\w@%+=:,./][\w@%+=:,./-]*$/.test(safe) ? safe : `'${safe.replaceAll("'", "'\\''")}'`
}
