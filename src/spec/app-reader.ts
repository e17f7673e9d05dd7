import type { AppSpec, ProcessSpec } from '../model/app-spec.ts'
import type { AppReader } from '../model/app-reader.ts'
import { FairwayError } from '../model/errors.ts'
import type { Recognition } from '../model/build-plan.ts'
import type { SourceTree } from '../model/source.ts'
import { diffSpecs } from './diff-specs.ts'
import { nodeCommand } from './recognise-node.ts'
import { recognise, type RecogniseOptions } from './recognise.ts'
import { laterKeys, positionOf, recognitionHints, resolveAppFile } from './resolve-app-file.ts'
import { below, viewOf, type SourceView } from './source-view.ts'

/** The parts of this folder as the control plane uses them; keys of later work are listed, not refused: the caller names the engine. */
export function createAppReader(): AppReader {
  return {
    async read(ref, { appFile, tree, image }) {
      const { context, kind, command, image: fileImage } = recognitionHints(appFile, ref)
      const recognition = await recogniseInput({
        tree,
        image: image ?? fileImage,
        options: { context, kind, command },
      })
      const { spec, warnings } = resolveAppFile({ file: appFile, ref, recognition, engine: null })
      const later = appFile === null ? [] : laterKeys(appFile, ref)
      const runnable =
        recognition.plan.kind === 'node' && tree !== null
          ? await withNodeCommands(spec, below(viewOf(tree), context))
          : spec
      return {
        spec: image === null ? runnable : { ...runnable, build: { ...runnable.build, image } },
        recognition,
        warnings: [...warnings, ...(recognition.notes ?? [])],
        positionOf: (key) => (appFile === null ? null : positionOf(appFile, ref, key)),
        laterKeys: later.map(({ path, line, column }) => ({
          path,
          at: `${appFile?.path ?? ''}:${line}:${column}`,
        })),
      }
    },
    diff: diffSpecs,
  }
}

/** Commands of the app file get the same treatment as a start script: `npm run x` and programs of dependencies become node and a file. */
async function withNodeCommands(spec: AppSpec, view: SourceView): Promise<AppSpec> {
  const processes = await Promise.all(
    Object.entries<ProcessSpec>(spec.processes).map(async ([name, entry]) => {
      if (entry.command === null) return [name, entry] as const
      const { argv, env } = await nodeCommand(entry.command, view)
      return [name, { ...entry, command: argv, env: { ...env, ...entry.env } }] as const
    }),
  )
  const { release } = spec
  const command = release === null ? null : await nodeCommand(release.command, view)
  return {
    ...spec,
    release: release === null || command === null ? null : { ...release, command: command.argv },
    processes: Object.fromEntries(processes),
  }
}

async function recogniseInput(input: {
  readonly tree: SourceTree | null
  readonly image: string | null
  readonly options: RecogniseOptions
}): Promise<Recognition> {
  const { tree, image, options } = input
  if (image !== null)
    return { plan: { kind: 'image', reference: image }, evidence: `the image ${image}` }
  if (tree === null)
    throw new FairwayError('UNRECOGNISED_SOURCE', 'there is neither a source nor an image')
  return recognise(viewOf(tree), options)
}
