/** Equal for names that people could take for each other: case, width and composition do not count. */
export function likeness(name: string): string {
  return name.normalize('NFKC').toLowerCase().normalize('NFKC')
}
