import type { PlatformSettings } from '../model/installer.ts'
import { Secret } from '../model/secrets.ts'
import { fingerprints } from './fingerprints.ts'
import { canonicalText, type KubeObject } from './object.ts'
import {
  ACCESS_PORT,
  ACCESS_SERVICE,
  API_PORT,
  base64,
  HEALTH_PORT,
  object,
  PLATFORM,
  type PlatformPlan,
} from './plan-platform.ts'

/** The Secret of `PlatformPlan.keys`, and its files. */
export const KEYS = 'fairway-keys'
export const KEY_FILES = { serverKey: 'secrets.key', ca: 'ca.pem', caKey: 'ca-key.pem' } as const
/** Beside them: `PlatformPlan.owner`. */
export const OWNER_KEY = 'owner'
/** The Secrets of `PlatformPlan.given`: variables, and files by the names of the variables that lead to them. */
export const GIVEN = 'fairway-given'
export const GIVEN_FILES = 'fairway-given-files'

const SETTINGS = 'fairway-settings'
const KEYS_FOLDER = '/etc/fairway/keys'
const GIVEN_FOLDER = '/etc/fairway/given'

/** What the servers are told and nobody else. */
export function settingsSecrets(plan: PlatformPlan): readonly KubeObject[] {
  const { serverKey, ca, caKey } = plan.keys
  const keys = {
    [KEY_FILES.serverKey]: serverKey,
    [KEY_FILES.ca]: ca,
    [KEY_FILES.caKey]: caKey,
    [OWNER_KEY]: plan.owner,
  }
  return [
    secret(plan, SETTINGS, ownSettings(plan)),
    secret(plan, KEYS, keys),
    secret(plan, GIVEN, plan.given.variables),
    secret(plan, GIVEN_FILES, plan.given.files),
  ]
}

/** Differs where a server has to start anew to know its settings; says nothing of them. */
export function settingsFingerprint(plan: PlatformPlan): string {
  const { variables, files } = plan.given
  return fingerprintOf(plan, [ownSettings(plan), variables, files, plan.packages.apt])
}

/** The same of any values of the platform. */
export function fingerprintOf({ keys }: PlatformPlan, values: unknown): string {
  return fingerprints(Secret.of(keys.serverKey))(canonicalText(values))
}

/** Where `given` is in the server's container. */
export function givenVariables({ variables, files }: PlatformSettings): Record<string, string> {
  const paths = Object.keys(files).map((name) => [name, `${GIVEN_FOLDER}/${name}`] as const)
  return { ...variables, ...Object.fromEntries(paths) }
}

export function settingsVariables(plan: PlatformPlan): readonly unknown[] {
  const paths = givenVariables({ variables: {}, files: plan.given.files })
  const own = settings(plan)
  return Object.entries({ ...paths, ...own }).map(([name, value]) => ({ name, value }))
}

/** Of one name in several sources the last counts. */
export function settingsSources(): readonly unknown[] {
  return [GIVEN, SETTINGS].map((name) => ({ secretRef: { name } }))
}

export function settingsVolumes(): readonly unknown[] {
  return [
    { name: 'keys', secret: { secretName: KEYS, defaultMode: 0o440 } },
    { name: 'given', secret: { secretName: GIVEN_FILES, defaultMode: 0o440 } },
  ]
}

export function settingsMounts(): readonly unknown[] {
  return [
    { name: 'keys', mountPath: KEYS_FOLDER, readOnly: true },
    { name: 'given', mountPath: GIVEN_FOLDER, readOnly: true },
  ]
}

// Private

function secret(
  plan: PlatformPlan,
  name: string,
  values: Readonly<Record<string, string>>,
): KubeObject {
  const data = Object.entries(values).map(([key, value]) => [key, base64(value)])
  return object(plan, 'v1', 'Secret', name, { type: 'Opaque', data: Object.fromEntries(data) })
}

function ownSettings({ database, registry }: PlatformPlan): Readonly<Record<string, string>> {
  return {
    FAIRWAY_DATABASE: database.url,
    FAIRWAY_HOME_SETTINGS: JSON.stringify(registry.settings),
  }
}

function settings({
  namespace,
  target,
  hosts,
  image,
  packages,
  accessNodePort,
  owner,
}: PlatformPlan): Readonly<Record<string, string>> {
  const names = ['', `.${namespace}`, `.${namespace}.svc`, `.${namespace}.svc.cluster.local`]
  const [own = `${ACCESS_SERVICE}.${namespace}.svc`] = accessNodePort === null ? [] : hosts
  return {
    FAIRWAY_ACCESS_AUTHORITY: KEYS_FOLDER,
    FAIRWAY_ACCESS_HOST: '0.0.0.0',
    FAIRWAY_ACCESS_PORT: String(ACCESS_PORT),
    FAIRWAY_ACCESS_URL: `https://${own}:${String(accessNodePort ?? ACCESS_PORT)}`,
    FAIRWAY_API_HOST: '0.0.0.0',
    FAIRWAY_API_PORT: String(API_PORT),
    // Below the mount, whose own mode belongs to the kubelet.
    FAIRWAY_DATA_DIR: '/var/lib/fairway/data',
    FAIRWAY_HEALTH_PORT: String(HEALTH_PORT),
    FAIRWAY_HOME_IMAGE: image,
    FAIRWAY_HOME_OWNER: owner,
    FAIRWAY_HOME_TARGET: target,
    FAIRWAY_HOST_NAMES: [...names.map((end) => `${PLATFORM}${end}`), ...hosts].join(','),
    FAIRWAY_NAMESPACE: namespace,
    FAIRWAY_SECRETS_KEY_FILE: `${KEYS_FOLDER}/${KEY_FILES.serverKey}`,
    NODE_COMPILE_CACHE: '/tmp/compile',
    ...packages.env,
  }
}
