import { FairwayError } from '../model/errors.ts'

/** One thing that is wrong with an app file. Lines and columns start at 1. */
export interface Problem {
  /** Dotted path of the key: 'processes.web.port'; '' = the file itself. */
  readonly path: string
  readonly line: number
  readonly column: number
  /** The offending text as it stands in the file, shortened. */
  readonly text: string
  readonly message: string
  /** 'did you mean "command"?', '' where there is none. */
  readonly suggestion: string
}

/** All problems of a file in one error, in the order of their positions; `details.problems` has them as data. */
export function invalidAppFile(file: string, problems: readonly Problem[]): FairwayError {
  const sorted = [...unique(problems)].sort((a, b) => a.line - b.line || a.column - b.column)
  return new FairwayError(
    'INVALID_APP_FILE',
    sorted.map((problem) => problemLine(file, problem)).join('\n'),
    { details: { file, problems: sorted } },
  )
}

/** 'fairway.yaml:4:5: processes.web: unknown key "comand"; did you mean "command"?' */
export function problemLine(file: string, problem: Problem): string {
  const where = `${file}:${problem.line}:${problem.column}: `
  const path = problem.path === '' ? '' : `${problem.path}: `
  return `${where}${path}${problem.message}${problem.suggestion === '' ? '' : `; ${problem.suggestion}`}`
}

function unique(problems: readonly Problem[]): readonly Problem[] {
  const seen = new Map<string, Problem>()
  for (const problem of problems) {
    const key = `${problem.line}:${problem.column}:${problem.message}`
    if (!seen.has(key)) seen.set(key, problem)
  }
  return [...seen.values()]
}
