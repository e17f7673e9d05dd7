import type { ProcessSpec } from '../model/app-spec.ts'
import type { AppRef, ProcessName } from '../model/names.ts'
import type { ClusterFacts } from './cluster-facts.ts'
import { namespaceOf } from './labels.ts'
import type { Slot } from './slots.ts'

/**
 * Names of objects below an app's namespace. Names of processes never contain `--`, so what Fairway adds behind it never meets the name of another process.
 */
export function workloadName(
  process: Pick<ProcessSpec, 'name' | 'type' | 'volumes'>,
  slot: Slot,
): string {
  return isStateful(process) ? process.name : `${process.name}-${slot}`
}

export function slotServiceName(process: ProcessName, slot: Slot): string {
  return `${process}--${slot}`
}

export function peersServiceName(process: ProcessName): string {
  return `${process}--peers`
}

/** The name in PEERS_DNS: an A record per copy, ready or not. */
export function peersDns(ref: AppRef, process: ProcessName, facts: ClusterFacts): string {
  return `${peersServiceName(process)}.${namespaceOf(ref)}.svc.${facts.clusterDomain}`
}

/** A disk of its own ties a process to one slot: it is a StatefulSet. */
export function isStateful({ type, volumes }: Pick<ProcessSpec, 'type' | 'volumes'>): boolean {
  return type !== 'cron' && volumes.some(({ shared }) => !shared)
}
