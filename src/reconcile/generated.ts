import type { AppSpec } from '../model/app-spec.ts'
import { FairwayError } from '../model/errors.ts'
import type { AppRef } from '../model/names.ts'
import type { Release } from '../model/release.ts'
import type { GeneratedReference, GeneratedSecrets, SecretReference } from '../model/secrets.ts'

/** The generated values that a release asks for, one per name, by name. Where several ask for the same one, the longest counts. */
export function generatedOf(spec: AppSpec): readonly GeneratedReference[] {
  const all: readonly SecretReference[] = [
    ...Object.values(spec.envFrom ?? {}),
    ...Object.values(spec.files ?? {}),
    ...Object.values(spec.processes).flatMap(({ envFrom = {} }) => Object.values(envFrom)),
  ]
  const found = new Map<string, GeneratedReference>()
  for (const reference of all) {
    if (reference.kind !== 'generated') continue
    const { kind, name, bytes } = reference
    const other = found.get(name)?.bytes ?? 0
    found.set(name, { kind, name, bytes: Math.max(bytes, other) })
  }
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** New values for those of a release; no names = all. Returns their names. @throws FairwayError NOT_FOUND, SECRETS_CLOSED */
export async function rotateChosen(
  ref: AppRef,
  { spec }: Pick<Release, 'spec'>,
  names: readonly string[],
  generated: GeneratedSecrets,
): Promise<readonly string[]> {
  const chosen = chosenOf(spec, names)
  await generated.rotate(ref, chosen)
  return chosen.map(({ name }) => name)
}

function chosenOf(spec: AppSpec, names: readonly string[]): readonly GeneratedReference[] {
  const all = generatedOf(spec)
  const unknown = names.find((name) => !all.some((each) => each.name === name))
  if (unknown === undefined && all.length > 0)
    return names.length === 0 ? all : all.filter(({ name }) => names.includes(name))
  const known = all.length === 0 ? 'none' : all.map(({ name }) => name).join(', ')
  throw new FairwayError(
    'NOT_FOUND',
    `the release that serves has no generated value${unknown === undefined ? '' : ` ${unknown}`}; it has ${known}`,
    { hint: 'Values are generated where the app file says { generate: BYTES }.' },
  )
}
