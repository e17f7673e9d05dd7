import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { run } from '../lib/process.ts'
import { firewallRules } from './firewall.ts'
import { blockingChains } from './foreign-firewall.ts'
import { programPath } from './program-path.ts'
import { DEFAULT_SUBNET, parseSubnet } from './subnet.ts'

const OURS = firewallRules('fairway', 'fairway0', parseSubnet(DEFAULT_SUBNET))
const UFW = `table ip filter {
  chain ufw-before-input { iifname "lo" accept; }
  chain ufw-user-input { tcp dport 22 accept; }
  chain INPUT { type filter hook input priority filter; policy drop; jump ufw-before-input; jump ufw-user-input; }
  chain FORWARD { type filter hook forward priority filter; policy drop; }
}
`
const DOCKER = `table ip filter {
  chain DOCKER-USER { return; }
  chain FORWARD { type filter hook forward priority filter; policy drop; jump DOCKER-USER; }
}
`

/** What nft itself prints of rules that it has loaded, in a network namespace of its own. */
async function listed(rules: string): Promise<string> {
  const name = `fairway-test-${randomBytes(4).toString('hex')}`
  const nft = (args: readonly string[], input: string): Promise<string> =>
    run('ip', ['netns', 'exec', name, 'nft', ...args], { input })
  await run('ip', ['netns', 'add', name])
  try {
    await nft(['-f', '-'], rules)
    return await nft(['-j', 'list', 'ruleset'], '')
  } finally {
    await run('ip', ['netns', 'delete', name])
  }
}

const why =
  process.getuid?.() !== 0 ||
  (await programPath('nft')) === null ||
  (await programPath('ip')) === null
    ? 'needs root, nftables and iproute2 to load rules into a network namespace'
    : false

test('a firewall of our own blocks nothing, nor does an empty one', { skip: why }, async () => {
  assert.deepEqual(blockingChains(await listed(OURS), 'fairway0'), [])
  assert.deepEqual(blockingChains(await listed(''), 'fairway0'), [])
})

test('ufw drops both ways until it is told of the bridge', { skip: why }, async () => {
  const found = blockingChains(await listed(UFW + OURS), 'fairway0')
  assert.deepEqual(
    found.map(({ hook, name, repair }) => `${hook}: ${name}: ${repair ?? ''}`),
    [
      'input: ip filter INPUT: ufw allow in on fairway0',
      'forward: ip filter FORWARD: ufw route allow in on fairway0',
    ],
  )
  const told = UFW.replace(
    'iifname "lo" accept;',
    'iifname "lo" accept; iifname "fairway0" accept;',
  )
  assert.deepEqual(blockingChains(await listed(told), 'fairway0'), [])
})

test('Docker drops what instances send to the world outside', { skip: why }, async () => {
  const [found, ...others] = blockingChains(await listed(DOCKER), 'fairway0')
  assert.equal(others.length, 0)
  assert.equal(found?.hook, 'forward')
  assert.match(found.repair ?? '', /^iptables -I DOCKER-USER -i fairway0 -j ACCEPT; /)
})
