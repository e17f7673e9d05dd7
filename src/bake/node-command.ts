import { FairwayError } from '../model/errors.ts'
import type { PackageManifest } from './package-manifest.ts'

/**
 * The start command as it runs in an image that has node and nothing else: no shell, no npm, no /usr/bin/env. `npm start` and
 * `npm run x` become the script they name, a program of a dependency becomes `node node_modules/.bin/<program>`.
 * @throws FairwayError BAKE_FAILED where that is not possible
 */
export function nodeCommand(
  command: readonly string[],
  manifest: PackageManifest | null,
): readonly string[] {
  const [program = '', ...rest] = command
  if (program === 'node') return command
  if (/^(?:npm|yarn|pnpm)$/.test(program))
    return nodeCommand(scriptOf(program, rest, manifest), null)
  if (/\.[cm]?[jt]s$/.test(program)) return ['node', program, ...rest]
  if (program === 'npx') return ['node', `node_modules/.bin/${rest[0] ?? ''}`, ...rest.slice(1)]
  if (program.includes('/')) return command
  return ['node', `node_modules/.bin/${program}`, ...rest]
}

function scriptOf(
  program: string,
  rest: readonly string[],
  manifest: PackageManifest | null,
): readonly string[] {
  const words = rest.filter((word) => word !== '--')
  const [first = '', ...others] = words[0] === 'run' ? words.slice(1) : words
  const script = manifest?.scripts[first]
  if (script === undefined) {
    throw new FairwayError(
      'BAKE_FAILED',
      `the start command runs ${program} ${rest.join(' ')}, and package.json has no script ${JSON.stringify(first)}`,
    )
  }
  if (/[|&;<>()$`\\"'*?[\]#~=%\n]/.test(script)) {
    throw new FairwayError(
      'BAKE_FAILED',
      `the start script ${JSON.stringify(script)} needs a shell, and the image has none`,
      {
        hint: 'Give `processes.web.command` in fairway.yaml as a list: [node, server.js].',
      },
    )
  }
  return [...script.trim().split(/\s+/), ...others]
}
