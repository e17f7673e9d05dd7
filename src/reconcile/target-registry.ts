import type { TargetRegistry } from '../model/targets.ts'

/** A target's registry as the settings of its record. */
export function registrySettings(
  registry: TargetRegistry | null,
): Readonly<Record<string, string>> {
  if (registry === null) return {}
  return {
    registry: registry.name,
    registryPush: String(registry.push),
    ...(registry.endpoint === undefined ? {} : { registryEndpoint: registry.endpoint }),
    ...(registry.user === null ? {} : { registryUser: registry.user }),
    ...(registry.password === null ? {} : { registryPassword: registry.password }),
    ...(registry.pull == null
      ? {}
      : { pullUser: registry.pull.user, pullPassword: registry.pull.password }),
  }
}

/** Records of an older version have none. */
function pullOf(settings: Readonly<Record<string, string>>): Pick<TargetRegistry, 'pull'> {
  const { pullUser: user, pullPassword: password } = settings
  return user === undefined || password === undefined ? {} : { pull: { user, password } }
}

/** The way back; null where the record names none. */
export function registryOf(settings: Readonly<Record<string, string>>): TargetRegistry | null {
  const name = settings['registry']
  if (name === undefined) return null
  return {
    name,
    push: settings['registryPush'] === 'true',
    ...(settings['registryEndpoint'] === undefined
      ? {}
      : { endpoint: settings['registryEndpoint'] }),
    user: settings['registryUser'] ?? null,
    password: settings['registryPassword'] ?? null,
    ...pullOf(settings),
  }
}
