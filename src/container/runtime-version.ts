/**
 * Known ways out of a container that a runtime's version has, in words for `fairway doctor`. A warning and no more: distributions
 * repair some without changing the version.
 * @param line first line of `--version`: 'runc version 1.1.5+ds1'
 * @param changelog of the distribution's package; what it names counts as repaired
 */
export function knownProblems(
  runtime: 'runc' | 'crun',
  line: string,
  changelog = '',
): readonly string[] {
  const version = (/(\d+)\.(\d+)(?:\.(\d+))?/.exec(line) ?? []).slice(1).map((part) => Number(part))
  const runcFix = isBefore(version, [1, 3, 0]) ? [1, 2, 8] : [1, 3, 3]
  const open = PROBLEMS.filter((problem) => problem.runtime === runtime)
    .filter(({ fixed }) => isBefore(version, fixed ?? runcFix))
    .filter(({ cve }) => !changelog.includes(cve))
  return open.map(({ cve }) => cve)
}

/** `fixed` null: 1.2.8 or 1.3.3, depending on the line of releases. */
const PROBLEMS = [
  { runtime: 'runc', cve: 'CVE-2024-21626', fixed: [1, 1, 12] },
  { runtime: 'runc', cve: 'CVE-2025-31133', fixed: null },
  { runtime: 'runc', cve: 'CVE-2025-52565', fixed: null },
  { runtime: 'runc', cve: 'CVE-2025-52881', fixed: null },
  { runtime: 'crun', cve: 'CVE-2026-88264', fixed: [1, 30] },
  { runtime: 'crun', cve: 'CVE-2026-88265', fixed: [1, 30] },
] as const

function isBefore(version: readonly number[], other: readonly number[]): boolean {
  for (const [index, wanted] of other.entries()) {
    const part = version[index] ?? 0
    if (part !== wanted) return (Number.isNaN(part) ? 0 : part) < wanted
  }
  return false
}
