import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { isMissing } from '../lib/missing-file.ts'
import { FairwayError } from '../model/errors.ts'
import { isName } from '../model/names.ts'

export const APP_FILE = 'fairway.yaml'

export interface AppFile {
  readonly path: string
  readonly text: string
}

/** The app file in `folder`; null where there is none. */
export function readAppFile(folder: string, name: string = APP_FILE): AppFile | null {
  try {
    return { path: name, text: readFileSync(join(folder, name), 'utf8') }
  } catch (error) {
    if (isMissing(error)) return null
    throw error
  }
}

/**
 * The `name` of an app file; null where it says none. The YAML library is loaded only where the line is not of the plain kind,
 * as it costs more than the rest of a command's start.
 * @throws FairwayError INVALID_APP_FILE
 */
export async function nameInAppFile(file: AppFile): Promise<string | null> {
  const plain = /^name:[ \t]*(["']?)([a-z][a-z0-9-]*)\1[ \t]*(?:#.*)?\r?$/m.exec(file.text)
  if (plain?.[2] !== undefined && !/^(?:---|%)/m.test(file.text)) return plain[2]
  if (!/(?:^|[\s{,"'])name["']?\s*:/m.test(file.text)) return null
  const { readAppName } = await import('../spec/resolve-app-file.ts')
  return readAppName(file)
}

/**
 * A name for what is deployed: of a folder its own, of an artifact its file name without version and endings, of an image
 * reference its last part.
 * @throws FairwayError INVALID_NAME where nothing usable is left
 */
export function inferredName(what: string): string {
  const name = slug(withoutVersion(basename(what)))
  if (isName(name)) return name
  throw new FairwayError('INVALID_NAME', `no app name can be made of ${JSON.stringify(what)}`, {
    hint: 'Say it with --app NAME.',
  })
}

/** Name of an image reference: 'registry.example/team/shop:1.2@sha256:…' is 'shop'. */
export function imageName(reference: string): string {
  return inferredName((reference.split('@')[0] ?? '').replace(/:[^:/]*$/, ''))
}

/** Lower-case letters, digits and single dashes, starting with a letter, at most 40. */
export function slug(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f]/g, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 40)
    .replace(/-+$/, '')
}

function withoutVersion(name: string): string {
  return name
    .replace(/\.(?:jar|war|zip|tgz|tar(?:\.(?:gz|zst|xz|bz2))?|exe|bin)$/i, '')
    .replace(/[-_.]v?\d+(?:\.\d+)*(?:[-.+](?:SNAPSHOT|RELEASE|FINAL|alpha|beta|rc)[-.\w]*)?$/i, '')
}
