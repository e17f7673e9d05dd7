import { FairwayError } from '../model/errors.ts'

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** Bytes for people, decimal units, two digits that matter: '12 kB', '1.4 MB'. */
export function bytesText(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 || value >= 9.95 ? String(Math.round(value)) : value.toFixed(1)} ${UNITS[unit] ?? ''}`
}

/** Memory for people, binary units as limits are written: '128 MiB', '1.5 GiB'. */
export function memoryText(bytes: number): string {
  const mebibytes = bytes / 2 ** 20
  if (mebibytes >= 1024) return `${trimmed(mebibytes / 1024)} GiB`
  return mebibytes >= 1 ? `${trimmed(mebibytes)} MiB` : `${String(Math.round(bytes / 1024))} KiB`
}

/** A duration of a step: '0.12 s', '12.3 s', '2 m 5 s'. */
export function secondsText(ms: number): string {
  const seconds = Math.max(0, ms) / 1000
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`
  if (seconds < 99.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)} m ${whole % 60} s`
}

/** An age: '5s', '12m', '3h', '4d'. */
export function ageText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 120) return `${seconds}s`
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)}m`
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}h`
  return `${Math.floor(seconds / 86_400)}d`
}

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/**
 * Milliseconds of '90s', '10m', '1h30m', '2d'.
 * @throws FairwayError INVALID_REQUEST
 */
export function durationMs(text: string, option: string): number {
  if (!/^(?:\d+(?:ms|s|m|h|d))+$/.test(text)) {
    throw new FairwayError(
      'INVALID_REQUEST',
      `${option} must be a duration such as 90s, 10m or 2h, not ${JSON.stringify(text)}`,
    )
  }
  let total = 0
  for (const match of text.matchAll(/(\d+)(ms|s|m|h|d)/g)) {
    total += Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0)
  }
  return total
}

/**
 * Start time of `--since`: a duration before now, or an RFC 3339 time.
 * @throws FairwayError INVALID_REQUEST
 */
export function sinceMs(text: string, now: number): number {
  if (/^\d{4}-\d{2}-\d{2}/.test(text)) {
    const time = Date.parse(text)
    if (!Number.isNaN(time)) return time
  }
  return now - durationMs(text, '--since')
}

function trimmed(value: number): string {
  return value >= 99.5 ? String(Math.round(value)) : value.toFixed(1).replace(/\.0$/, '')
}
