import { KeyedMutex } from '../lib/mutex.ts'
import type {
  AccessRules,
  AccessStore,
  Binding,
  NewBinding,
  Protection,
  Team,
} from '../model/access.ts'
import type { Clock } from '../model/clock.ts'
import { FairwayError } from '../model/errors.ts'
import type { Grant, Subject } from '../model/identity.ts'
import type { Store } from '../model/store.ts'
import { isFullAdmin, mayGive, sameGrant } from './authority.ts'
import { groupName } from './claims.ts'
import { reaches } from './decide.ts'
import type { ReadRules, RulesCache } from './rules-cache.ts'

export interface AccessRulesOptions {
  readonly store: Pick<Store, 'access' | 'listTokens'>
  /** Of the identity that decides: it hears of every change at once. */
  readonly rules: RulesCache
  readonly clock: Clock
  readonly randomId: () => string
}

const MAX_TEAMS = 1000
const MAX_TEAM_APPS = 1000
const MAX_BINDINGS = 10_000
const MAX_PROTECTIONS = 100

/** Teams, bindings and protected environments over the store. */
export function createAccessRules(options: AccessRulesOptions): AccessRules {
  return new StoredAccessRules(options)
}

class StoredAccessRules implements AccessRules {
  readonly #options: AccessRulesOptions
  /** What looks before it writes does so alone. */
  readonly #mutex = new KeyedMutex()

  constructor(options: AccessRulesOptions) {
    this.#options = options
  }

  async listTeams(by: Subject): Promise<readonly Team[]> {
    const rules = await this.#options.rules.current()
    const teams = await this.#access.listTeams()
    return teams.flatMap((team) => {
      const apps = team.apps.filter((app) => by.grants.some((grant) => sees(rules, grant, app)))
      const named = by.grants.some((grant) => grant.team === team.name || isFullPlace(grant))
      return named || apps.length > 0 ? [{ ...team, apps }] : []
    })
  }

  async changeTeam(
    name: string,
    { add, remove }: { readonly add: readonly string[]; readonly remove: readonly string[] },
  ): Promise<Team> {
    return await this.#changing(async () => {
      const teams = await this.#access.listTeams()
      const old = teams.find((team) => team.name === name)
      if (old === undefined) limit(teams.length, MAX_TEAMS, 'teams')
      const apps = [...new Set([...(old?.apps ?? []), ...add])].filter(
        (app) => !remove.includes(app),
      )
      limit(apps.length - 1, MAX_TEAM_APPS, 'apps in the team')
      const team = {
        name,
        apps: apps.sort(),
        createdAt: old?.createdAt ?? this.#options.clock.now(),
      }
      await this.#access.putTeam(team)
      return team
    })
  }

  async deleteTeam(name: string): Promise<boolean> {
    return await this.#changing(async () => {
      const tokens = await this.#options.store.listTokens()
      const bindings = await this.#access.listBindings()
      const names = (grant: Grant): boolean => grant.team === name
      const users = [
        ...tokens.filter(({ grants }) => grants.some(names)).map((token) => `token ${token.name}`),
        ...bindings
          .filter(({ grant }) => names(grant))
          .map((bound) => `${bound.kind} ${bound.name}`),
      ]
      // Another team of the same name would give them its apps.
      if (users.length > 0) {
        throw new FairwayError(
          'CONFLICT',
          `the team is named in grants of ${users.slice(0, 5).join(', ')}`,
          {
            hint: 'Revoke them first.',
          },
        )
      }
      return await this.#access.deleteTeam(name)
    })
  }

  async listBindings(by: Subject): Promise<readonly Binding[]> {
    const rules = await this.#options.rules.current()
    const bindings = await this.#access.listBindings()
    return bindings.filter(({ grant }) => mayGive(rules, by, grant, 'access:write'))
  }

  async addBinding(by: Subject, wanted: NewBinding): Promise<Binding> {
    const { kind, grant } = wanted
    const name = kind === 'group' ? groupName(wanted.name) : wanted.name
    if (name === '') throw new FairwayError('INVALID_REQUEST', 'a group needs a name')
    return await this.#changing(async () => {
      const rules = await this.#options.rules.reload()
      if (!mayGive(rules, by, grant, 'access:write')) {
        throw new FairwayError('FORBIDDEN', 'nobody can grant more than they have themselves', {
          hint: '`fairway whoami` shows what you have.',
        })
      }
      const bindings = await this.#access.listBindings()
      limit(bindings.length, MAX_BINDINGS, 'grants')
      const same = (one: Binding): boolean =>
        one.kind === kind && one.name === name && sameGrant(one.grant, grant)
      if (bindings.some(same)) throw new FairwayError('CONFLICT', 'this is granted already')
      const { clock, randomId } = this.#options
      const made = { kind, name, grant, createdAt: clock.now(), createdBy: by.name }
      const binding: Binding = { id: `b${randomId()}`, ...made }
      await this.#access.addBinding(binding)
      return binding
    })
  }

  async removeBinding(by: Subject, id: string): Promise<boolean> {
    return await this.#changing(async () => {
      const rules = await this.#options.rules.reload()
      const bindings = await this.#access.listBindings()
      const found = bindings.find((one) => one.id === id)
      if (found === undefined || !mayGive(rules, by, found.grant, 'access:write')) return false
      if (isFullAdmin(found.grant)) await this.#requireOtherAdmin(bindings, id)
      return await this.#access.deleteBinding(id)
    })
  }

  async listProtections(): Promise<readonly Protection[]> {
    return await this.#access.listProtections()
  }

  async protect(by: Subject, environment: string, waitMs: number): Promise<Protection> {
    return await this.#changing(async () => {
      limit(
        (await this.#access.listProtections()).length,
        MAX_PROTECTIONS,
        'protected environments',
      )
      const createdAt = this.#options.clock.now()
      const protection = { environment, waitMs, createdAt, createdBy: by.name }
      await this.#access.putProtection(protection)
      return protection
    })
  }

  async unprotect(environment: string): Promise<boolean> {
    return await this.#changing(() => this.#access.deleteProtection(environment))
  }

  get #access(): AccessStore {
    return this.#options.store.access
  }

  /** @throws FairwayError CONFLICT where no valid token and no other binding has everything */
  async #requireOtherAdmin(bindings: readonly Binding[], id: string): Promise<void> {
    const now = this.#options.clock.now()
    const tokens = await this.#options.store.listTokens()
    const others =
      bindings.some((one) => one.id !== id && isFullAdmin(one.grant)) ||
      tokens.some(
        ({ grants, expiresAt }) =>
          grants.some(isFullAdmin) && (expiresAt === null || expiresAt > now),
      )
    if (!others) {
      throw new FairwayError('CONFLICT', 'this is the last admin', {
        hint: 'Grant it to another first.',
      })
    }
  }

  /** One change at a time, seen by decisions before it is answered, also where it failed half-way. */
  async #changing<T>(change: () => Promise<T>): Promise<T> {
    return await this.#mutex.run('rules', async () => {
      try {
        return await change()
      } finally {
        await this.#options.rules.reload()
      }
    })
  }
}

/** @throws FairwayError LIMIT_EXCEEDED */
function limit(count: number, most: number, what: string): void {
  if (count >= most) throw new FairwayError('LIMIT_EXCEEDED', `there are ${most} ${what} already`)
}

/** Does the grant reach the app in any environment? */
function sees(rules: ReadRules, grant: Grant, app: string): boolean {
  return reaches(rules, { ...grant, environment: null }, app, null)
}

function isFullPlace({ environment, team, app }: Grant): boolean {
  return environment === null && team === null && app === null
}
