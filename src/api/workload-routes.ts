import type { IdentityStatus, WorkloadIdentities } from '../model/workload.ts'
import { route, type Routes } from './route.ts'

type WorkloadRoutes = Pick<
  Routes,
  'workloadIdentities' | 'rotateWorkloadRoot' | 'replaceWorkloadRoot'
>

export function workloadRoutes(identities: WorkloadIdentities): WorkloadRoutes {
  return {
    workloadIdentities: route('workloadIdentities', async () => view(await identities.status())),
    rotateWorkloadRoot: route('rotateWorkloadRoot', async () => view(await identities.rotate())),
    replaceWorkloadRoot: route('replaceWorkloadRoot', async () => view(await identities.replace())),
  }
}

function view(status: IdentityStatus) {
  return { ...status, roots: [...status.roots] }
}
