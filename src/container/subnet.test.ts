import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_SUBNET, networkName, parseSubnet } from './subnet.ts'

test('private networks with their first address as the gateway', () => {
  assert.equal(parseSubnet('10.201.0.0/16').gateway, '10.201.0.1')
  assert.equal(parseSubnet('172.31.255.0/24').gateway, '172.31.255.1')
  for (const wrong of [
    '10.201.0.0',
    '10.201.0.5/16',
    '8.8.0.0/16',
    '10.0.0.0/8',
    '172.32.0.0/16',
    '10.1.0.0/29',
    '10.256.0.0/16',
    ' 10.1.0.0/16',
    '',
  ]) {
    assert.throws(() => parseSubnet(wrong), RangeError, wrong)
  }
})

test('two subnets have two names, short enough for an interface', () => {
  assert.equal(networkName(parseSubnet(DEFAULT_SUBNET)), 'fairway')
  assert.equal(networkName(parseSubnet('10.7.0.0/16')), 'fw0a070000')
})
