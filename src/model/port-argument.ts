/**
 * `$PORT` and `${PORT}` in a command stand for the port that the process shall listen on: commands run without a shell, and many
 * programs take their port only as an argument. Runners call this once they know the port.
 */
export function expandPort(argv: readonly string[], port: number): readonly string[] {
  return argv.map((word) => word.replace(/\$(?:PORT\b|\{PORT\})/g, String(port)))
}
