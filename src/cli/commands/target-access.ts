import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { FairwayError } from '../../model/errors.ts'
import { ACCESS_WAYS, type AccessWay } from '../../model/kube-access.ts'
import type { Context } from '../context.ts'

/** `fairway target access --new-key`: one key signs for all clusters. */
export async function replaceAccessKey(context: Context): Promise<number> {
  const { out } = context
  await context.client().replaceAccessKey()
  if (out.json) out.object({ key: 'replaced' })
  else
    out.note(
      'Tokens for clusters are signed with a new key. None of before is taken by this server, nor within ten seconds by API servers that check them themselves (--way issuer): they have seen the new key.',
    )
  return 0
}

/** `fairway target access NAME [--way WAY] [--files DIR]`. */
export async function targetAccess(context: Context, name: string): Promise<number> {
  const { args, out, io } = context
  const [given, folder] = [args.value('way'), args.value('files')]
  if (given === undefined && folder === undefined)
    throw new FairwayError('INVALID_REQUEST', 'target access needs --way, --files or both')
  const client = context.client()
  const way = given === undefined ? null : wayOf(given)
  if (way !== null) await client.setClusterAccess(name, { way })
  if (folder === undefined) {
    if (out.json) out.object({ target: name, way })
    else out.note(`People get into ${name} by ${way ?? 'the same way'}.${NEXT[way ?? 'off']}`)
    return 0
  }
  const { files, flags } = await client.clusterAccessFiles(name)
  const { writeAtomically } = await import('../../lib/atomic-file.ts')
  const into = resolve(io.cwd, folder)
  mkdirSync(into, { recursive: true, mode: 0o700 })
  for (const [file, text] of Object.entries(files)) {
    if (!/^[a-z]+\.yaml$/.test(file)) throw new FairwayError('INTERNAL', 'unexpected file name')
    await writeAtomically(join(into, file), text, { mode: 0o600 })
  }
  const found = flags.map((flag) => withFolder(flag, { files, into }))
  if (out.json) out.object({ target: name, folder: into, files: Object.keys(files), flags: found })
  else {
    out.note(`Wrote ${Object.keys(files).join(', ')} to ${into}. Start kube-apiserver with:`)
    for (const flag of found) out.line(flag)
  }
  return 0
}

/** An API server looks for a bare name wherever it was started. */
function withFolder(
  flag: string,
  { files, into }: { readonly files: object; readonly into: string },
): string {
  const [name = '', value = ''] = flag.split('=')
  return Object.hasOwn(files, value) ? `${name}=${join(into, value)}` : flag
}

const FILES = ' Write what its API server needs with --files DIR.'
const NEXT: Readonly<Record<AccessWay, string>> = {
  proxy: '',
  issuer: FILES,
  webhook: FILES,
  off: '',
}

function wayOf(text: string): AccessWay {
  const way = ACCESS_WAYS.find((one) => one === text)
  if (way !== undefined) return way
  throw new FairwayError('INVALID_REQUEST', `--way must be one of ${ACCESS_WAYS.join(', ')}`)
}
