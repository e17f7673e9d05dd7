import { lstatSync, statSync, type Stats } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { isMissing } from '../lib/missing-file.ts'
import type { DeployBody } from '../contract/source.ts'
import { FairwayError } from '../model/errors.ts'
import { parseAppName, type AppRef } from '../model/names.ts'
import type { SecretDocument } from '../model/secrets.ts'
import {
  APP_FILE,
  imageName,
  inferredName,
  nameInAppFile,
  readAppFile,
  type AppFile,
} from './app-name.ts'
import type { OptionSpec } from './command.ts'
import type { Context } from './context.ts'
import { pack, type Pack } from './pack/pack.ts'
import { bytesText } from './quantity.ts'
import { secretDocuments } from './secret-documents.ts'
import type { SendProgress } from './send-source.ts'
import { stepLine } from './step-line.ts'
import { cacheFolder } from './user-config.ts'

/** Options of the commands that take something to deploy. */
export const INPUT_OPTIONS: readonly OptionSpec[] = [
  { name: 'image', value: 'REF', summary: 'deploy this image instead of a source' },
  { name: 'file', short: 'f', value: 'FILE', summary: 'app file (default: fairway.yaml)' },
]

/** What is to be deployed where, packed. `pack` is null where an image is named. */
export interface DeployInput {
  readonly ref: AppRef
  readonly pack: Pack | null
  readonly appFile: DeployBody['appFile']
  readonly image: string | null
  readonly secrets: readonly SecretDocument[]
}

/**
 * Reads what the command line names: a folder, an artifact or an image reference, and the app file that goes with it.
 * @throws FairwayError INVALID_SOURCE where there is nothing of that name, INVALID_REQUEST, INVALID_NAME
 */
export async function deployInput(context: Context): Promise<DeployInput> {
  const { args, io } = context
  const named = args.positionals[0]
  const image = args.value('image') ?? (named === undefined ? null : imageReference(io.cwd, named))
  if (image !== null) {
    if (args.value('image') !== undefined && named !== undefined) {
      throw new FairwayError('INVALID_REQUEST', `either --image or ${named}, not both`)
    }
    const appFile = appFileOf(context, io.cwd)
    const ref = await refOf(context, appFile, () => imageName(image))
    const secrets = await secretDocuments(appFile, appFolder(context, io.cwd), ref)
    return { ref, pack: null, appFile, image, secrets }
  }
  const path = resolve(io.cwd, named ?? '.')
  const isFolder = statOf(path, named ?? '.').isDirectory()
  // An artifact such as target/app.jar belongs to the project in which the command runs.
  const appFile = appFileOf(context, isFolder ? path : io.cwd)
  const ref = await refOf(context, appFile, () => inferredName(basename(path)))
  const secrets = await secretDocuments(appFile, appFolder(context, isFolder ? path : io.cwd), ref)
  const except = secrets.map((document) => document.path)
  return {
    ref,
    pack: packed(context, path, { isFolder, appFile, except }),
    appFile,
    image: null,
    secrets,
  }
}

/** Shows how an upload goes. */
export function sendProgress({ out, io }: Context): SendProgress {
  return {
    sending: (sent, total) => {
      out.status(`  send      ${bytesText(sent)} of ${bytesText(total)}`)
    },
    sent: (files, bytes, startedAt) => {
      const ms = io.clock.now() - startedAt
      out.note(stepLine(out, 'done', 'send', ms, `${counted(files, 'file')}, ${bytesText(bytes)}`))
    },
  }
}

/** Where the app file lies: the files that it names are beside it. */
function appFolder({ args, io }: Context, folder: string): string {
  const named = args.value('file')
  return named === undefined ? folder : dirname(resolve(io.cwd, named))
}

interface Packing {
  readonly isFolder: boolean
  readonly appFile: AppFile | null
  /** Encrypted files travel on their own, and into no image. */
  readonly except: readonly string[]
}

function packed(context: Context, path: string, packing: Packing): Pack {
  const { isFolder, appFile } = packing
  const { io, out } = context
  const startedAt = context.now
  const except = new Set([APP_FILE, ...(appFile === null ? [] : [appFile.path]), ...packing.except])
  const cacheDir = cacheFolder(io)
  const result = pack({ path, isFolder, cacheDir, now: startedAt, except })
  if (result.entries.length === 0) {
    throw new FairwayError('INVALID_SOURCE', `${path} is empty`, {
      hint:
        result.ignoreFile === null
          ? 'Name the folder or the artifact to deploy.'
          : `Everything in it is left out by ${result.ignoreFile}.`,
    })
  }
  const ignored = result.ignoreFile === null ? '' : ` (${result.ignoreFile})`
  const files = counted(result.entries.length, 'file')
  const summary = `${files}, ${bytesText(result.bytes)}${ignored}`
  out.note(stepLine(out, 'done', 'pack', context.now - startedAt, summary))
  for (const line of leftOut(result)) out.note(out.paint('dim', `           ${line}`))
  return result
}

function leftOut({ secrets, special }: Pack): string[] {
  const some = (paths: readonly string[]): string =>
    paths.length > 4
      ? `${paths.slice(0, 3).join(', ')} and ${paths.length - 3} more`
      : paths.join(', ')
  return [
    ...(secrets.length === 0 ? [] : [`secrets stay here: ${some(secrets)}`]),
    ...(special.length === 0 ? [] : [`left out, not a file: ${some(special)}`]),
  ]
}

function appFileOf({ args, io }: Context, folder: string): AppFile | null {
  const named = args.value('file')
  if (named === undefined) return readAppFile(folder)
  const path = resolve(io.cwd, named)
  const file = readAppFile(dirname(path), basename(path))
  if (file === null) throw new FairwayError('INVALID_SOURCE', `there is no file ${named}`)
  const inside = relative(folder, path)
  return { path: inside.startsWith('..') ? basename(path) : inside, text: file.text }
}

async function refOf(
  context: Context,
  appFile: AppFile | null,
  infer: () => string,
): Promise<AppRef> {
  const named =
    context.args.value('app') ?? (appFile === null ? null : await nameInAppFile(appFile))
  return { app: parseAppName(named ?? infer()), environment: context.environment() }
}

/** Null where the word names something on disk or cannot be an image reference. */
function imageReference(cwd: string, word: string): string | null {
  try {
    lstatSync(join(cwd === '/' ? '' : cwd, word))
    return null
  } catch (error) {
    if (!isMissing(error)) return null
  }
  const reference =
    /^[a-z0-9][a-z0-9._-]*(?::\d+)?(?:\/[a-z0-9._/-]+)?(?::[A-Za-z0-9_][\w.-]*)?(?:@sha256:[0-9a-f]{64})?$/
  // A plain word is more likely a mistyped folder than an image on some default registry.
  return /[/:@]/.test(word) && !/^[./~]/.test(word) && reference.test(word) && !looksLikeFile(word)
    ? word
    : null
}

function looksLikeFile(word: string): boolean {
  return /\.(?:jar|war|tar|tgz|zip|gz|ya?ml|js|ts|py)$/.test(word)
}

function statOf(path: string, named: string): Stats {
  try {
    return statSync(path)
  } catch (cause) {
    if (!isMissing(cause)) throw cause
    throw new FairwayError('INVALID_SOURCE', `there is no file or folder ${named}`, {
      cause,
      hint: 'Name a folder, an artifact such as target/app.jar, or an image such as registry.example/team/app:1.2.',
    })
  }
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
