/** A chain of somebody else that drops what it does not know, on the way of the instances' packets. */
export interface BlockingChain {
  /** `input` = to this host: DNS and the router; `forward` = to the world outside. */
  readonly hook: 'input' | 'forward'
  /** `ip filter INPUT`. */
  readonly name: string
  /** Shell commands that let the bridge through, as the program that owns the chain wants it; null where that program is not known. */
  readonly repair: string | null
}

interface Chain {
  readonly family: string
  readonly table: string
  readonly name: string
  readonly hook?: string
  readonly policy?: string
}

interface Ruleset {
  readonly nftables?: readonly {
    readonly chain?: Chain
    readonly rule?: { readonly family: string; readonly table: string }
  }[]
}

/**
 * Chains in the way of a network whose bridge is `bridge`. In nftables one accepting chain is not enough: every base chain of a hook is asked, and Docker's and
 * ufw's drop by policy. A table with a rule that names the bridge was taught about it and is left out.
 * @param ruleset what `nft -j list ruleset` prints (libnftables-json(5))
 */
export function blockingChains(ruleset: string, bridge: string): readonly BlockingChain[] {
  const { nftables = [] } = JSON.parse(ruleset) as Ruleset
  const chains = nftables.flatMap(({ chain }) => (chain === undefined ? [] : [chain]))
  const taught = new Set(
    nftables.flatMap(({ rule }) =>
      rule !== undefined && JSON.stringify(rule).includes(`"${bridge}"`) ? [tableOf(rule)] : [],
    ),
  )
  return chains.flatMap((chain) => {
    const { hook, policy } = chain
    if (policy !== 'drop' || (hook !== 'input' && hook !== 'forward')) return []
    if (!['ip', 'inet'].includes(chain.family) || taught.has(tableOf(chain))) return []
    const others = chains.filter((other) => tableOf(other) === tableOf(chain))
    const name = `${tableOf(chain)} ${chain.name}`
    return [{ hook, name, repair: repairOf(hook, others, bridge) }]
  })
}

function tableOf({ family, table }: { readonly family: string; readonly table: string }): string {
  return `${family} ${table}`
}

function repairOf(
  hook: 'input' | 'forward',
  chains: readonly Chain[],
  bridge: string,
): string | null {
  const has = (prefix: string): boolean => chains.some(({ name }) => name.startsWith(prefix))
  if (has('ufw-'))
    return hook === 'input' ? `ufw allow in on ${bridge}` : `ufw route allow in on ${bridge}`
  if (hook === 'forward' && has('DOCKER-USER')) {
    return `iptables -I DOCKER-USER -i ${bridge} -j ACCEPT; iptables -I DOCKER-USER -o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`
  }
  return null
}
