import { dirname, join, relative, resolve, sep } from 'node:path'
import { readIfExists } from '../lib/atomic-file.ts'
import { creationRule, ruleNameOf, type CreationRule } from '../sops/creation-rules.ts'
import { typeOfId } from '../sops/keys/key-names.ts'
import { named } from './failure.ts'

const RULES = '.sops.yaml'

/** A recipient as a line of a rule of `.sops.yaml`. @throws FairwayError SECRETS_INVALID */
export async function ruleLine(recipient: string): Promise<string> {
  return `${await named(RULES, () => ruleNameOf(typeOfId(recipient)))}: ${recipient}`
}

/** The rule of the nearest `.sops.yaml` upwards that is for this file; null where there is none. @throws FairwayError SECRETS_INVALID */
export async function ruleFor(path: string): Promise<CreationRule | null> {
  let folder = dirname(resolve(path))
  for (;;) {
    const file = join(folder, RULES)
    const text = await readIfExists(file)
    if (text !== null) {
      const inside = relative(folder, resolve(path)).split(sep).join('/')
      return named(file, () => creationRule(text, inside))
    }
    const parent = dirname(folder)
    if (parent === folder) return null
    folder = parent
  }
}
