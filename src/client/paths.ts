/** Method and path of every endpoint without the schemas behind them; paths.test.ts holds the copy against the contract. */
import type { Method } from '../contract/endpoint.ts'
import type { EndpointName } from '../contract/endpoints.ts'

export type PathParams = Readonly<Record<string, string>>

const APP = '/v1/apps/:app/:environment'

const ROUTES: Readonly<Record<EndpointName, readonly [Method, string]>> = {
  health: ['GET', '/v1/health'],
  openapi: ['GET', '/v1/openapi.json'],
  claim: ['POST', '/v1/claim'],
  version: ['GET', '/v1/version'],
  whoami: ['GET', '/v1/whoami'],
  listTokens: ['GET', '/v1/tokens'],
  createToken: ['POST', '/v1/tokens'],
  revokeToken: ['DELETE', '/v1/tokens/:token'],
  listAudit: ['GET', '/v1/audit'],
  exportAudit: ['GET', '/v1/audit/export'],
  beginLogin: ['POST', '/v1/logins'],
  redeemLogin: ['POST', '/v1/logins/:login/session'],
  getSession: ['GET', '/v1/session'],
  logout: ['DELETE', '/v1/session'],
  listUsers: ['GET', '/v1/users'],
  endSessions: ['DELETE', '/v1/users/:user/sessions'],
  removeUser: ['DELETE', '/v1/users/:user'],
  listTeams: ['GET', '/v1/teams'],
  changeTeam: ['PATCH', '/v1/teams/:team'],
  removeTeam: ['DELETE', '/v1/teams/:team'],
  listBindings: ['GET', '/v1/bindings'],
  addBinding: ['POST', '/v1/bindings'],
  removeBinding: ['DELETE', '/v1/bindings/:binding'],
  listProtections: ['GET', '/v1/environments'],
  protectEnvironment: ['PUT', '/v1/environments/:environment/protection'],
  unprotectEnvironment: ['DELETE', '/v1/environments/:environment/protection'],
  listTargets: ['GET', '/v1/targets'],
  putTarget: ['PUT', '/v1/targets/:target'],
  removeTarget: ['DELETE', '/v1/targets/:target'],
  exportApp: ['GET', `${APP}/manifests`],
  adoptObjects: ['POST', `${APP}/adopt`],
  applyManifests: ['POST', '/v1/targets/:target/manifests'],
  removeManifests: ['DELETE', '/v1/targets/:target/manifests/:environment/:app'],
  installPlatform: ['POST', '/v1/targets/:target/platform'],
  uninstallPlatform: ['POST', '/v1/targets/:target/platform/removal'],
  listClusterAccess: ['GET', '/v1/cluster-access'],
  issueClusterToken: ['POST', '/v1/targets/:target/access-token'],
  setClusterAccess: ['PUT', '/v1/targets/:target/access'],
  replaceAccessKey: ['POST', '/v1/cluster-access/key'],
  clusterAccessFiles: ['POST', '/v1/targets/:target/access-files'],
  checkTarget: ['GET', '/v1/targets/:target/checks'],
  listNodes: ['GET', '/v1/targets/:target/nodes'],
  drainNode: ['POST', '/v1/targets/:target/nodes/:node/drain'],
  uncordonNode: ['POST', '/v1/targets/:target/nodes/:node/uncordon'],
  workloadIdentities: ['GET', '/v1/workload-identities'],
  rotateWorkloadRoot: ['POST', '/v1/workload-identities/rotation'],
  replaceWorkloadRoot: ['POST', '/v1/workload-identities/replacement'],
  missingContents: ['POST', '/v1/sources/missing'],
  putContent: ['PUT', '/v1/contents/:digest'],
  postContents: ['POST', '/v1/contents'],
  saveSource: ['POST', '/v1/sources'],
  listApps: ['GET', '/v1/apps'],
  getApp: ['GET', APP],
  watchApp: ['GET', `${APP}/watch`],
  destroyApp: ['DELETE', APP],
  planApp: ['POST', `${APP}/plan`],
  deployApp: ['POST', `${APP}/deploys`],
  rollbackApp: ['POST', `${APP}/rollback`],
  judgeRollout: ['POST', `${APP}/rollouts/:rollout/verdict`],
  listRollouts: ['GET', `${APP}/rollouts`],
  getRollout: ['GET', `${APP}/rollouts/:rollout`],
  rolloutEvents: ['GET', `${APP}/rollouts/:rollout/events`],
  listReleases: ['GET', `${APP}/releases`],
  scaleApp: ['PUT', `${APP}/scale`],
  getConfig: ['GET', `${APP}/config`],
  setConfig: ['PATCH', `${APP}/config`],
  environmentKey: ['POST', `${APP}/key`],
  pushSecrets: ['POST', `${APP}/secrets`],
  rotateGenerated: ['POST', `${APP}/secrets/rotation`],
  logs: ['GET', `${APP}/logs`],
  runCommand: ['POST', `${APP}/run`],
  exec: ['GET', `${APP}/instances/:instance/exec`],
  collect: ['POST', '/v1/collect'],
}

export function endpointMethod(name: EndpointName): Method {
  return ROUTES[name][0]
}

/** Path with its parameters filled in and the query, without keys whose value is undefined. */
export function endpointPath(
  name: EndpointName,
  params: PathParams = {},
  query: Readonly<Record<string, string | number | boolean | undefined>> = {},
): string {
  const path = ROUTES[name][1].replaceAll(/:([a-z]+)/g, (_, key: string) => {
    const value = params[key]
    if (value === undefined) throw new TypeError(`${name} needs the parameter ${key}`)
    return encodeURIComponent(value)
  })
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined) search.set(key, String(value))
  }
  return search.size === 0 ? path : `${path}?${search.toString()}`
}
