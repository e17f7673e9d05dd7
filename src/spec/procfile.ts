import { isName } from '../model/names.ts'
import { FairwayError } from '../model/errors.ts'
import type { SourceView } from './source-view.ts'
import { splitCommand } from './split-command.ts'

export interface Procfile {
  readonly web: readonly string[] | null
  /** The other processes except `release`. */
  readonly workers: Readonly<Record<string, readonly string[]>>
  readonly notes: readonly string[]
}

/** Heroku's `name: command` lines. Null where there is no Procfile. @throws FairwayError UNRECOGNISED_SOURCE for a line that cannot be honoured */
export async function readProcfile(view: SourceView): Promise<Procfile | null> {
  const text = await view.readText('Procfile')
  if (text === null) return null
  let web: readonly string[] | null = null
  const workers: Record<string, readonly string[]> = {}
  const notes: string[] = []
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue
    const { name, command } = parseLine(line, index + 1)
    if (name === 'web') web = command
    else if (name === 'release')
      notes.push(
        'Procfile has a release command that is not run: give it as `release` in fairway.yaml',
      )
    else workers[name] = command
  }
  return { web, workers, notes }
}

function parseLine(line: string, number: number): { name: string; command: readonly string[] } {
  const match = /^\s*([A-Za-z0-9_-]+)\s*:\s*(.+?)\s*$/.exec(line)
  const name = match?.[1]?.toLowerCase().replaceAll('_', '-') ?? ''
  if (match === null || !isName(name))
    throw wrongLine(number, `expected "name: command", found ${JSON.stringify(line.slice(0, 60))}`)
  const split = splitCommand(match[2] ?? '')
  if (!split.ok) throw wrongLine(number, split.reason)
  return { name, command: split.argv }
}

function wrongLine(number: number, reason: string): FairwayError {
  return new FairwayError('UNRECOGNISED_SOURCE', `Procfile:${number}: ${reason}`, {
    hint: 'Write the command into fairway.yaml, as a list ["sh", "-c", …] where it needs a shell.',
  })
}
