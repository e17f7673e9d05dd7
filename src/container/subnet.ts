import { isIPv4 } from 'node:net'

/** An IPv4 network in CIDR form, `10.201.0.0/16`: its first address is the gateway, the rest are instances. */
export interface Subnet {
  readonly cidr: string
  readonly prefix: number
  readonly gateway: string
}

/** @throws RangeError for anything but a private network of /16 to /28 whose host bits are zero */
export function parseSubnet(cidr: string): Subnet {
  const [first = '', size = ''] = cidr.split('/')
  const address = isIPv4(first) ? numeric(first) : 0
  const prefix = /^\d{1,2}$/.test(size) ? Number(size) : 0
  const isPrivate = PRIVATE.some(([from, to]) => address >= numeric(from) && address < numeric(to))
  const fits = prefix >= 16 && prefix <= 28
  if (!isPrivate || !fits || address % 2 ** (32 - prefix) !== 0) {
    throw new RangeError(`${cidr} is not a private IPv4 network such as 10.201.0.0/16`)
  }
  return { cidr, prefix, gateway: dotted(address + 1) }
}

const PRIVATE = [
  ['10.0.0.0', '11.0.0.0'],
  ['172.16.0.0', '172.32.0.0'],
  ['192.168.0.0', '192.169.0.0'],
] as const

/** Prefix of the names of a network's bridge and firewall: two subnets on one host get two of each. */
export function networkName(subnet: Subnet): string {
  const address = numeric(subnet.cidr.split('/')[0] ?? '')
  return subnet.cidr === DEFAULT_SUBNET ? 'fairway' : `fw${address.toString(16).padStart(8, '0')}`
}

export const DEFAULT_SUBNET = '10.201.0.0/16'

function numeric(text: string): number {
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

function dotted(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.')
}
