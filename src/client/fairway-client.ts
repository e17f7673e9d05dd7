import type { AccessTargetBody } from '../contract/access-endpoints.ts'
import type { BindingBody, ProtectionBody, TeamBody } from '../contract/team-endpoints.ts'
import type { AppPlanBody, AppStatusBody } from '../contract/app.ts'
import type { AuditLineBody } from '../contract/audit-endpoints.ts'
import type { ConfigBody } from '../contract/config.ts'
import type { BodyOf, EndpointName, QueryOf, ResponseOf } from '../contract/endpoints.ts'
import type { LogLineBody, RunEventBody } from '../contract/log-line.ts'
import type { RedeemedBody, UserWithSessionsBody } from '../contract/login.ts'
import type { DrainEventBody, NodeBody } from '../contract/node.ts'
import type { DeployEventBody, ReleaseBody, RolloutBody } from '../contract/rollout.ts'
import type { DeployBody } from '../contract/source.ts'
import type {
  CheckBody,
  InstalledBody,
  UninstalledBody,
  NewTargetBody,
  TargetBody,
} from '../contract/target.ts'
import type { TokenBody } from '../contract/token.ts'
import type { WorkloadIdentitiesBody } from '../contract/workload-endpoints.ts'
import { BODIES } from './bodies.ts'
import { Connection, type Call, type ConnectionOptions } from './connection.ts'
import type { Content } from './contents.ts'
import type { ExecOptions, ExecSession } from './exec-session.ts'
import { endpointMethod, endpointPath, type PathParams } from './paths.ts'

/** One app in one environment, as text that the server will check. */
export interface Ref {
  readonly app: string
  readonly environment: string
}

export type LogsQuery = QueryOf<'logs'>
export type AuditQuery = QueryOf<'listAudit'>

/**
 * One method per endpoint. Every method rejects with ClientError: the server's code, `SERVER_UNREACHABLE` or `TIMEOUT`. Streams end
 * when the server ends them or the signal aborts.
 */
export class FairwayClient {
  readonly #connection: Connection

  constructor(options: ConnectionOptions) {
    this.#connection = new Connection(options)
  }

  get server(): string {
    return this.#connection.server
  }

  health(): Promise<ResponseOf<'health'>> {
    return this.#connection.value(call('health'), BODIES.health)
  }
  claim(body: BodyOf<'claim'>): Promise<ResponseOf<'claim'>> {
    return this.#connection.value(call('claim', {}, { json: body }), BODIES.claim)
  }
  version(): Promise<ResponseOf<'version'>> {
    return this.#connection.value(call('version'), BODIES.version)
  }
  whoami(): Promise<ResponseOf<'whoami'>> {
    return this.#connection.value(call('whoami'), BODIES.whoami)
  }

  async listTokens(): Promise<readonly TokenBody[]> {
    return (await this.#connection.value(call('listTokens'), BODIES.listTokens)).tokens
  }
  createToken(body: BodyOf<'createToken'>): Promise<ResponseOf<'createToken'>> {
    return this.#connection.value(call('createToken', {}, { json: body }), BODIES.createToken)
  }
  revokeToken(token: string): Promise<void> {
    return this.#connection.nothing(call('revokeToken', { token }))
  }

  beginLogin(body: BodyOf<'beginLogin'>): Promise<ResponseOf<'beginLogin'>> {
    return this.#connection.value(call('beginLogin', {}, { json: body }), BODIES.beginLogin)
  }
  redeemLogin(login: string, body: BodyOf<'redeemLogin'>): Promise<RedeemedBody> {
    const wanted = call('redeemLogin', { login }, { json: body })
    return this.#connection.value(wanted, BODIES.redeemLogin)
  }
  /** @throws ClientError NOT_FOUND for an API token */
  getSession(): Promise<ResponseOf<'getSession'>> {
    return this.#connection.value(call('getSession'), BODIES.getSession)
  }
  /** @throws ClientError NOT_FOUND for an API token */
  logout(): Promise<void> {
    return this.#connection.nothing(call('logout'))
  }
  async listUsers(): Promise<readonly UserWithSessionsBody[]> {
    return (await this.#connection.value(call('listUsers'), BODIES.listUsers)).users
  }
  /** One session, or all; returns how many. */
  async endSessions(user: string, session: string | undefined): Promise<number> {
    const wanted = call('endSessions', { user }, {}, { session })
    return (await this.#connection.value(wanted, BODIES.endSessions)).ended
  }
  removeUser(user: string): Promise<void> {
    return this.#connection.nothing(call('removeUser', { user }))
  }

  async listTeams(): Promise<readonly TeamBody[]> {
    return (await this.#connection.value(call('listTeams'), BODIES.listTeams)).teams
  }
  changeTeam(team: string, json: BodyOf<'changeTeam'>): Promise<TeamBody> {
    return this.#connection.value(call('changeTeam', { team }, { json }), BODIES.changeTeam)
  }
  removeTeam(team: string): Promise<void> {
    return this.#connection.nothing(call('removeTeam', { team }))
  }
  async listBindings(): Promise<readonly BindingBody[]> {
    return (await this.#connection.value(call('listBindings'), BODIES.listBindings)).bindings
  }
  addBinding(json: BodyOf<'addBinding'>): Promise<BindingBody> {
    return this.#connection.value(call('addBinding', {}, { json }), BODIES.addBinding)
  }
  removeBinding(binding: string): Promise<void> {
    return this.#connection.nothing(call('removeBinding', { binding }))
  }
  async listProtections(): Promise<readonly ProtectionBody[]> {
    const wanted = call('listProtections')
    return (await this.#connection.value(wanted, BODIES.listProtections)).protections
  }
  protectEnvironment(environment: string, waitMs: number): Promise<ProtectionBody> {
    const wanted = call('protectEnvironment', { environment }, { json: { waitMs } })
    return this.#connection.value(wanted, BODIES.protectEnvironment)
  }
  unprotectEnvironment(environment: string): Promise<void> {
    return this.#connection.nothing(call('unprotectEnvironment', { environment }))
  }
  judgeRollout(ref: Ref, rollout: string, verdict: 'approve' | 'refuse'): Promise<RolloutBody> {
    const wanted = call('judgeRollout', { ...ref, rollout }, { json: { verdict } })
    return this.#connection.value(wanted, BODIES.judgeRollout)
  }

  async listTargets(): Promise<readonly TargetBody[]> {
    return (await this.#connection.value(call('listTargets'), BODIES.listTargets)).targets
  }
  putTarget(target: string, body: NewTargetBody): Promise<TargetBody> {
    return this.#connection.value(call('putTarget', { target }, { json: body }), BODIES.putTarget)
  }
  removeTarget(target: string): Promise<void> {
    return this.#connection.nothing(call('removeTarget', { target }))
  }
  async checkTarget(target: string): Promise<readonly CheckBody[]> {
    return (await this.#connection.value(call('checkTarget', { target }), BODIES.checkTarget))
      .checks
  }

  async listClusterAccess(): Promise<readonly AccessTargetBody[]> {
    const wanted = call('listClusterAccess')
    return (await this.#connection.value(wanted, BODIES.listClusterAccess)).targets
  }
  issueClusterToken(
    target: string,
    body: BodyOf<'issueClusterToken'>,
  ): Promise<ResponseOf<'issueClusterToken'>> {
    const wanted = call('issueClusterToken', { target }, { json: body })
    return this.#connection.value(wanted, BODIES.issueClusterToken)
  }
  replaceAccessKey(): Promise<void> {
    return this.#connection.nothing(call('replaceAccessKey', {}))
  }

  setClusterAccess(target: string, body: BodyOf<'setClusterAccess'>): Promise<void> {
    return this.#connection.nothing(call('setClusterAccess', { target }, { json: body }))
  }
  clusterAccessFiles(target: string): Promise<ResponseOf<'clusterAccessFiles'>> {
    const wanted = call('clusterAccessFiles', { target })
    return this.#connection.value(wanted, BODIES.clusterAccessFiles)
  }

  /** Bakes, applies and waits: minutes. */
  installPlatform(target: string, body: BodyOf<'installPlatform'>): Promise<InstalledBody> {
    const wanted = call('installPlatform', { target }, { json: body, timeoutMs: 1_200_000 })
    return this.#connection.value(wanted, BODIES.installPlatform)
  }

  uninstallPlatform(target: string, body: BodyOf<'uninstallPlatform'>): Promise<UninstalledBody> {
    const wanted = call('uninstallPlatform', { target }, { json: body, timeoutMs: 120_000 })
    return this.#connection.value(wanted, BODIES.uninstallPlatform)
  }

  async listNodes(target: string): Promise<readonly NodeBody[]> {
    return (await this.#connection.value(call('listNodes', { target }), BODIES.listNodes)).nodes
  }
  drainNode(
    target: string,
    node: string,
    json: BodyOf<'drainNode'>,
    signal: AbortSignal,
  ): AsyncGenerator<DrainEventBody, void, undefined> {
    const wanted = call('drainNode', { target, node }, { json, signal })
    return this.#connection.lines(wanted, BODIES.drainNode)
  }
  uncordonNode(target: string, node: string): Promise<void> {
    return this.#connection.nothing(call('uncordonNode', { target, node }))
  }

  workloadIdentities(): Promise<WorkloadIdentitiesBody> {
    return this.#connection.value(call('workloadIdentities', {}), BODIES.workloadIdentities)
  }
  rotateWorkloadRoot(): Promise<WorkloadIdentitiesBody> {
    return this.#connection.value(call('rotateWorkloadRoot', {}), BODIES.rotateWorkloadRoot)
  }

  replaceWorkloadRoot(): Promise<WorkloadIdentitiesBody> {
    return this.#connection.value(call('replaceWorkloadRoot', {}), BODIES.replaceWorkloadRoot)
  }

  /** Manifests by path below the folder of the export. */
  async exportApp(
    ref: Ref,
    query: QueryOf<'exportApp'>,
  ): Promise<Readonly<Record<string, string>>> {
    const wanted = call('exportApp', ref, { timeoutMs: 60_000 }, query)
    return (await this.#connection.value(wanted, BODIES.exportApp)).files
  }
  applyManifests(
    target: string,
    body: BodyOf<'applyManifests'>,
  ): Promise<ResponseOf<'applyManifests'>> {
    const wanted = call('applyManifests', { target }, { json: body, timeoutMs: 300_000 })
    return this.#connection.value(wanted, BODIES.applyManifests)
  }
  removeManifests(
    target: string,
    ref: Ref,
    query: QueryOf<'removeManifests'>,
  ): Promise<ResponseOf<'removeManifests'>> {
    const wanted = call('removeManifests', { target, ...ref }, { timeoutMs: 60_000 }, query)
    return this.#connection.value(wanted, BODIES.removeManifests)
  }
  adoptObjects(ref: Ref, objects: readonly string[]): Promise<void> {
    return this.#connection.nothing(call('adoptObjects', ref, { json: { objects: [...objects] } }))
  }

  /** Sends contents in as few requests as is wise; `onBytes` is told how many bytes have gone out so far. */
  async sendContents(contents: readonly Content[], onBytes: (sent: number) => void): Promise<void> {
    const { sendContents } = await import('./contents.ts')
    return sendContents(this.#connection, contents, onBytes)
  }

  async listApps(): Promise<readonly AppStatusBody[]> {
    return (await this.#connection.value(call('listApps'), BODIES.listApps)).apps
  }
  getApp(ref: Ref): Promise<AppStatusBody> {
    return this.#connection.value(call('getApp', ref), BODIES.getApp)
  }
  watchApp(ref: Ref, signal: AbortSignal): AsyncGenerator<AppStatusBody, void, undefined> {
    return this.#connection.lines(call('watchApp', ref, { signal }), BODIES.watchApp)
  }
  /** Resolves when everything of the app is gone. */
  destroyApp(ref: Ref): Promise<void> {
    return this.#connection.nothing(call('destroyApp', ref, { timeoutMs: Infinity }))
  }

  planApp(ref: Ref, body: DeployBody): Promise<AppPlanBody> {
    return this.#connection.value(call('planApp', ref, { json: body }), BODIES.planApp)
  }
  deployApp(
    ref: Ref,
    body: DeployBody,
    signal: AbortSignal,
  ): AsyncGenerator<DeployEventBody, void, undefined> {
    return this.#connection.lines(call('deployApp', ref, { json: body, signal }), BODIES.deployApp)
  }
  /** To release `to`, null = the one before the active one. */
  rollbackApp(
    ref: Ref,
    to: number | null,
    signal: AbortSignal,
  ): AsyncGenerator<DeployEventBody, void, undefined> {
    const json = { to }
    return this.#connection.lines(call('rollbackApp', ref, { json, signal }), BODIES.rollbackApp)
  }

  async listRollouts(ref: Ref, limit: number): Promise<readonly RolloutBody[]> {
    const wanted = call('listRollouts', ref, {}, { limit })
    return (await this.#connection.value(wanted, BODIES.listRollouts)).rollouts
  }
  getRollout(ref: Ref, rollout: string): Promise<RolloutBody> {
    return this.#connection.value(call('getRollout', { ...ref, rollout }), BODIES.getRollout)
  }
  rolloutEvents(
    ref: Ref,
    rollout: string,
    signal: AbortSignal,
  ): AsyncGenerator<ResponseOf<'rolloutEvents'>, void, undefined> {
    const wanted = call('rolloutEvents', { ...ref, rollout }, { signal })
    return this.#connection.lines(wanted, BODIES.rolloutEvents)
  }
  async listReleases(ref: Ref, limit: number): Promise<readonly ReleaseBody[]> {
    const wanted = call('listReleases', ref, {}, { limit })
    return (await this.#connection.value(wanted, BODIES.listReleases)).releases
  }

  async scaleApp(
    ref: Ref,
    changes: Readonly<Record<string, number | null>>,
  ): Promise<Readonly<Record<string, number>>> {
    const wanted = call('scaleApp', ref, { json: { changes } })
    return (await this.#connection.value(wanted, BODIES.scaleApp)).scale
  }
  getConfig(ref: Ref): Promise<ConfigBody> {
    return this.#connection.value(call('getConfig', ref), BODIES.getConfig)
  }
  /** The rollout that brings the change to a running app; null where nothing runs. */
  environmentKey(ref: Ref): Promise<{ readonly recipient: string }> {
    return this.#connection.value(call('environmentKey', ref), BODIES.environmentKey)
  }

  async pushSecrets(
    ref: Ref,
    documents: readonly { readonly path: string; readonly text: string }[],
  ): Promise<RolloutBody | null> {
    const wanted = call('pushSecrets', ref, { json: { documents } })
    return (await this.#connection.value(wanted, BODIES.pushSecrets)).rollout
  }

  /** Names of the generated values that are others now; no names = all. */
  async rotateGenerated(ref: Ref, names: readonly string[]): Promise<readonly string[]> {
    const wanted = call('rotateGenerated', ref, { json: { names } })
    return (await this.#connection.value(wanted, BODIES.rotateGenerated)).rotated
  }

  async setConfig(
    ref: Ref,
    changes: Readonly<Record<string, string | null>>,
  ): Promise<RolloutBody | null> {
    const wanted = call('setConfig', ref, { json: { changes } })
    return (await this.#connection.value(wanted, BODIES.setConfig)).rollout
  }

  logs(
    ref: Ref,
    query: LogsQuery,
    signal: AbortSignal,
  ): AsyncGenerator<LogLineBody, void, undefined> {
    return this.#connection.lines(call('logs', ref, { signal }, query), BODIES.logs)
  }
  listAudit(query: AuditQuery, signal: AbortSignal): AsyncGenerator<AuditLineBody, void> {
    return this.#connection.lines(call('listAudit', {}, { signal }, query), BODIES.listAudit)
  }
  exportAudit(signal: AbortSignal): AsyncGenerator<AuditLineBody, void> {
    return this.#connection.lines(call('exportAudit', {}, { signal }), BODIES.exportAudit)
  }
  runCommand(
    ref: Ref,
    body: BodyOf<'runCommand'>,
    signal: AbortSignal,
  ): AsyncGenerator<RunEventBody, void, undefined> {
    const wanted = call('runCommand', ref, { json: body, signal, timeoutMs: Infinity })
    return this.#connection.lines(wanted, BODIES.runCommand)
  }
  /** Opens a command inside a running instance; resolves once it runs. */
  async exec(ref: Ref, instance: string, options: ExecOptions): Promise<ExecSession> {
    const { openExecSession } = await import('./exec-session.ts')
    const url = this.#connection.socketUrl(endpointPath('exec', { ...ref, instance }))
    return openExecSession(url, this.#connection.headers(), options)
  }

  collect(): Promise<ResponseOf<'collect'>> {
    return this.#connection.value(call('collect', {}, { timeoutMs: Infinity }), BODIES.collect)
  }

  /** Closes idle connections. */
  close(): void {
    this.#connection.close()
  }
}

function call(
  name: EndpointName,
  params: PathParams | Ref = {},
  options: Omit<Call, 'method' | 'path'> = {},
  query: Readonly<Record<string, string | number | boolean | undefined>> = {},
): Call {
  return {
    method: endpointMethod(name),
    path: endpointPath(name, { ...params }, query),
    ...options,
  }
}
