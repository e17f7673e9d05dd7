import type { AppReader } from '../model/app-reader.ts'
import { FairwayError } from '../model/errors.ts'
import type { Recognition } from '../model/build-plan.ts'
import type { SourceTree } from '../model/source.ts'
import { diffSpecs } from './diff-specs.ts'
import { recognise, type RecogniseOptions } from './recognise.ts'
import { laterKeys, recognitionHints, resolveAppFile } from './resolve-app-file.ts'
import { viewOf } from './source-view.ts'

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
      return {
        spec: image === null ? spec : { ...spec, build: { ...spec.build, image } },
        recognition,
        warnings: [...warnings, ...(recognition.notes ?? [])],
        laterKeys: later.map(({ path, line, column }) => ({
          path,
          at: `${appFile?.path ?? ''}:${line}:${column}`,
        })),
      }
    },
    diff: diffSpecs,
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
