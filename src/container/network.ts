import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isMissing, readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import type { Log } from '../lib/log.ts'
import { bootId } from '../lib/process-identity.ts'
import { ProgramError, run, runToEnd } from '../lib/process.ts'
import { FairwayError } from '../model/errors.ts'
import { firewallRemoval, firewallRules } from './firewall.ts'
import { leaseFiles } from './lease-files.ts'
import type { Subnet } from './subnet.ts'

/** A network namespace that is connected to the bridge: `netns` is its path, `address` its IPv4 address. */
export interface Lease {
  readonly name: string
  readonly netns: string
  readonly address: string
}

/** Of the CNI plugin host-local. */
const ADDRESSES = '/run/fairway/networks'

export interface NetworkOptions {
  /** Prefix of everything created: bridge `<name>0`, nft tables `<name>`. At most 12 characters. */
  readonly name: string
  readonly subnet: Subnet
  /** Namespaces kept ready: making one takes longer than starting the container in it. */
  readonly spare: number
  readonly runDir: string
  readonly ip: string
  readonly nft: string
  readonly cniDir: string
  readonly log: Log
}

/**
 * The instances' network. A lease belongs to whoever holds its file: spare ones lie in `<runDir>/spare`, a taken one is moved
 * into the instance's folder by one rename, so that a crash between any two steps leaves something that `sweep` recognises.
 */
export class Network {
  readonly #options: NetworkOptions
  readonly #prefix: string
  readonly #spareDir: string
  #warming: Promise<void> | null = null
  #warmLater: NodeJS.Timeout | null = null
  #closed = false
  #mtu = 1500

  constructor(options: NetworkOptions) {
    this.#options = options
    this.#prefix = `${options.name}-${options.runDir.slice(-8)}-`
    this.#spareDir = join(options.runDir, 'spare')
  }

  get bridge(): string {
    return `${this.#options.name}0`
  }

  /** The host's address as instances see it: their DNS and the router. */
  get gateway(): string {
    return this.#options.subnet.gateway
  }

  /** Bridge, firewall, forwarding; then removes namespaces that no lease file names, and makes the spare ones. */
  async open(): Promise<void> {
    const { nft, name, subnet } = this.#options
    await mkdir(this.#spareDir, { recursive: true })
    await forgetOldAddresses()
    await this.#refuseTakenSubnet()
    this.#mtu = await outboundMtu()
    await this.#ensureBridge()
    await run(nft, ['-f', '-'], { input: firewallRules(name, this.bridge, subnet) })
    await writeFile('/proc/sys/net/ipv4/ip_forward', '1')
    await this.#sweep()
    this.#warm()
  }

  /** Two networks with the same addresses would take each other's packets: a VPN, another bridge, a platform that was not torn down. */
  async #refuseTakenSubnet(): Promise<void> {
    const { ip, subnet } = this.#options
    const routes = await run(ip, ['-4', 'route', 'show', 'root', subnet.cidr])
    const taken = routes
      .split('\n')
      .map((line) => / dev (\S+)/.exec(line)?.[1])
      .find((device) => device !== undefined && device !== this.bridge)
    if (taken === undefined) return
    throw new FairwayError(
      'RUNNER_UNAVAILABLE',
      `the addresses ${subnet.cidr} already belong to interface ${taken} of this host`,
      {
        hint: 'Give Fairway others, for example FAIRWAY_SUBNET=10.202.0.0/16, or remove that interface.',
      },
    )
  }

  /** Hands out a namespace: its record is in `file` from then on. */
  async take(file: string): Promise<Lease> {
    for (const name of await this.#spares()) {
      try {
        await rename(join(this.#spareDir, name), file)
        this.#warm(300)
        return parseLease(await readFile(file, 'utf8'))
      } catch (error) {
        if (!isMissing(error)) throw error
      }
    }
    const lease = await this.#create()
    await writeAtomically(file, JSON.stringify(lease), { durable: false })
    this.#warm(300)
    return lease
  }

  /** Ends the namespace whose record is in `file`; its processes must have ended. Nothing there: nothing to do. */
  async release(file: string): Promise<void> {
    const text = await readIfExists(file)
    if (text === null) return
    await this.#destroy(parseLease(text).name)
    await rm(file, { force: true })
  }

  /** Ends the spare namespaces; taken ones stay. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#warmLater !== null) clearTimeout(this.#warmLater)
    await this.#warming
    for (const name of await this.#spares()) {
      const claimed = join(this.#spareDir, `.${name}`)
      try {
        await rename(join(this.#spareDir, name), claimed)
      } catch (error) {
        if (isMissing(error)) continue
        throw error
      }
      await this.release(claimed)
    }
  }

  /** Removes bridge and firewall as well, unless instances of another data directory use them: for `destroy --all` and tests. */
  async teardown(): Promise<void> {
    await this.close()
    const { ip, nft, name } = this.#options
    for (const namespace of await this.#namespaces()) await this.#destroy(namespace)
    if ((await entries(`/sys/class/net/${this.bridge}/brif`)).length > 0) return
    await runToEnd(ip, ['link', 'delete', this.bridge])
    await run(nft, ['-f', '-'], { input: firewallRemoval(name) })
    await rm(join(ADDRESSES, name), { recursive: true, force: true })
  }

  async #ensureBridge(): Promise<void> {
    const { ip, subnet } = this.#options
    const added = await runToEnd(ip, ['link', 'add', this.bridge, 'type', 'bridge'])
    if (added.code !== 0 && !added.stderr.includes('File exists')) {
      throw new FairwayError(
        'RUNNER_UNAVAILABLE',
        `no bridge ${this.bridge}: ${added.stderr.trim()}`,
      )
    }
    await writeFile(`/proc/sys/net/ipv6/conf/${this.bridge}/disable_ipv6`, '1').catch(
      (error: unknown) => {
        if (!isMissing(error)) throw error
      },
    )
    // Unless told, a bridge takes the lowest address of its ports: with the next port, instances would send to one that is nobody's. What they know stays.
    const hardware = (await readFile(`/sys/class/net/${this.bridge}/address`, 'utf8')).trim()
    await run(ip, ['link', 'set', this.bridge, 'address', hardware])
    const address = `${subnet.gateway}/${String(subnet.prefix)}`
    await run(ip, ['address', 'replace', address, 'dev', this.bridge])
    await run(ip, ['link', 'set', this.bridge, 'up'])
  }

  #warm(delayMs = 0): void {
    if (this.#closed || this.#warming !== null || this.#warmLater !== null) return
    // Later, so that a start in progress has the processor for itself.
    this.#warmLater = setTimeout(() => {
      this.#warmLater = null
      this.#warming = this.#refill()
        .catch((error: unknown) => {
          this.#options.log.warn({ error }, 'cannot prepare a network namespace')
        })
        .finally(() => {
          this.#warming = null
        })
    }, delayMs)
    this.#warmLater.unref()
  }

  async #refill(): Promise<void> {
    while (!this.#closed && (await this.#spares()).length < this.#options.spare) {
      const lease = await this.#create()
      await writeAtomically(join(this.#spareDir, `${lease.name}.json`), JSON.stringify(lease), {
        durable: false,
      })
    }
  }

  async #create(): Promise<Lease> {
    const name = `${this.#prefix}${randomBytes(4).toString('hex')}`
    const netns = `/run/netns/${name}`
    try {
      await run(this.#options.ip, ['netns', 'add', name])
      await this.#plugin('loopback', 'ADD', name, {}, 'lo')
      const result = await this.#plugin('bridge', 'ADD', name, this.#bridgeConfig())
      // An isolated port exchanges frames with the bridge itself alone: no instance sees another.
      const port = ['link', 'set', portOf(result), 'type', 'bridge_slave', 'isolated', 'on']
      await run(this.#options.ip, port)
      await this.#plugin('tuning', 'ADD', name, {
        // The namespace belongs to the host's user namespace: nobody inside may change these.
        sysctl: {
          'net.ipv4.ip_unprivileged_port_start': '0',
          'net.ipv6.conf.all.disable_ipv6': '1',
        },
        prevResult: JSON.parse(result) as unknown,
      })
      return { name, netns, address: addressOf(result) }
    } catch (error) {
      await this.#destroy(name)
      if (!(error instanceof ProgramError)) throw error
      throw new FairwayError('RUNNER_UNAVAILABLE', `no network for an instance: ${error.message}`, {
        cause: error,
      })
    }
  }

  async #destroy(name: string): Promise<void> {
    // DEL must succeed for what is only half there (CNI specification, section 2), so its failure is worth a warning.
    await this.#plugin('bridge', 'DEL', name, this.#bridgeConfig()).catch((error: unknown) => {
      this.#options.log.warn({ error, name }, 'cannot free a network address')
    })
    const deleted = await runToEnd(this.#options.ip, ['netns', 'delete', name])
    if (deleted.code !== 0 && (await this.#namespaces()).includes(name)) {
      throw new Error(`cannot delete network namespace ${name}: ${deleted.stderr.trim()}`)
    }
  }

  /** CNI specification 0.4.0: parameters in the environment, configuration on stdin, result on stdout. */
  async #plugin(
    type: string,
    command: 'ADD' | 'DEL',
    name: string,
    config: Readonly<Record<string, unknown>>,
    device = 'eth0',
  ): Promise<string> {
    const result = await runToEnd(join(this.#options.cniDir, type), [], {
      env: {
        CNI_COMMAND: command,
        CNI_CONTAINERID: name,
        CNI_NETNS: `/run/netns/${name}`,
        CNI_IFNAME: device,
        CNI_PATH: this.#options.cniDir,
      },
      input: JSON.stringify({ cniVersion: '0.4.0', name: this.#options.name, type, ...config }),
      timeoutMs: 20_000,
    })
    if (result.code === 0) return result.stdout
    throw new ProgramError(`CNI ${type} ${command}: ${pluginMessage(result.stdout)}`, result)
  }

  #bridgeConfig(): Readonly<Record<string, unknown>> {
    const { subnet } = this.#options
    return {
      bridge: this.bridge,
      mtu: this.#mtu,
      ipam: {
        type: 'host-local',
        // Shared by every data directory: two that use one network must not give out one address twice.
        dataDir: ADDRESSES,
        ranges: [[{ subnet: subnet.cidr, gateway: subnet.gateway }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    }
  }

  async #spares(): Promise<readonly string[]> {
    const names = await readdir(this.#spareDir)
    return names.filter((name) => name.endsWith('.json') && !name.startsWith('.'))
  }

  async #namespaces(): Promise<readonly string[]> {
    return (await entries('/run/netns')).filter((name) => name.startsWith(this.#prefix))
  }

  /** What a killed server left half made: a namespace without a record. */
  async #sweep(): Promise<void> {
    const { runDir } = this.#options
    const namespaces = await this.#namespaces()
    if (namespaces.length === 0) return
    const known = new Set<string>()
    for (const file of await leaseFiles(runDir)) {
      const text = await readIfExists(file)
      if (text?.includes(this.#prefix) === true) known.add(parseLease(text).name)
    }
    for (const name of namespaces) if (!known.has(name)) await this.#destroy(name)
  }
}

/** Of the default route's interface: larger packets would have to be broken up, or be lost on the way. */
async function outboundMtu(): Promise<number> {
  const routes = (await readIfExists('/proc/net/route')) ?? ''
  const fields = routes.split('\n').map((line) => line.split('\t'))
  const device = fields.find(([, destination]) => destination === '00000000')?.[0]
  const text = device === undefined ? null : await readIfExists(`/sys/class/net/${device}/mtu`)
  return text === null ? 1500 : Number(text)
}

/** Names in a folder; none where it does not exist. */
async function entries(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

/** Addresses given out before the last boot belong to nobody. */
async function forgetOldAddresses(): Promise<void> {
  const file = join(ADDRESSES, 'boot-id')
  const now = await bootId()
  if ((await readIfExists(file)) === now) return
  await rm(ADDRESSES, { recursive: true, force: true })
  await mkdir(ADDRESSES, { recursive: true, mode: 0o700 })
  await writeAtomically(file, now, { durable: false })
}

function parseLease(text: string): Lease {
  return JSON.parse(text) as Lease
}

function addressOf(result: string): string {
  const { ips } = JSON.parse(result) as { readonly ips?: readonly { readonly address: string }[] }
  const address = ips?.[0]?.address.split('/')[0]
  if (address === undefined) throw new Error(`the CNI bridge plugin gave no address: ${result}`)
  return address
}

/** The host's end of the pair: the interface without a sandbox that is not the bridge. */
function portOf(result: string): string {
  const { interfaces = [] } = JSON.parse(result) as {
    readonly interfaces?: readonly { readonly name: string; readonly sandbox?: string }[]
  }
  const port = interfaces.find(
    ({ name, sandbox = '' }) => sandbox === '' && name.startsWith('veth'),
  )
  if (port === undefined) throw new Error(`the CNI bridge plugin named no interface: ${result}`)
  return port.name
}

function pluginMessage(stdout: string): string {
  const match = /"msg":\s*"((?:[^"\\]|\\.)*)"/.exec(stdout)
  return match?.[1] ?? stdout.trim().slice(-300)
}
