import type { EndpointName } from '../contract/endpoints.ts'
import type { AuditFacts, AuditedAction } from '../model/audit.ts'
import type { Grant } from '../model/identity.ts'
import type { Call } from './route.ts'

type Inputs<N extends EndpointName> = Pick<Call<N>, 'params' | 'query' | 'body'>
type FactsTable = { readonly [N in EndpointName]?: (call: Inputs<N>) => AuditFacts }

/** What open endpoints are called in the audit; the others have their action. */
export const OPEN_AUDITED: Partial<Readonly<Record<EndpointName, AuditedAction>>> = {
  claim: 'server:claim',
  redeemLogin: 'session:login',
}

/** Open endpoints whose route tells itself what was done: it alone knows who it was. */
export const TOLD_BY_ROUTE: ReadonlySet<EndpointName> = new Set(['redeemLogin'])

/**
 * What of a request is told in the audit, beside who, what and where. Names, numbers and switches only: no value of the configuration, no
 * token, no kubeconfig, no argument of a command, which people give passwords as.
 */
const FACTS: FactsTable = {
  claim: ({ body }) => ({ name: body.name }),
  createToken: ({ body }) => ({
    name: body.name,
    person: body.person ?? null,
    grants: body.grants.map(grantText),
    expiresAt: body.expiresAt ?? null,
  }),
  changeTeam: ({ body }) => ({ add: body.add, remove: body.remove }),
  addBinding: ({ body }) => ({ kind: body.kind, name: body.name, grant: grantText(body.grant) }),
  protectEnvironment: ({ body }) => ({ waitMs: body.waitMs }),
  judgeRollout: ({ body }) => ({ verdict: body.verdict }),
  deployApp: ({ body }) => ({ image: body.image }),
  rollbackApp: ({ body }) => ({ to: body.to }),
  scaleApp: ({ body }) => ({
    changes: Object.entries(body.changes).map(([process, count]) => `${process}=${String(count)}`),
  }),
  setConfig: ({ body }) => ({
    set: namesOf(body.changes, true),
    unset: namesOf(body.changes, false),
  }),
  logs: ({ query }) => ({ process: query.process ?? null, follow: query.follow ?? false }),
  runCommand: ({ body }) => ({ process: body.process, program: programOf(body.argv) }),
  putTarget: ({ body }) => ({ context: body.context }),
  applyManifests: ({ body }) => ({
    files: Object.keys(body.files),
    dryRun: body.dryRun,
    prune: body.prune,
  }),
  adoptObjects: ({ body }) => ({ objects: body.objects }),
  removeManifests: ({ query }) => ({ process: query.process ?? null }),
  installPlatform: ({ body }) => ({
    namespace: body.namespace,
    dryRun: body.dryRun,
    settings: Object.keys({ ...body.settings?.variables, ...body.settings?.files }),
  }),
}

export function factsOf<N extends EndpointName>(name: N, call: Inputs<N>): AuditFacts {
  const facts: FactsTable[N] = FACTS[name]
  return facts?.(call) ?? {}
}

/** The first word of a command where it looks like a program, not like something that was typed in the wrong place. */
export function programOf(argv: readonly string[]): string | null {
  const program = argv[0]?.split('/').at(-1) ?? ''
  return /^[a-z][a-z0-9._-]{0,30}$/.test(program) ? program : null
}

/** 'developer, app shop, environment staging'. */
export function grantText({ role, app, team, environment, actions }: Grant): string {
  const limits = { app, team, environment, actions: actions?.join(' ') ?? null }
  const parts = Object.entries(limits).filter(([, value]) => value !== null)
  return [role, ...parts.map(([key, value]) => `${key} ${String(value)}`)].join(', ')
}

function namesOf(changes: Readonly<Record<string, string | null>>, set: boolean): string[] {
  return Object.keys(changes).filter((key) => (changes[key] !== null) === set)
}
