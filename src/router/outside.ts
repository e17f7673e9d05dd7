import { lookup } from 'node:dns/promises'
import { BlockList, isIPv6 } from 'node:net'
import type { Address } from '../model/instance.ts'
import type { Problem } from './problem.ts'

/**
 * The address behind a host outside, or why nobody is asked there. This machine's own loopback is none: the platform's API, its control endpoints and what
 * else listens there for its users trust who can reach them, and must not take the router for one of those.
 */
export async function resolveOutside({ host, port }: Address): Promise<Address | Problem> {
  const found = await lookup(host.replace(/^\[|\]$/g, '')).catch(() => null)
  if (found === null) return 'outside-unknown'
  return isOwn(found.address) ? 'outside-refused' : { host: found.address, port }
}

/** True for addresses that always mean this machine, also as IPv6 writes IPv4. */
export function isOwn(address: string): boolean {
  return OWN.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}

const OWN = ownAddresses()

function ownAddresses(): BlockList {
  const list = new BlockList()
  list.addSubnet('127.0.0.0', 8, 'ipv4')
  list.addSubnet('0.0.0.0', 8, 'ipv4')
  list.addSubnet('::', 127, 'ipv6')
  list.addSubnet('::ffff:127.0.0.0', 104, 'ipv6')
  list.addSubnet('::ffff:0.0.0.0', 104, 'ipv6')
  return list
}
