import { run } from '../../src/lib/process.ts'
import type { ApiClient } from './api-client.ts'
import { inside, runInside } from './namespaces.ts'
import { coalesced, Mirror } from './mirror.ts'
import {
  namespaceSchema,
  podSchema,
  policyChains,
  policySchema,
  restoreText,
  ROOT_CHAIN,
  type Chain,
  type Namespace,
  type Pod,
  type Policy,
} from './network-policy.ts'

export interface EnforcedNode {
  readonly name: string
  readonly pid: number
}

/**
 * Enforces NetworkPolicy on the nodes, which the plain bridge network does not do. Packets between pods pass FORWARD on the sender's node
 * (egress) and on the receiver's (ingress), after the Service's address was replaced. What a node itself sends, such as probes, passes OUTPUT and is free,
 * as Kubernetes has it.
 */
export class PolicyEnforcer {
  readonly #nodes: () => readonly EnforcedNode[]
  readonly #pods: Mirror<Pod>
  readonly #namespaces: Mirror<Namespace>
  readonly #policies: Mirror<Policy>
  /** By process, as a node that comes back has no rules. */
  readonly #done = new Map<number, { readonly text: string; readonly names: readonly string[] }>()

  constructor(
    api: ApiClient,
    nodes: () => readonly EnforcedNode[],
    failed: (error: unknown) => void,
  ) {
    this.#nodes = nodes
    const changed = coalesced(() => this.#settle(), failed)
    this.#pods = new Mirror(api, '/api/v1/pods', podSchema, changed)
    this.#namespaces = new Mirror(api, '/api/v1/namespaces', namespaceSchema, changed)
    const policies = '/apis/networking.k8s.io/v1/networkpolicies'
    this.#policies = new Mirror(api, policies, policySchema, changed)
  }

  start(): void {
    void this.#pods.run()
    void this.#namespaces.run()
    void this.#policies.run()
  }

  stop(): void {
    this.#pods.stop()
    this.#namespaces.stop()
    this.#policies.stop()
  }

  async #settle(): Promise<void> {
    const { items: pods } = this.#pods
    const { items: namespaces } = this.#namespaces
    const { items: policies } = this.#policies
    if (pods === null || namespaces === null || policies === null) return
    for (const node of this.#nodes()) {
      await this.#enforce(node, policyChains({ pods, namespaces, policies }, node.name))
    }
  }

  async #enforce({ pid }: EnforcedNode, chains: readonly Chain[]): Promise<void> {
    const text = restoreText(chains, [])
    const done = this.#done.get(pid)
    if (done?.text === text) return
    const names = chains.map(({ name }) => name)
    const stale = (done?.names ?? []).filter((name) => !names.includes(name))
    const [program = '', ...args] = inside(pid, 'iptables-restore', ['-w', '--noflush'])
    await run(program, args, { input: restoreText(chains, stale) })
    if (done === undefined) {
      // kube-proxy accepts some packets early in `filter` and never touches FORWARD of `mangle`.
      await runInside(pid, 'iptables', '-w', '-t', 'mangle', '-A', 'FORWARD', '-j', ROOT_CHAIN)
    }
    this.#done.set(pid, { text, names })
  }
}
