/** Every lab has subnets of its own below 10.250.0.0/16 (machines), 10.251.0.0/16 (services) and 10.252.0.0/16 (pods), so that labs run side by side. */
export interface Addresses {
  readonly index: number
  /** The host's end of the only link into the lab. */
  readonly device: string
  /** The host, as nodes and pods see it. */
  readonly host: string
  /** Where the API server listens, and the gateway of all nodes. */
  readonly controlPlane: string
  /** Of the control plane's interface; a locally administered one. */
  readonly hardware: string
  readonly services: string
  readonly apiService: string
  readonly dnsService: string
  readonly pods: string
}

export interface NodeAddresses {
  readonly name: string
  readonly address: string
  readonly pods: string
  /** The lab's end of the node's link. */
  readonly device: string
}

export const MAX_LABS = 16
export const MAX_NODES = 15
/** Where the nodes find the registry, at the host's address. */
export const REGISTRY_PORT = 5000

/** @param index 0 to 15 */
export function addressesOf(index: number): Addresses {
  const block = index * 16
  return {
    index,
    device: `fwlab${String(index)}`,
    host: `10.250.${String(index)}.254`,
    controlPlane: `10.250.${String(index)}.1`,
    hardware: `02:fa:00:00:00:${index.toString(16).padStart(2, '0')}`,
    services: `10.251.${String(block)}.0/20`,
    apiService: `10.251.${String(block)}.1`,
    dnsService: `10.251.${String(block)}.10`,
    pods: `10.252.${String(block)}.0/20`,
  }
}

/** @param number 1 to 15 */
export function nodeAddresses(index: number, number: number): NodeAddresses {
  return {
    name: `node${String(number)}`,
    address: `10.250.${String(index)}.${String(10 + number)}`,
    pods: `10.252.${String(index * 16 + number)}.0/24`,
    device: `n${String(number)}`,
  }
}
