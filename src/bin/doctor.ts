import type { HostDoctor } from '../model/host.ts'
export function hostDoctor(): HostDoctor {
  throw new Error('later')
}
