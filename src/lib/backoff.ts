export interface BackoffOptions {
  readonly firstMs?: number
  readonly maxMs?: number
  readonly factor?: number
}

/** Delay before try number `failures` + 1: exponential, without jitter (the caller adds it where many wait together). 0 failures = 0. */
export function backoffMs(failures: number, options: BackoffOptions = {}): number {
  const { firstMs = 500, maxMs = 60_000, factor = 2 } = options
  if (failures <= 0) return 0
  return Math.min(maxMs, firstMs * factor ** (failures - 1))
}
