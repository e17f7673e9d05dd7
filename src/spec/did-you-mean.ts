/** 'did you mean "command"?' for the nearest of `known` within a third of the word's length; '' where nothing is near. */
export function didYouMean(word: string, known: readonly string[]): string {
  const best = known
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .filter(({ candidate, distance }) => distance <= limitFor(word, candidate))
    .sort((a, b) => a.distance - b.distance)[0]
  return best === undefined ? '' : `did you mean ${JSON.stringify(best.candidate)}?`
}

function limitFor(word: string, candidate: string): number {
  return Math.max(1, Math.floor(Math.max(word.length, candidate.length) / 3))
}

/** Edits with swapped neighbours counted as one (optimal string alignment), letter case ignored. */
export function editDistance(left: string, right: string): number {
  const a = left.slice(0, 60).toLowerCase()
  const b = right.slice(0, 60).toLowerCase()
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      let cost = Math.min(at(above, j) + 1, at(row, j - 1) + 1, at(above, j - 1) + same)
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      if (swapped) cost = Math.min(cost, at(before, j - 2) + 1)
      row.push(cost)
    }
    before = above
    above = row
  }
  return at(above, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}
