import { run, runToEnd, type RunResult } from '../../src/lib/process.ts'
import { cacheFolder, lacksGo } from './builds.ts'
import { identify } from '../../src/lib/process-identity.ts'
import { Lab } from './lab.ts'
import { labsFolder } from './lab-folder.ts'
import { missingPackages } from './packages.ts'

/** A cluster for a suite: the user's (KUBECONFIG), a lab that runs already (FAIRWAY_LAB, default `lab`), or a private lab that `close` takes down, and that ends with this process. */
export interface TestCluster {
  readonly kubeconfig: string
  /** Path of a kubectl that fits. */
  readonly program: string
  /** The lab, for images, registry and faults; null on a cluster of the user's. */
  readonly lab: Lab | null
  /** This host, as nodes and pods see it; null on a cluster of the user's. */
  readonly host: string | null
  /** @throws ProgramError with kubectl's last words */
  kubectl(args: readonly string[], input?: string): Promise<string>
  tryKubectl(args: readonly string[], input?: string): Promise<RunResult>
  /** Ends only what was started for this suite. */
  close(): Promise<void>
}

/** False where a cluster can be had, else the reason for a suite to be skipped. */
export async function lacksCluster(): Promise<string | false> {
  if (ownKubeconfig() !== null) return false
  return (await missingPackages()) ?? (await lacksGo(cacheFolder(process.env)))
}

/** @param options.nodes of a private lab; a running one is taken as it is unless `alone` */
export async function openTestCluster(
  options: { readonly nodes?: number; readonly alone?: boolean; readonly memory?: number } = {},
): Promise<TestCluster> {
  const { nodes = 1, alone = false, memory = 3 * 2 ** 30 } = options
  const own = ownKubeconfig()
  if (own !== null && !alone) return clusterOf(own, 'kubectl', null)
  const root = labsFolder(process.env)
  const running = new Lab(root, process.env['FAIRWAY_LAB'] ?? 'lab')
  const state = await running.state()
  if (!alone && state?.isAlive === true && state.record.phase === 'ready') {
    const { kubeconfig, kubectl, host } = state.record
    return clusterOf(kubeconfig, kubectl, { lab: running, host, isOurs: false })
  }
  const lab = new Lab(root, `t${String(process.pid)}`)
  try {
    const owner = await identify(process.pid)
    const wanted = { owner, nodes, memory, registry: null, cache: cacheFolder(process.env) }
    const { kubeconfig, kubectl, host } = await lab.up(wanted, () => undefined)
    return clusterOf(kubeconfig, kubectl, { lab, host, isOurs: true })
  } catch (error) {
    await lab.down()
    throw error
  }
}

/** @param program path of kubectl */
export function clusterOf(
  kubeconfig: string,
  program: string,
  ours: { readonly lab: Lab; readonly host: string; readonly isOurs: boolean } | null,
): TestCluster {
  const before = ['--kubeconfig', kubeconfig]
  return {
    kubeconfig,
    program,
    lab: ours?.lab ?? null,
    host: ours?.host ?? null,
    kubectl: (args, input = '') => run(program, [...before, ...args], { input }),
    tryKubectl: (args, input = '') => runToEnd(program, [...before, ...args], { input }),
    close: async () => {
      if (ours?.isOurs === true) await ours.lab.down()
    },
  }
}

function ownKubeconfig(): string | null {
  const path = process.env['KUBECONFIG'] ?? ''
  return path === '' ? null : path
}
