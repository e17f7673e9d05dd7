import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { stringify } from 'yaml'
import { FairwayError } from '../model/errors.ts'
import { inClusterConnection, readKubeconfig } from './kubeconfig.ts'

const PEM = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n'
const DATA = Buffer.from(PEM).toString('base64')

function config(cluster: object = {}, user: object = { token: 'topsecret' }): string {
  return stringify({
    clusters: [
      { name: 'c', cluster: { server: 'https://10.0.0.1:6443/', ...cluster } },
      { name: 'd', cluster: { server: 'https://d' } },
    ],
    users: [{ name: 'u', user }],
    contexts: [
      { name: 'one', context: { cluster: 'c', user: 'u' } },
      { name: 'two', context: { cluster: 'd', user: 'u' } },
    ],
    'current-context': 'one',
  })
}

describe('kubeconfig', () => {
  test('is read with its current context or the one that is named', async () => {
    const one = readKubeconfig(config({ 'certificate-authority-data': DATA }))
    assert.equal(one.server, 'https://10.0.0.1:6443')
    assert.equal(one.ca, PEM)
    assert.equal(await one.token?.(), 'topsecret')
    assert.equal(readKubeconfig(config(), 'two').server, 'https://d')
    const user = { 'client-certificate-data': DATA, 'client-key-data': DATA }
    assert.equal(readKubeconfig(config({}, user)).certificate, PEM)
  })

  test('that would start a program, read a file or leave https is refused, naming the field and no secret', () => {
    const wrong: readonly (readonly [string, RegExp])[] = [
      [config({}, { exec: { command: 'id' }, token: 'topsecret' }), /user\.exec would start/],
      [config({}, { 'auth-provider': { name: 'oidc' } }), /auth-provider/],
      [config({}, { 'client-certificate': '/etc/shadow' }), /client-certificate names a file/],
      [config({}, { 'client-key': 'k' }), /client-key names a file/],
      [config({}, { tokenFile: '/root/t' }), /tokenFile names a file/],
      [config({ 'certificate-authority': '/ca' }), /certificate-authority names a file/],
      [config({ 'proxy-url': 'http://p' }), /proxy-url/],
      [config({}, { token: 'topsecret', as: 'admin' }), /user\.as/],
      [config({}, {}), /neither a token nor/],
      [config({ server: 'http://10.0.0.1' }), /https URL/],
      [config({ server: 'https://a:topsecret@h' }), /must not hold credentials/],
      [config({ 'certificate-authority-data': 'AAAA' }), /not base64 of a PEM/],
      ['a: [', /not valid YAML/],
      ['a: &a [1]\nclusters: [*a, *a]\n', /aliases|no context/],
      ['42', /no `clusters`/],
    ]
    for (const [text, message] of wrong) {
      assert.throws(
        () => readKubeconfig(text),
        (error) => {
          assert.ok(error instanceof FairwayError)
          assert.equal(error.code, 'INVALID_REQUEST')
          assert.match(error.message, message)
          assert.ok(
            !`${error.message} ${error.hint} ${JSON.stringify(error.details)}`.includes(
              'topsecret',
            ),
          )
          return true
        },
        text,
      )
    }
    assert.throws(() => readKubeconfig(config(), 'three'), /no context "three"; it has: one, two/)
  })

  test('in a cluster the token is read anew for every request', async () => {
    let reads = 0
    const connection = await inClusterConnection({
      host: 'fd00::1',
      port: '443',
      read: (name) => Promise.resolve(name === 'token' ? `t${String(++reads)}\n` : PEM),
    })
    assert.equal(connection.server, 'https://[fd00::1]:443')
    assert.equal(await connection.token?.(), 't1')
    assert.equal(await connection.token?.(), 't2')
  })
})
