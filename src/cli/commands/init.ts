import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename, join, relative, resolve } from 'node:path'
import { FairwayError } from '../../model/errors.ts'
import type { Digest } from '../../model/release.ts'
import type { SourceTree } from '../../model/source.ts'
import { APP_FILE, inferredName } from '../app-name.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { pack, type Pack } from '../pack/pack.ts'
import { cacheFolder } from '../user-config.ts'

export const init: Command = {
  name: 'init',
  summary: 'write the fairway.yaml that a deploy would work with',
  usage: '[PATH]',
  details: [
    'What was recognised is written down with the defaults, ready to be changed. A recognisable app needs no file; it deploys the same with and without.',
  ],
  examples: ['fairway init', 'fairway init services/api --app api', 'fairway init --print'],
  options: [
    { name: 'print', summary: 'print the file instead of writing it' },
    { name: 'force', summary: 'overwrite a file that is there' },
  ],
  positionals: { min: 0, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, io, out } = context
  const folder = resolve(io.cwd, args.positionals[0] ?? '.')
  const file = join(folder, APP_FILE)
  const print = args.flag('print')
  if (!isFolder(folder)) throw new FairwayError('INVALID_SOURCE', `${folder} is not a folder`)
  if (!print && !args.flag('force') && existsSync(file)) {
    throw new FairwayError('CONFLICT', `${shown(io.cwd, file)} exists`, {
      hint: '--force overwrites it, --print shows what would be written.',
    })
  }
  const name = args.value('app') ?? inferredName(basename(folder))
  const packed = pack({
    path: folder,
    isFolder: true,
    cacheDir: cacheFolder(io),
    now: context.now,
    except: new Set([APP_FILE]),
  })
  const { recognise } = await import('../../spec/recognise.ts')
  const { viewOf } = await import('../../spec/source-view.ts')
  const { writeAppFile } = await import('../../spec/write-app-file.ts')
  const found = await recognise(viewOf(treeOf(packed)))
  const text = writeAppFile(found, name)
  if (!print) writeFileSync(file, text)
  if (out.json) {
    const { plan, evidence, notes = [] } = found
    out.object({ file: print ? null : file, kind: plan.kind, evidence, notes, text })
    return 0
  }
  if (print) {
    out.line(text.trimEnd())
    return 0
  }
  out.note(`${found.plan.kind}: ${found.evidence}`)
  for (const note of found.notes ?? []) out.note(`note: ${note}`)
  out.line(`wrote ${shown(io.cwd, file)}`)
  return 0
}

function treeOf({ entries, contents }: Pack): SourceTree {
  const contentPath = (digest: Digest): string => {
    const content = contents.get(digest)
    if (content === undefined) throw new RangeError(`no content ${digest}`)
    return content.file
  }
  return {
    entries,
    contentPath,
    readText: (path, limit = 1 << 20) => {
      const entry = entries.find((each) => each.path === path)
      if (entry?.type !== 'file') return Promise.resolve(null)
      const bytes = readFileSync(contentPath(entry.digest)).subarray(0, limit)
      return Promise.resolve(bytes.toString('utf8'))
    },
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

function shown(cwd: string, file: string): string {
  const path = relative(cwd, file)
  return path.startsWith('..') ? file : path
}
