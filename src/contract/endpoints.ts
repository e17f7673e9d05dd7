/** The whole HTTP API. A route that does not stand here does not exist. */
import { z } from 'zod'
import { ACCESS_ENDPOINTS } from './access-endpoints.ts'
import { appPlan, appStatus } from './app.ts'
import { AUDIT_ENDPOINTS } from './audit-endpoints.ts'
import { config, configChanges } from './config.ts'
import { BYTES, type Endpoint, GET, POST, queryFlag, queryNumber } from './endpoint.ts'
import { argv } from './exec-message.ts'
import { logLine, MAX_LOG_LIMIT, runEvent } from './log-line.ts'
import { appName, digest, environmentName, id, processName, releaseNumber } from './name.ts'
import { deployEvent, release, rollout, rolloutEvent } from './rollout.ts'
import { MANIFEST_ENDPOINTS } from './manifest-endpoints.ts'
import { SECRET_ENDPOINTS } from './secret-endpoints.ts'
import { LOGIN_ENDPOINTS } from './login-endpoints.ts'
import { NODE_ENDPOINTS } from './node-endpoints.ts'
import { TEAM_ENDPOINTS } from './team-endpoints.ts'
import { TARGET_ENDPOINTS } from './target-endpoints.ts'
import { WORKLOAD_ENDPOINTS } from './workload-endpoints.ts'
import { deployBody, MAX_ENTRIES, sourceEntries } from './source.ts'
import { claimBody, issuedToken, newTokenBody, token, whoami } from './token.ts'

const appParams = z.strictObject({ app: appName, environment: environmentName })
const rolloutParams = appParams.extend({ rollout: id })
const instanceParams = appParams.extend({ instance: id })
const listQuery = z.strictObject({ limit: queryNumber(1, 1000).optional() })
const logsQuery = z.strictObject({
  process: processName.optional(),
  instance: id.optional(),
  since: queryNumber(0, Number.MAX_SAFE_INTEGER).optional(),
  grep: z.string().min(1).max(1000).optional(),
  limit: queryNumber(0, MAX_LOG_LIMIT).optional(),
  follow: queryFlag.optional(),
})

const APP = '/v1/apps/:app/:environment'
const DEPLOY_ERRORS = [
  'INVALID_APP_FILE',
  'UNSUPPORTED_KEY',
  'UNRECOGNISED_SOURCE',
  'INVALID_SOURCE',
  'SOURCE_INCOMPLETE',
  'DIGEST_MISMATCH',
  'NOT_FOUND',
  'CONFLICT',
  'DISK_FULL',
  'SECRETS_CLOSED',
  'SECRETS_INVALID',
  'SECRETS_TAMPERED',
] as const

export const ENDPOINTS = {
  health: {
    ...GET,
    path: '/v1/health',
    response: z.object({ status: z.literal('ok') }),
    action: null,
    summary: 'Says that the server answers',
    errors: [],
  },
  openapi: {
    ...GET,
    path: '/v1/openapi.json',
    response: z.looseObject({ openapi: z.string() }),
    action: null,
    summary: 'This document',
    errors: [],
  },
  claim: {
    ...POST,
    path: '/v1/claim',
    body: claimBody,
    response: issuedToken,
    action: null,
    summary:
      'Trades the one-time claim code that the first start printed for the first admin token',
    errors: ['UNAUTHENTICATED', 'CLAIM_USED', 'LIMIT_EXCEEDED'],
  },
  version: {
    ...GET,
    path: '/v1/version',
    response: z.object({ version: z.string(), engine: z.string(), runner: z.string() }),
    action: 'self:read',
    summary: 'Version of the server, its engine and runner',
    errors: [],
  },
  whoami: {
    ...GET,
    path: '/v1/whoami',
    response: whoami,
    action: 'self:read',
    summary: 'Whose token this is and what it may do',
    errors: [],
  },
  listTokens: {
    ...GET,
    path: '/v1/tokens',
    response: z.object({ tokens: z.array(token) }),
    action: 'token:read',
    summary: 'The tokens that the caller could have made, without their secrets',
    errors: [],
  },
  createToken: {
    ...POST,
    path: '/v1/tokens',
    body: newTokenBody,
    response: issuedToken,
    action: 'token:write',
    summary: 'Makes a named token, with no more than the caller has; it is shown once',
    errors: ['CONFLICT'],
  },
  revokeToken: {
    ...GET,
    method: 'DELETE',
    path: '/v1/tokens/:token',
    params: z.strictObject({ token: id }),
    response: null,
    action: 'token:write',
    summary: 'Revokes a token at once',
    errors: ['NOT_FOUND', 'CONFLICT'],
  },
  ...AUDIT_ENDPOINTS,
  ...LOGIN_ENDPOINTS,
  ...TEAM_ENDPOINTS,
  ...TARGET_ENDPOINTS,
  ...ACCESS_ENDPOINTS,
  ...MANIFEST_ENDPOINTS,
  ...SECRET_ENDPOINTS,
  ...NODE_ENDPOINTS,
  ...WORKLOAD_ENDPOINTS,

  missingContents: {
    ...POST,
    path: '/v1/sources/missing',
    body: z.strictObject({ digests: z.array(digest).max(MAX_ENTRIES) }),
    response: z.object({ missing: z.array(digest) }),
    action: 'source:write',
    summary: 'Which of these contents the server lacks',
    errors: [],
  },
  putContent: {
    ...GET,
    method: 'PUT',
    path: '/v1/contents/:digest',
    params: z.strictObject({ digest }),
    body: BYTES,
    response: null,
    action: 'source:write',
    summary: 'Stores one content; Content-Length is required',
    errors: ['DIGEST_MISMATCH', 'DISK_FULL'],
  },
  postContents: {
    ...POST,
    path: '/v1/contents',
    body: BYTES,
    response: z.object({ stored: z.number().int(), bytes: z.number() }),
    action: 'source:write',
    summary: 'Stores many contents sent as frames, each "<sha256 hex> <size>\\n" and its bytes',
    errors: ['DIGEST_MISMATCH', 'DISK_FULL'],
  },
  saveSource: {
    ...POST,
    path: '/v1/sources',
    body: z.strictObject({ entries: sourceEntries }),
    response: z.object({ id: digest }),
    action: 'source:write',
    summary: 'Records a source tree whose contents are all there',
    errors: ['INVALID_SOURCE', 'SOURCE_INCOMPLETE'],
  },
  listApps: {
    ...GET,
    path: '/v1/apps',
    response: z.object({ apps: z.array(appStatus) }),
    action: 'app:list',
    summary: 'Every app in every environment that the caller may see, with its status',
    errors: [],
  },
  getApp: {
    ...GET,
    path: APP,
    params: appParams,
    response: appStatus,
    action: 'app:read',
    summary: 'Status of one app in one environment',
    errors: ['NOT_FOUND'],
  },
  watchApp: {
    ...GET,
    path: `${APP}/watch`,
    params: appParams,
    response: appStatus,
    stream: 'ndjson',
    action: 'app:read',
    summary: 'Status now and after every change',
    errors: ['NOT_FOUND'],
  },
  destroyApp: {
    ...GET,
    method: 'DELETE',
    path: APP,
    params: appParams,
    response: null,
    action: 'app:destroy',
    summary: 'Stops and removes everything of the app; answers when it is gone',
    errors: ['NOT_FOUND', 'CONFLICT'],
  },
  planApp: {
    ...POST,
    path: `${APP}/plan`,
    params: appParams,
    body: deployBody,
    response: appPlan,
    action: 'app:plan',
    summary: 'What a deploy of this would change',
    errors: DEPLOY_ERRORS,
  },
  deployApp: {
    ...POST,
    path: `${APP}/deploys`,
    params: appParams,
    body: deployBody,
    response: deployEvent,
    stream: 'ndjson',
    action: 'app:deploy',
    summary: 'Deploys; the answer is the accepted rollout, then its events until it ends',
    errors: DEPLOY_ERRORS,
  },
  rollbackApp: {
    ...POST,
    path: `${APP}/rollback`,
    params: appParams,
    body: z.strictObject({ to: releaseNumber.nullable() }),
    response: deployEvent,
    stream: 'ndjson',
    action: 'app:rollback',
    summary: 'Goes back to a kept release (null = the one before); answers like a deploy',
    errors: ['NOT_FOUND', 'CONFLICT'],
  },
  listRollouts: {
    ...GET,
    path: `${APP}/rollouts`,
    params: appParams,
    query: listQuery,
    response: z.object({ rollouts: z.array(rollout) }),
    action: 'app:read',
    summary: 'Rollouts, newest first (limit: 20)',
    errors: ['NOT_FOUND'],
  },
  getRollout: {
    ...GET,
    path: `${APP}/rollouts/:rollout`,
    params: rolloutParams,
    response: rollout,
    action: 'app:read',
    summary: 'One rollout with its steps',
    errors: ['NOT_FOUND'],
  },
  rolloutEvents: {
    ...GET,
    path: `${APP}/rollouts/:rollout/events`,
    params: rolloutParams,
    response: rolloutEvent,
    stream: 'ndjson',
    action: 'app:read',
    summary: 'Events of a rollout from its beginning until it ends',
    errors: ['NOT_FOUND'],
  },
  listReleases: {
    ...GET,
    path: `${APP}/releases`,
    params: appParams,
    query: listQuery,
    response: z.object({ releases: z.array(release) }),
    action: 'app:read',
    summary: 'Kept releases, newest first (limit: 20)',
    errors: ['NOT_FOUND'],
  },
  scaleApp: {
    ...GET,
    method: 'PUT',
    path: `${APP}/scale`,
    params: appParams,
    body: z.strictObject({
      changes: z
        .record(processName, z.number().int().min(0).max(1000).nullable())
        .refine((changes) => Object.keys(changes).length <= 100, 'expected at most 100 processes'),
    }),
    response: z.object({ scale: z.record(z.string(), z.number().int()) }),
    action: 'app:scale',
    summary: 'Sets the number of instances per process; null = as the app file says',
    errors: ['NOT_FOUND', 'CONFLICT'],
  },
  getConfig: {
    ...GET,
    path: `${APP}/config`,
    params: appParams,
    response: config,
    action: 'config:names',
    summary: 'Configuration; values only for roles that may read them',
    errors: ['NOT_FOUND'],
  },
  setConfig: {
    ...GET,
    method: 'PATCH',
    path: `${APP}/config`,
    params: appParams,
    body: z.strictObject({ changes: configChanges }),
    response: z.object({ rollout: rollout.nullable() }),
    action: 'config:write',
    summary: 'Sets and deletes (null) values; a running app gets a new release, follow its rollout',
    errors: ['CONFLICT'],
  },
  logs: {
    ...GET,
    path: `${APP}/logs`,
    params: appParams,
    query: logsQuery,
    response: logLine,
    stream: 'ndjson',
    action: 'log:read',
    summary: 'The last lines that match (limit: 100), and with follow every later one',
    errors: ['NOT_FOUND'],
  },
  runCommand: {
    ...POST,
    path: `${APP}/run`,
    params: appParams,
    body: z.strictObject({
      process: processName.nullable(),
      argv,
      timeoutMs: z.number().int().min(1000).max(86_400_000),
    }),
    response: runEvent,
    stream: 'ndjson',
    action: 'app:run',
    summary:
      'Runs a command in a fresh instance of the active release; ends when the client leaves',
    errors: ['NOT_FOUND', 'NOT_RUNNING'],
  },
  exec: {
    ...GET,
    path: `${APP}/instances/:instance/exec`,
    params: instanceParams,
    response: null,
    stream: 'upgrade',
    action: 'app:exec',
    summary: 'Runs a command inside a running instance, over a WebSocket',
    errors: ['NOT_FOUND', 'NOT_RUNNING'],
  },
  collect: {
    ...POST,
    path: '/v1/collect',
    body: null,
    response: z.object({ bytes: z.number(), summary: z.string() }),
    action: 'platform:collect',
    summary: 'Removes images, sources, releases and logs that nothing needs',
    errors: ['CONFLICT'],
  },
} as const satisfies Record<string, Endpoint>

export type Endpoints = typeof ENDPOINTS
export type EndpointName = keyof Endpoints

/** What a client gives for the path, as text or already parsed. */
export type ParamsOf<N extends EndpointName> = z.input<Endpoints[N]['params']>
/** The parsed form: numbers and booleans. `endpointUrl` writes them as text. */
export type QueryOf<N extends EndpointName> = z.output<Endpoints[N]['query']>
/** JSON bodies only; `never` for raw bytes and for none. */
export type BodyOf<N extends EndpointName> = Endpoints[N]['body'] extends z.ZodType
  ? z.input<Endpoints[N]['body']>
  : never
/** The answer, or one line of it where the endpoint streams; null where there is none. */
export type ResponseOf<N extends EndpointName> = Endpoints[N]['response'] extends z.ZodType
  ? z.output<Endpoints[N]['response']>
  : null
