import type { TargetMetrics } from '../model/targets.ts'

/** A target's source of metrics as settings of its record. */
export function metricsSettings(metrics: TargetMetrics | null): Readonly<Record<string, string>> {
  if (metrics === null) return {}
  const { url, token } = metrics
  return { metricsUrl: url, ...(token === null ? {} : { metricsToken: token }) }
}

/** The way back; null where the record names none. */
export function metricsOf(settings: Readonly<Record<string, string>>): TargetMetrics | null {
  const url = settings['metricsUrl']
  return url === undefined ? null : { url, token: settings['metricsToken'] ?? null }
}
