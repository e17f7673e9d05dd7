import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import type { BuildPlan } from '../model/build-plan.ts'
import { FairwayError } from '../model/errors.ts'
import { baseLayer } from './base-layer.ts'
import type { BakedApp, PlacedLayer, SourceJob } from './bake-job.ts'
import { linuxProgram } from './elf-program.ts'
import { libraryPackage } from './library-package.ts'
import { ownLayer } from './own-layer.ts'
import type { ElfFacts } from '../debian/elf-facts.ts'

type BinaryJob = SourceJob<BuildPlan & { readonly kind: 'binary' }>

/** A program and its files on the smallest base: certificates and time zones, and Debian's libraries where it needs some. */
export async function bakeBinary(job: BinaryJob): Promise<BakedApp> {
  const { binary } = job.plan
  const entry = job.tree.file(binary)
  if (entry === null) {
    throw new FairwayError(
      'INVALID_SOURCE',
      `there is no file ${JSON.stringify(binary)} in the source`,
    )
  }
  const base =
    job.request.flavour === 'image' ? [await binaryBase(job, job.tree.contentPath(entry))] : []
  // The program itself is executable whatever mode it was sent with.
  const files = await ownLayer(
    job,
    job.tree.entries.map((one) => (one === entry ? { ...entry, executable: true } : one)),
  )
  return { layers: [...base, files], command: commandOf(job), env: {} }
}

async function binaryBase(job: BinaryJob, file: string): Promise<PlacedLayer> {
  const facts = await linuxProgram(file, job.plan.binary, job.kitchen.architecture)
  if (facts.interpreter === null && facts.needed.length === 0) {
    return baseLayer(job, {
      name: 'static',
      whole: [],
      libraries: [],
      roots: () => Promise.resolve([]),
    })
  }
  const needed = [...new Set([...facts.needed, basename(facts.interpreter ?? '')])].filter(
    (name) => name !== '',
  )
  const libraries = packagesFor(job, facts, needed)
  const hash = createHash('sha256').update(needed.sort().join('\n')).digest('hex').slice(0, 12)
  return baseLayer(job, {
    name: `libraries-${hash}`,
    whole: [],
    libraries,
    roots: () => Promise.resolve([{ path: `/app/${job.plan.binary}`, file }]),
    rootsKey: needed.join(','),
  })
}

/** @throws FairwayError BAKE_FAILED naming the libraries that no known package has */
function packagesFor(
  job: BinaryJob,
  facts: ElfFacts,
  needed: readonly string[],
): readonly string[] {
  if (facts.interpreter?.includes('musl') === true) {
    throw new FairwayError(
      'BAKE_FAILED',
      `${job.plan.binary} is linked to musl's loader ${facts.interpreter}, which Debian does not have`,
      {
        hint: 'Link it statically, or against glibc.',
      },
    )
  }
  const shipped = new Set(job.tree.entries.map(({ path }) => basename(path)))
  const missing = needed.filter((name) => libraryPackage(name) === null && !shipped.has(name))
  if (missing.length > 0) {
    throw new FairwayError(
      'BAKE_FAILED',
      `${job.plan.binary} needs ${missing.join(', ')}, which no known Debian package has`,
      {
        hint: 'Link it statically, put the library beside it with an $ORIGIN run path, or deploy an image.',
      },
    )
  }
  const packages = needed.map((name) => libraryPackage(name)).filter((name) => name !== null)
  return [...new Set(['libc6', ...packages])].sort()
}

function commandOf(job: BinaryJob): readonly string[] {
  const { binary, command } = job.plan
  const [program = binary, ...rest] = command
  const own = program === binary || program === `./${binary}` || program === basename(binary)
  return [own ? `./${binary.replace(/^\.\//, '')}` : program, ...rest]
}
