const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}
const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
}

/** '30s', '500ms', '1h30m', '7d' to milliseconds; null for anything else. */
export function parseDuration(text: string): number | null {
  if (!/^(?:\d{1,9}(?:\.\d{1,3})?(?:ms|s|m|h|d))+$/.test(text)) return null
  let total = 0
  for (const [, amount = '', unit = ''] of text.matchAll(/([\d.]+)(ms|s|m|h|d)/g)) {
    total += Number(amount) * (DURATION_UNITS[unit] ?? Number.NaN)
  }
  return Math.round(total)
}

/** '512Mi', '1G', '1.5Gi' to bytes; null for anything else. A bare number is refused: it could mean bytes or megabytes. */
export function parseSize(text: string): number | null {
  const match = /^(\d{1,12}(?:\.\d{1,3})?)(k|K|M|G|T|Ki|Mi|Gi|Ti)B?$/.exec(text)
  if (match === null) return null
  return Math.round(Number(match[1]) * (SIZE_UNITS[match[2] ?? ''] ?? Number.NaN))
}

/** 0.5, '0.5' or '500m' to cores; null for anything else. */
export function parseCpu(value: string | number): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  const match = /^(\d{1,6}(?:\.\d{1,3})?)(m?)$/.exec(value)
  if (match === null) return null
  return match[2] === 'm' ? Number(match[1]) / 1000 : Number(match[1])
}

/** '70%' to 70; null for anything else or outside 0 to 100. */
export function parsePercent(text: string): number | null {
  const match = /^(\d{1,3}(?:\.\d{1,2})?)%$/.exec(text)
  if (match === null) return null
  const percent = Number(match[1])
  return percent <= 100 ? percent : null
}

/** 1800000 to '30m': the shortest form that `parseDuration` reads back. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = DURATION_UNITS[unit] ?? Number.NaN
    if (ms > 0 && ms % size === 0) return `${ms / size}${unit}`
  }
  return ms === 0 ? '0s' : `${ms}ms`
}

/** 536870912 to '512Mi'; bytes that fit no unit are rounded to two decimals of the largest. */
export function formatSize(bytes: number): string {
  for (const unit of ['Ti', 'Gi', 'Mi', 'Ki']) {
    const size = SIZE_UNITS[unit] ?? Number.NaN
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`
  }
  for (const unit of ['Gi', 'Mi', 'Ki']) {
    const size = SIZE_UNITS[unit] ?? Number.NaN
    if (bytes >= size) return `${Number((bytes / size).toFixed(2))}${unit}`
  }
  return `${bytes}B`
}
