import { FairwayError } from '../model/errors.ts'

/** The part of package.json that a bake reads. */
export interface PackageManifest {
  readonly scripts: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  /** Fields that decide what an install does, as they stand in the file. */
  readonly installInputs: Readonly<Record<string, unknown>>
  readonly hasWorkspaces: boolean
}

/** @throws FairwayError INVALID_SOURCE for a file that is not a JSON object */
export function parseManifest(text: string): PackageManifest {
  const value = parseObject(text)
  const scripts = strings(value['scripts'])
  const lifecycle = INSTALL_SCRIPTS.map((name) => scripts[name] ?? null)
  return {
    scripts,
    dependencies: strings(value['dependencies']),
    installInputs: {
      ...Object.fromEntries(INSTALL_FIELDS.map((name) => [name, value[name] ?? null])),
      lifecycle,
    },
    hasWorkspaces: value['workspaces'] !== undefined,
  }
}

/** Scripts of the app itself that its package manager runs at install. */
export const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall', 'prepare'] as const

const INSTALL_FIELDS = [
  'dependencies',
  'devDependencies',
  'optionalDependencies',
  'peerDependencies',
  'bundleDependencies',
  'overrides',
  'resolutions',
  'workspaces',
  'pnpm',
  'engines',
  'packageManager',
] as const

function parseObject(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return Object.fromEntries(Object.entries(value))
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'unreadable'
    throw new FairwayError('INVALID_SOURCE', `package.json is not JSON: ${why}`, { cause })
  }
  throw new FairwayError('INVALID_SOURCE', 'package.json is not a JSON object')
}

function strings(value: unknown): Record<string, string> {
  const found: Record<string, string> = {}
  if (typeof value !== 'object' || value === null) return found
  for (const [name, text] of Object.entries(value)) if (typeof text === 'string') found[name] = text
  return found
}
