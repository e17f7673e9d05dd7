/** `npm run bench` lists the benches; `npm run bench -- NAME…` runs them, prints a table and, as the last line of each, one JSON object. */
import { globSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Bench, BenchResult } from './result.ts'

const folder = import.meta.dirname
const names = process.argv.slice(2)
const benches = await loadBenches()
const unknown = names.filter((name) => !benches.some((bench) => bench.name === name))

if (names.length === 0 || unknown.length > 0) {
  for (const name of unknown) console.error(`there is no bench ${name}`)
  for (const { name, summary, needs } of benches)
    console.log(`${name.padEnd(16)} ${summary}\n${' '.repeat(17)}needs: ${needs}`)
  process.exitCode = unknown.length > 0 ? 2 : 0
} else {
  for (const bench of benches.filter(({ name }) => names.includes(name))) {
    print(await bench.run({ say: (line) => console.error(`  ${line}`) }))
  }
}

async function loadBenches(): Promise<Bench[]> {
  const files = globSync('*.bench.ts', { cwd: folder }).sort()
  const modules = await Promise.all(
    files.map(
      async (file) => (await import(pathToFileURL(resolve(folder, file)).href)) as { bench: Bench },
    ),
  )
  return modules.map(({ bench }) => bench)
}

function print(result: BenchResult): void {
  const cells = result.results.map(({ metric, unit, ours, theirs, against, ratio }) => [
    metric,
    `${String(ours)} ${unit}`,
    theirs === null ? '' : `${String(theirs)} ${unit}`,
    against ?? '',
    ratio === null ? '' : `${String(ratio)} x`,
  ])
  const rows = [['metric', 'Fairway', 'other', 'against', 'ratio'], ...cells]
  const widths = [0, 1, 2, 3, 4].map((column) =>
    Math.max(...rows.map((line) => line[column]?.length ?? 0)),
  )
  console.log(`\n${result.name}`)
  for (const line of rows)
    console.log(
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
  for (const note of result.notes ?? []) console.log(`note: ${note}`)
  console.log(JSON.stringify({ name: result.name, results: result.results }))
}
