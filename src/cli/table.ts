import { clip, padEnd, textWidth } from './text-width.ts'

const GAP = 2
/** Narrowest that a column is made to fit a terminal. */
const NARROWEST = 8

/**
 * Lines of a table with aligned columns; the first row is the header. Where the terminal is too narrow the widest columns are cut
 * with `…`. Columns that are empty in every row but the header are left out.
 */
export function tableLines(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  width: number,
): string[] {
  const shown = header.map((_, index) => rows.some((row) => (row[index] ?? '') !== ''))
  const pick = (row: readonly string[]): string[] =>
    header.flatMap((_, index) => (shown[index] === true ? [row[index] ?? ''] : []))
  const all = [pick(header), ...rows.map(pick)]
  const widths = fit(
    pick(header).map((_, index) => Math.max(...all.map((row) => textWidth(row[index] ?? '')))),
    width,
  )
  return all.map((row) => clip(joined(row, widths), width))
}

function joined(row: readonly string[], widths: readonly number[]): string {
  return row
    .map((cell, index) => {
      const clipped = clip(cell, widths[index] ?? 0)
      return index === row.length - 1 ? clipped : padEnd(clipped, widths[index] ?? 0)
    })
    .join(' '.repeat(GAP))
    .trimEnd()
}

function fit(natural: readonly number[], width: number): number[] {
  const widths = [...natural]
  const total = (): number => widths.reduce((sum, each) => sum + each, GAP * (widths.length - 1))
  while (total() > width) {
    const widest = widths.indexOf(Math.max(...widths))
    if (widest < 0 || (widths[widest] ?? 0) <= NARROWEST) break
    widths[widest] = (widths[widest] ?? 0) - 1
  }
  return widths
}
