import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import {
  namespaceSchema,
  podSchema,
  policyChains,
  policySchema,
  restoreText,
  ROOT_CHAIN,
  type Chain,
  type Pod,
} from './network-policy.ts'

const namespaces = ['shop', 'edge'].map((name) =>
  namespaceSchema.parse({ metadata: { name, labels: { 'kubernetes.io/metadata.name': name } } }),
)

function pod(name: string, namespace: string, podIP: string, nodeName = 'node1'): Pod {
  const ports = [{ name: 'web', containerPort: 8080 }]
  return podSchema.parse({
    metadata: { name, namespace, labels: { app: name } },
    spec: { nodeName, containers: [{ ports }] },
    status: { podIP, phase: 'Running' },
  })
}

const pods = [
  pod('shop', 'shop', '10.0.1.1'),
  pod('cart', 'shop', '10.0.2.1', 'node2'),
  pod('gate', 'edge', '10.0.1.2'),
]

function chainsFor(spec: object, node = 'node1'): readonly Chain[] {
  const metadata = { name: 'p', namespace: 'shop' }
  const policy = policySchema.parse({ metadata, spec: { podSelector: {}, ...spec } })
  return policyChains({ pods, namespaces, policies: [policy] }, node)
}

/** Rules of the only isolated pod but the last one, which drops. */
function allowed(spec: object, node = 'node1'): readonly string[] {
  const [, chain] = chainsFor(spec, node)
  assert.equal(chain?.rules.at(-1), '-j DROP')
  return chain.rules.slice(0, -1)
}

suite('NetworkPolicy as packet filter', () => {
  test('without a policy nothing is filtered', () => {
    const [root, ...others] = policyChains({ pods, namespaces, policies: [] }, 'node1')
    assert.equal(root?.name, ROOT_CHAIN)
    assert.deepEqual(root.rules, ['-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN'])
    assert.deepEqual(others, [])
  })

  test('only pods of the policy and of the node are isolated, in the directions named', () => {
    const [root, ...others] = chainsFor({ policyTypes: ['Ingress', 'Egress'] })
    assert.deepEqual(
      root?.rules.slice(1).map((rule) => rule.split(' ').slice(0, 2).join(' ')),
      ['-s 10.0.1.1/32', '-d 10.0.1.1/32'],
    )
    assert.deepEqual(
      others.map(({ rules }) => rules),
      [['-j DROP'], ['-j DROP']],
    )
    assert.equal(chainsFor({}).length, 2, 'ingress alone unless said')
    assert.equal(chainsFor({}, 'node3').length, 1)
  })

  test('a rule without peers allows everyone, one without ports every port', () => {
    assert.deepEqual(allowed({ ingress: [{}] }), ['-j RETURN'])
    assert.deepEqual(allowed({ ingress: [{ ports: [{ port: 80, protocol: 'UDP' }] }] }), [
      '-p udp --dport 80 -j RETURN',
    ])
    assert.deepEqual(allowed({ ingress: [{ ports: [{ port: 80, endPort: 90 }] }] }), [
      '-p tcp --dport 80:90 -j RETURN',
    ])
  })

  test('pods are chosen by label within the namespace, or within chosen namespaces', () => {
    const cart = { podSelector: { matchLabels: { app: 'cart' } } }
    assert.deepEqual(allowed({ ingress: [{ from: [cart] }] }), ['-s 10.0.2.1/32 -j RETURN'])
    const key = 'kubernetes.io/metadata.name'
    const edge = { namespaceSelector: { matchLabels: { [key]: 'edge' } } }
    assert.deepEqual(allowed({ ingress: [{ from: [edge] }] }), ['-s 10.0.1.2/32 -j RETURN'])
    assert.deepEqual(allowed({ ingress: [{ from: [{ ...edge, ...cart }] }] }), [])
    const notCart = { key: 'app', operator: 'NotIn', values: ['cart'] }
    const others = { podSelector: { matchExpressions: [notCart] } }
    assert.deepEqual(allowed({ ingress: [{ from: [others] }] }), ['-s 10.0.1.1/32 -j RETURN'])
  })

  test('a named port is the number that the target gives it', () => {
    assert.deepEqual(allowed({ ingress: [{ ports: [{ port: 'web' }] }] }), [
      '-p tcp --dport 8080 -j RETURN',
    ])
    const to = [{ podSelector: { matchLabels: { app: 'cart' } } }]
    const egress = [{ to, ports: [{ port: 'web' }, { port: 'other' }] }]
    assert.deepEqual(allowed({ policyTypes: ['Egress'], egress }), [
      '-d 10.0.2.1/32 -p tcp --dport 8080 -j RETURN',
    ])
  })

  test('an address block leaves out its exceptions', () => {
    const from = [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16', '10.2.3.4/32'] } }]
    assert.deepEqual(allowed({ ingress: [{ from }] }), [
      '-s 10.0.0.0/8 -m iprange ! --src-range 10.1.0.0-10.1.255.255 -m iprange ! --src-range 10.2.3.4-10.2.3.4 -j RETURN',
    ])
  })

  test('blocks of IPv6 mean nobody here, as no pod has such an address', () => {
    const blocks = [
      { cidr: '::/0', except: ['fc00::/7'] },
      { cidr: '0.0.0.0/0', except: ['fe80::/10'] },
    ]
    const from = blocks.map((ipBlock) => ({ ipBlock }))
    assert.deepEqual(allowed({ ingress: [{ from }] }), ['-s 0.0.0.0/0 -j RETURN'])
  })

  test('pods that ended, or use the network of their node, have no address of their own', () => {
    const ended = podSchema.parse({ ...pods[0], status: { podIP: '10.0.1.1', phase: 'Failed' } })
    const policy = policySchema.parse({
      metadata: { name: 'p', namespace: 'shop' },
      spec: { podSelector: {} },
    })
    assert.equal(policyChains({ pods: [ended], namespaces, policies: [policy] }, 'node1').length, 1)
  })

  test('what is not wanted any more is removed after nothing refers to it', () => {
    const text = restoreText([{ name: ROOT_CHAIN, rules: ['-j RETURN'] }], ['FW-IN-old'])
    assert.deepEqual(text.split('\n'), [
      '*mangle',
      ':FW-POLICY - [0:0]',
      ':FW-IN-old - [0:0]',
      '-A FW-POLICY -j RETURN',
      '-X FW-IN-old',
      'COMMIT',
      '',
    ])
  })
})
