import type { Subnet } from './subnet.ts'

/**
 * The nft program that isolates instances; loading it replaces what an earlier server loaded, in one transaction.
 * Instances reach the gateway's DNS (53) and HTTP (80) and, masqueraded, the world outside; nothing else of this host, nothing
 * link-local (cloud metadata), and never each other: the bridge's ports are isolated, and what would be routed back is dropped.
 */
export function firewallRules(name: string, bridge: string, subnet: Subnet): string {
  return `${firewallRemoval(name)}table inet ${name} {
  chain input {
    type filter hook input priority -10; policy accept;
    iifname "${bridge}" jump from_instances
  }
  chain from_instances {
    ct state established,related accept
    ip saddr ${subnet.cidr} ip daddr ${subnet.gateway} udp dport 53 accept
    ip saddr ${subnet.cidr} ip daddr ${subnet.gateway} tcp dport { 53, 80 } accept
    meta l4proto tcp reject with tcp reset
    drop
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
    oifname "${bridge}" ct state established,related accept
    oifname "${bridge}" drop
    iifname "${bridge}" meta nfproto ipv6 drop
    iifname "${bridge}" ip saddr != ${subnet.cidr} drop
    iifname "${bridge}" ip daddr { 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/3, ${subnet.cidr} } drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${subnet.cidr} oifname != "${bridge}" masquerade
  }
}
`
}

/** Declaring a table before deleting it makes the deletion work whether it was there or not. */
export function firewallRemoval(name: string): string {
  return `table inet ${name}\ndelete table inet ${name}\n`
}
