/** The key of an environment in the transit engine of a real OpenBao, with the real programs. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fetchText } from '../../bench/load.ts'
import { lacksBao } from '../openbao.ts'
import { filesWith } from '../planted.ts'
import { killServer } from './kill-server.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { eventually } from './probe-app.ts'
import { SecretsRepository } from './secrets-repository.ts'
import { openTransitBed, type TransitBed } from './transit-bed.ts'

/** Answers how its values end. */
const SERVER = `const http = require('http'), fs = require('fs'), dir = process.env.FAIRWAY_SECRETS
http.createServer((request, response) => {
  const files = fs.readdirSync(dir).filter((name) => !name.startsWith('..')).sort()
  response.end(JSON.stringify({ pid: process.pid, ends: files.map((name) => name + fs.readFileSync(dir + '/' + name, 'utf8').slice(-1)) }))
}).listen(process.env.PORT)`
const FILE = 'secrets.production.yaml'
const MARKS = ['planted-transit-1', 'planted-transit-2', 'planted-transit-3']

describe('the key of an environment in Vault', { skip: await lacksBao(), timeout: 600_000 }, () => {
  let bed: TransitBed
  let platform: PrivatePlatform
  let repository: SecretsRepository
  before(async () => {
    bed = await openTransitBed()
    repository = await SecretsRepository.create({
      'server.js': SERVER,
      'fairway.yaml': `version: 1
name: vault
processes: { web: { command: node server.js } }
environments: { production: { secrets: [${FILE}] } }
`,
      '.sops.yaml': `creation_rules:\n  - path_regex: secrets\n    hc_vault_transit_uri: ${bed.recipient('shop')}\n`,
    })
    // The author's login at Vault is another one than the server's.
    const author = { VAULT_ADDR: bed.bao.address, VAULT_TOKEN: bed.bao.rootToken }
    platform = await startPrivatePlatform({
      ...{ runner: 'process', subnet: '10.239.0.0/16' },
      env: { ...repository.env, ...bed.env, ...author },
    })
  })
  after(async () => {
    await platform.destroy()
    await repository.remove()
    await bed.remove()
  })
  const fairway = (args: readonly string[], input?: string) =>
    repository.fairway(platform, args, input)
  const must = (args: readonly string[], input?: string) => repository.must(platform, args, input)
  const set = (name: string, value: string | undefined) =>
    must(['secrets', 'set', `${name}=-`, '--file', FILE], value)
  const answer = async () =>
    JSON.parse(
      await fetchText({
        ...{ port: platform.httpPort, path: '/', host: 'vault.localhost' },
        ...{ agent: false, body: null },
      }),
    ) as { readonly pid: number; readonly ends: readonly string[] }

  test('authors are told the key, and doctor asks whether the server may use it', async () => {
    const told = await must(['secrets', 'key', '--app', 'vault', '--env', 'production'])
    assert.ok(told.startsWith(`${bed.recipient('shop')}\n`), told)
    assert.ok(told.includes(`hc_vault_transit_uri: ${bed.recipient('shop')}`), told)
    assert.match((await fairway(['doctor'])).stdout, /transit\/keys\/shop: the login may decrypt/)
    await bed.allow('other')
    const { code, stdout } = await fairway(['doctor'])
    assert.equal(code, 8)
    assert.match(stdout, /may not decrypt: its policy needs path "transit\/decrypt\/shop"/)
    await bed.allow('shop', 'other')
  })

  test('a file for that key alone is deployed, and follows the key through its rotation', async () => {
    await set('API_KEY', MARKS[0])
    assert.doesNotMatch(await readFile(join(repository.folder, FILE), 'utf8'), /age1/)
    assert.match(await must(['plan']), /\+ secret API_KEY/)
    await must(['deploy'])
    assert.deepEqual((await answer()).ends, ['API_KEY1'])
    await bed.bao.call('POST', 'transit/keys/shop/rotate', {})
    await set('MORE', MARKS[1])
    await must(['secrets', 'push'])
    assert.deepEqual((await answer()).ends, ['API_KEY1', 'MORE2'])
    await must(['secrets', 'rotate', '--file', FILE])
    assert.match(await readFile(join(repository.folder, FILE), 'utf8'), /vault:v2:/)
    // What the first version wrapped opens no more; this file does not need it.
    await bed.bao.call('POST', 'transit/keys/shop/config', { min_decryption_version: 2 })
    await must(['deploy'])
    assert.deepEqual((await answer()).ends, ['API_KEY1', 'MORE2'])
  })

  test('a key that the server may use for others does not open files of this environment', async () => {
    const path = join(repository.folder, FILE)
    const good = await readFile(path, 'utf8')
    const change = (verb: string, name: string) =>
      must(['secrets', 'recipients', verb, bed.recipient(name), '--file', FILE])
    await change('add', 'other')
    await change('remove', 'shop')
    const { code, stderr } = await fairway(['deploy'])
    assert.equal(code, 3, stderr)
    assert.match(stderr, /transit\/keys\/shop is no recipient/)
    assert.match(stderr, /secrets recipients add --app vault --env production/)
    await must(['secrets', 'recipients', 'add', '--env', 'production', '--file', FILE])
    await change('remove', 'other')
    await must(['deploy'])
    await writeFile(path, good)
  })

  test('once the policy is taken back deploys are refused, and what runs goes on', async () => {
    await must(['deploy'])
    const { pid } = await answer()
    await bed.allow('other')
    for (const command of [['plan'], ['deploy'], ['secrets', 'push']]) {
      const { code, stderr } = await fairway(command)
      assert.equal(code, 3, stderr)
      assert.match(
        stderr,
        /secrets\.production\.yaml: the environment production of vault cannot open it: Vault \(127\.0\.0\.1:\d+\) does not decrypt with transit\/keys\/shop for this server: .*permission denied/,
      )
      assert.match(stderr, /Instances that run keep their values/)
    }
    assert.equal((await answer()).pid, pid)
    await must(['scale', 'web=2'])
    const saysWhy = /cannot open it: Vault .*permission denied.*, next start after/
    await eventually(async () => saysWhy.test(await must(['ps'])), { withinMs: 60_000 })
    assert.equal((await answer()).pid, pid)
    await must(['scale', 'web=1'])
    await killServer(platform)
    await must(['up'])
    assert.equal((await answer()).pid, pid)
    assert.deepEqual((await answer()).ends, ['API_KEY1', 'MORE2'])
  })

  test('while Vault is away the error says so, and another day it goes on', async () => {
    const { pid } = await answer()
    await bed.bao.kill()
    const { code, stderr } = await fairway(['deploy'])
    assert.equal(code, 8, stderr)
    assert.match(stderr, /cannot open it: Vault \(127\.0\.0\.1:\d+\) cannot be reached/)
    assert.equal((await answer()).pid, pid)
    await bed.bao.restart()
    await bed.allow('shop')
    await set('LAST', MARKS[2])
    await must(['deploy'])
    assert.deepEqual((await answer()).ends, ['API_KEY1', 'LAST3', 'MORE2'])
  })

  test('no value was written or said anywhere', async () => {
    for (const mark of MARKS) assert.ok(!repository.said.join('\n').includes(mark), mark)
    assert.deepEqual(await filesWith([platform.dataDir], MARKS), [])
  })
})
