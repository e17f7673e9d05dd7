/** How pods of a target reach this server, as settings of its record. */
export function serverUrlSettings(url: string | null): Readonly<Record<string, string>> {
  return url === null ? {} : { serverUrl: url }
}

/** The way back; null where the record says nothing. */
export function serverUrlOf(settings: Readonly<Record<string, string>>): string | null {
  return settings['serverUrl'] ?? null
}
