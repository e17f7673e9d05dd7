import * as z from 'zod'
import { FairwayError } from '../model/errors.ts'
import type { SourceView } from './source-view.ts'

const names = z.record(z.string(), z.unknown()).catch({})
const packageSchema = z.object({
  main: z.string().optional().catch(undefined),
  type: z.string().optional().catch(undefined),
  scripts: z.record(z.string(), z.string()).catch({}),
  dependencies: names,
  optionalDependencies: names,
  engines: z.object({ node: z.string().optional().catch(undefined) }).catch({}),
})

export type PackageJson = z.output<typeof packageSchema>

/** Null where there is none. @throws FairwayError UNRECOGNISED_SOURCE where it is no JSON object */
export async function readPackageJson(view: SourceView): Promise<PackageJson | null> {
  const text = await view.readText('package.json')
  if (text === null) return null
  let data: unknown
  try {
    data = JSON.parse(text.replace(/^\ufeff/, ''))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new FairwayError('UNRECOGNISED_SOURCE', `package.json is not valid JSON: ${why}`, {
      cause,
    })
  }
  const parsed = packageSchema.safeParse(data)
  if (parsed.success) return parsed.data
  throw new FairwayError('UNRECOGNISED_SOURCE', 'package.json is not a JSON object')
}

const lockSchema = z.object({
  packages: z.record(
    z.string(),
    z.object({
      bin: z
        .union([z.string(), z.record(z.string(), z.string())])
        .optional()
        .catch(undefined),
    }),
  ),
})

/**
 * File of a dependency's program, as package-lock.json (version 2 and 3) knows it: 'verdaccio' is 'node_modules/verdaccio/bin/verdaccio'.
 * Null where the lockfile does not say.
 */
export function programFile(program: string, lockfile: string | null): string | null {
  if (lockfile === null) return null
  let data: unknown
  try {
    data = JSON.parse(lockfile)
  } catch {
    // The install will say what is wrong with it, in the words of the package manager.
    return null
  }
  const parsed = lockSchema.safeParse(data)
  if (!parsed.success) return null
  for (const [folder, { bin }] of Object.entries(parsed.data.packages)) {
    if (bin === undefined || !/^node_modules\/(?:@[^/]+\/)?[^/]+$/.test(folder)) continue
    const own = folder.split('/').at(-1)
    const file = typeof bin === 'string' ? (own === program ? bin : undefined) : bin[program]
    if (file !== undefined) return `${folder}/${file.replace(/^\.\//, '')}`
  }
  return null
}

const LTS: Readonly<Record<string, number>> = {
  fermium: 14,
  gallium: 16,
  hydrogen: 18,
  iron: 20,
  jod: 22,
  krypton: 24,
}

/** Newest long-term version; what a range like >=18 means. */
const DEFAULT_NODE = 24

/**
 * Major version that a range asks for: '^20.1', '20.x', 'v20.11.0', '>=18 <21' are 20, 20, 20, 20; null where the default does
 * ('>=18', '*', 'lts/*').
 */
export function nodeMajor(range: string): number | null {
  const alternatives = range.split('||').map((part) => alternativeMajor(part.trim().toLowerCase()))
  if (alternatives.includes(null)) return null
  return Math.max(...alternatives.map((major) => major ?? 0))
}

function alternativeMajor(text: string): number | null {
  const codename = /^lts\/(\w+)$/.exec(text)?.[1]
  if (codename !== undefined) return LTS[codename] ?? null
  const upper = /<(=?)\s*v?(\d+)(?:\.(\d+))?/.exec(text)
  if (upper !== null) {
    const major = Number(upper[2])
    const below = upper[1] === '' && Number(upper[3] ?? 0) === 0 ? major - 1 : major
    return below >= DEFAULT_NODE ? null : below
  }
  const hyphen = /\s-\s+v?(\d+)/.exec(text)
  if (hyphen !== null) return Math.min(Number(hyphen[1]), DEFAULT_NODE)
  const lower = /^>=?\s*v?(\d+)/.exec(text)
  if (lower !== null) return Number(lower[1]) > DEFAULT_NODE ? Number(lower[1]) : null
  const plain = /^[=^~]*\s*v?(\d+)/.exec(text)
  return plain === null ? null : Number(plain[1])
}
