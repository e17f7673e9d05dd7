/**
 * `$PORT` and `${PORT}` in a command are the one thing that the platform fills in: the port is known only when an instance starts,
 * and many servers take it as an argument. Nothing else is expanded, no shell is involved. Without a port the words stay as they are.
 */
export function withPort(argv: readonly string[], port: number | null): readonly string[] {
  if (port === null) return argv
  return argv.map((word) => word.replace(/\$(?:PORT\b|\{PORT\})/g, String(port)))
}
