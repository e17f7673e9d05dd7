import type { HealthSpec, ProcessSpec } from '../model/app-spec.ts'

/**
 * Startup on the path that says the process lives, for as long as it may take to start; then readiness, and liveness where the app has a path for it: a
 * readiness path that looks at a database must never restart a copy. Workers have none. The cluster counts in whole seconds.
 */
export function probes(
  { type, health }: Pick<ProcessSpec, 'type' | 'health'>,
  port: number | null,
): Readonly<Record<string, unknown>> {
  if (type !== 'web' || port === null) return {}
  const ready = ask(health.ready, port)
  return {
    startupProbe: {
      ...ask(health.live ?? health.ready, port),
      periodSeconds: STARTUP_PERIOD,
      timeoutSeconds: seconds(health.timeoutMs),
      failureThreshold: Math.ceil(seconds(health.startMs) / STARTUP_PERIOD) + 1,
    },
    readinessProbe: { ...ready, ...rhythm(health) },
    ...(health.live === null
      ? {}
      : { livenessProbe: { ...ask(health.live, port), ...rhythm(health) } }),
  }
}

/** Milliseconds as whole seconds, rounded up, at least one. */
export function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}

// Private

const STARTUP_PERIOD = 1

function ask(path: string | null, port: number): Readonly<Record<string, unknown>> {
  return path === null ? { tcpSocket: { port } } : { httpGet: { path, port, scheme: 'HTTP' } }
}

function rhythm({ intervalMs, timeoutMs, failures }: HealthSpec): Readonly<Record<string, number>> {
  return {
    periodSeconds: seconds(intervalMs),
    timeoutSeconds: seconds(timeoutMs),
    failureThreshold: failures,
  }
}
