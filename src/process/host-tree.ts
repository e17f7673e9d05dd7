import { existsSync } from 'node:fs'
import { join, posix } from 'node:path'
import type { InstanceSpec } from '../model/instance.ts'

/** A command as it was meant inside an image, moved to where the image's files lie on this host. */
export interface HostCommand {
  readonly argv: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/**
 * Absolute paths that exist in the image's files are replaced by the host's path of the file; everything else stays. PATH gets
 * the host's folders after the image's.
 * @param root folder with the unpacked image, shared by its instances and not written by them, as in a container
 */
export function hostCommand(
  spec: InstanceSpec,
  root: string,
  options: { readonly path: string; readonly env: Readonly<Record<string, string>> },
): HostCommand {
  const { image } = spec
  const env = { ...image.env, ...spec.env }
  const translated = Object.fromEntries(
    Object.entries(env).map(([name, value]) => [name, translateList(value, root)]),
  )
  const own = (env['PATH'] ?? '').split(':').filter((path) => isInside(path, root))
  const path = [...own.map((entry) => join(root, entry)), options.path].join(':')
  return {
    argv: spec.argv.map((word) => translate(word, root)),
    cwd: join(root, posix.normalize(`/${image.workingDir}`)),
    env: { ...translated, ...options.env, PATH: path },
  }
}

function translateList(value: string, root: string): string {
  const parts = value.split(':')
  return parts.every((part) => isInside(part, root))
    ? parts.map((part) => translate(part, root)).join(':')
    : value
}

function translate(word: string, root: string): string {
  return isInside(word, root) ? join(root, word) : word
}

function isInside(path: string, root: string): boolean {
  return path.startsWith('/') && path.length > 1 && existsSync(join(root, posix.normalize(path)))
}
