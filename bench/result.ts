/** One published number, ours beside the other side's, from one run on one machine. */
export interface BenchRow {
  readonly metric: string
  readonly unit: string
  readonly ours: number
  /** Null where there is nothing to compare with; then `against` and `ratio` are null too. */
  readonly theirs: number | null
  readonly against: string | null
  /** ours / theirs. */
  readonly ratio: number | null
}

export interface BenchResult {
  readonly name: string
  readonly results: readonly BenchRow[]
  /** What a reader must know: runs, versions, what was skipped and why. */
  readonly notes?: readonly string[]
}

export interface BenchOptions {
  /** One line of progress for people. */
  readonly say: (line: string) => void
}

export interface Bench {
  readonly name: string
  readonly summary: string
  /** What it needs beside npm, for people: 'root, runc, buildah, podman'. */
  readonly needs: string
  run(options: BenchOptions): Promise<BenchResult>
}

export function row(
  metric: string,
  unit: string,
  ours: number,
  other?: { theirs: number; against: string },
): BenchRow {
  if (other === undefined)
    return { metric, unit, ours: rounded(ours), theirs: null, against: null, ratio: null }
  const { theirs, against } = other
  return {
    metric,
    unit,
    ours: rounded(ours),
    theirs: rounded(theirs),
    against,
    ratio: rounded(ours / theirs),
  }
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** Linear interpolation between the two nearest values. @throws Error for no values */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const position = (sorted.length - 1) * q
  const low = sorted[Math.floor(position)]
  const high = sorted[Math.ceil(position)]
  if (low === undefined || high === undefined) throw new Error('no values')
  return low + (high - low) * (position - Math.floor(position))
}

function rounded(value: number): number {
  return Number(value.toPrecision(4))
}
