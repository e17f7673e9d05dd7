import { RELOAD_SIGNALS, type LiveVersion, type ReloadSignal } from '../model/secrets.ts'

/** Signals whose values are others than an instance has. */
export function changedSignals(
  has: LiveVersion | undefined,
  now: LiveVersion,
): readonly ReloadSignal[] {
  return RELOAD_SIGNALS.filter(
    (signal) => now.signals[signal] !== undefined && now.signals[signal] !== has?.signals[signal],
  )
}
