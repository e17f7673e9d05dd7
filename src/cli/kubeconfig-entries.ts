import type { AccessTargetBody } from '../contract/access-endpoints.ts'

export interface EntryOptions {
  /** Base URL of the Fairway server. */
  readonly server: string
  /** Program that kubectl starts. */
  readonly command: string
  readonly version: 'v1' | 'v1beta1'
  /** Only this environment; null = all. */
  readonly environment: string | null
  /** App whose namespace kubectl starts in; null = that of the only one, if there is one. */
  readonly app: string | null
}

/** One cluster, one user and one context of a kubeconfig: nothing in it is a secret. */
export interface Entries {
  readonly name: string
  readonly cluster: Readonly<Record<string, unknown>>
  readonly user: Readonly<Record<string, unknown>>
  readonly context: Readonly<Record<string, unknown>>
}

export function entriesFor(target: AccessTargetBody, options: EntryOptions): Entries {
  const { server, command, version, environment } = options
  const name = `fairway-${target.target}${environment === null ? '' : `-${environment}`}`
  const namespace = namespaceFor(target, options)
  return {
    name,
    cluster: {
      server: target.server,
      ...(target.ca === null ? {} : { 'certificate-authority-data': base64(target.ca) }),
      ...(target.serverName === null ? {} : { 'tls-server-name': target.serverName }),
    },
    user: {
      exec: {
        apiVersion: `client.authentication.k8s.io/${version}`,
        command,
        // In exactly this order a cached token is printed without loading the rest of the program.
        args: [
          'kube-token',
          '--server',
          server,
          '--target',
          target.target,
          ...(environment === null ? [] : ['--env', environment]),
        ],
        interactiveMode: 'Never',
        provideClusterInfo: false,
        installHint: 'fairway is not on PATH. Install it, then log in: fairway login URL.',
      },
    },
    context: { cluster: name, user: name, ...(namespace === null ? {} : { namespace }) },
  }
}

/** A whole kubeconfig; the first is the current context. */
export function kubeconfigOf(entries: readonly Entries[]): object {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: entries.map(({ name, cluster }) => ({ name, cluster })),
    users: entries.map(({ name, user }) => ({ name, user })),
    contexts: entries.map(({ name, context }) => ({ name, context })),
    'current-context': entries[0]?.name ?? '',
  }
}

function namespaceFor(
  { scopes }: AccessTargetBody,
  { app, environment }: EntryOptions,
): string | null {
  const fitting = scopes.filter(
    (scope) =>
      (environment === null || scope.environment === environment) &&
      (app === null || scope.app === app),
  )
  const [only, ...others] = fitting
  return others.length === 0 ? (only?.namespace ?? null) : null
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
