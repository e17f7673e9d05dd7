import type { AccessFiles } from '../model/kube-access.ts'
import type { TargetName } from '../model/names.ts'
import type { AccessListener } from './target-access.ts'

export interface AccessFilesOptions {
  readonly listener: AccessListener
  readonly target: TargetName
  readonly audience: string
  /** With it the API server asks about each token; null = it believes the issuer. */
  readonly secret: string | null
}

/** What kube-apiserver has to be started with. JSON, which every reader of YAML reads. */
export function accessFiles({
  listener,
  target,
  audience,
  secret,
}: AccessFilesOptions): AccessFiles {
  if (secret === null)
    return {
      files: { 'authentication.yaml': text(authentication(listener, audience)) },
      flags: ['--authentication-config=authentication.yaml'],
    }
  return {
    files: { 'webhook.yaml': text(webhook(listener, target, secret)) },
    flags: [
      '--authentication-token-webhook-config-file=webhook.yaml',
      '--authentication-token-webhook-version=v1',
      // How long an answer counts there; the API server's own cache (10 s) and ours (3 s) come on top until a revoked token is refused.
      '--authentication-token-webhook-cache-ttl=15s',
    ],
  }
}

// Private

/** AuthenticationConfiguration (KEP-3331); v1beta1 is there from Kubernetes 1.30 on. */
function authentication({ url, ca }: AccessListener, audience: string): object {
  return {
    apiVersion: 'apiserver.config.k8s.io/v1beta1',
    kind: 'AuthenticationConfiguration',
    jwt: [
      {
        issuer: {
          url,
          ...(ca === null ? {} : { certificateAuthority: ca }),
          audiences: [audience],
          audienceMatchPolicy: 'MatchAny',
        },
        claimValidationRules: [
          {
            expression: 'claims.exp - claims.iat <= 300',
            message: 'the token is good for more than five minutes',
          },
        ],
        claimMappings: {
          username: { claim: 'sub', prefix: '' },
          groups: { claim: 'groups', prefix: '' },
        },
        userValidationRules: [
          {
            expression: "user.username.startsWith('fairway:')",
            message: 'the name is not one of Fairway',
          },
          {
            expression: "user.groups.all(group, group.startsWith('fairway:'))",
            message: 'a group is not one of Fairway',
          },
        ],
      },
    ],
  }
}

/** The form of a kubeconfig, in which kube-apiserver takes how to reach a webhook. */
function webhook({ url, ca }: AccessListener, target: TargetName, secret: string): object {
  const data = ca === null ? {} : { 'certificate-authority-data': base64(ca) }
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      { name: 'fairway', cluster: { server: `${url}/clusters/${target}/token-review`, ...data } },
    ],
    users: [{ name: 'api-server', user: { token: secret } }],
    contexts: [{ name: 'webhook', context: { cluster: 'fairway', user: 'api-server' } }],
    'current-context': 'webhook',
  }
}

function text(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`
}

function base64(value: string): string {
  return Buffer.from(value).toString('base64')
}
