import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { FairwayError } from '../model/errors.ts'
import { parseAppName, parseEnvironmentName, refKey, type AppRef } from '../model/names.ts'
import {
  MAX_PRIVATE_BYTES,
  MAX_PRIVATE_FILES,
  Secret,
  type SecretDocument,
} from '../model/secrets.ts'
import type { EnvironmentKeyRecord } from '../model/store.ts'
import { formatOf } from '../sops/format-of.ts'
import { ageIdentities } from '../sops/keys/age.ts'
import { encryptFile } from '../sops/sops-file.ts'
import { DocumentKeys } from './document-keys.ts'
import { StoredEnvironmentKeys } from './environment-keys.ts'
import { SopsReleaseSecrets } from './release-secrets.ts'

const refOf = (app: string): AppRef => ({
  app: parseAppName(app),
  environment: parseEnvironmentName('production'),
})
const shop = refOf('shop')

function bed(key = Secret.of(randomBytes(32)), rows = new Map<string, EnvironmentKeyRecord>()) {
  const settings = new Map<string, string>()
  const store = {
    getEnvironmentKey: (ref: AppRef) => Promise.resolve(rows.get(refKey(ref)) ?? null),
    addEnvironmentKey: (record: EnvironmentKeyRecord) => {
      const kept = rows.get(refKey(record.ref)) ?? record
      rows.set(refKey(record.ref), kept)
      return Promise.resolve(kept)
    },
    getSetting: (name: string) => Promise.resolve(settings.get(name) ?? null),
    setSetting: (name: string, value: string | null) => {
      if (value !== null) settings.set(name, value)
      return Promise.resolve()
    },
  }
  const serverKey = { now: key }
  const keys = new StoredEnvironmentKeys({
    store,
    serverKey: () => Promise.resolve(serverKey.now),
    now: () => 7,
    random: randomBytes,
  })
  return { rows, keys, serverKey, secrets: new SopsReleaseSecrets(new DocumentKeys({ own: keys })) }
}

async function encrypted(path: string, text: string, recipient: string): Promise<SecretDocument> {
  const rule = {
    groups: [[{ type: 'age' as const, id: recipient }]],
    threshold: 0,
    selector: { name: 'unencrypted_suffix' as const, value: '_unencrypted' },
    macOnlyEncrypted: false,
  }
  const wrapping = { keys: ageIdentities(''), random: randomBytes, now: () => 1_700_000_000_000 }
  return { path, text: await encryptFile(formatOf(path), text, rule, wrapping) }
}

const code =
  (wanted: string, not = 'planted') =>
  (error: unknown): boolean => {
    assert.ok(error instanceof FairwayError)
    assert.equal(error.code, wanted)
    assert.ok(!`${error.message}${error.hint}${JSON.stringify(error.details)}`.includes(not))
    return true
  }

describe('secrets of a release', () => {
  it('are the top level of its files: text as it is, the rest as JSON', async () => {
    const { keys, secrets } = bed()
    const recipient = await keys.recipient(shop)
    const yaml =
      'KEY: planted\nPORT: 5432\nBIG: 9007199254740993\nON: true\nEMPTY: ""\nDB: { user: a, ports: [1, 2], tls: false }\n# a comment\n"tls.crt": |\n  line\n'
    const documents = [
      await encrypted('secrets.yaml', yaml, recipient),
      await encrypted('more.env', 'FROM_ENV=planted too\n', recipient),
      await encrypted('keys/store.p12', '\u0000\u0001\u00ff', recipient),
    ]
    const payload = await secrets.open(shop, {
      documents,
      env: { TOKEN: { kind: 'secret', name: 'KEY' } },
    })
    const [folder] = payload.folders
    const text = (name: string): string | undefined => folder?.files.get(name)?.revealText()
    assert.equal(text('KEY'), 'planted')
    assert.equal(text('PORT'), '5432')
    assert.equal(text('ON'), 'true')
    assert.equal(text('EMPTY'), '')
    assert.equal(text('DB'), '{"user":"a","ports":[1,2],"tls":false}')
    assert.equal(text('BIG'), '9007199254740993')
    assert.equal(text('tls.crt'), 'line\n')
    assert.equal(text('FROM_ENV'), 'planted too')
    assert.deepEqual([...(folder?.files.get('store.p12')?.reveal() ?? [])], [0, 1, 255])
    assert.equal(payload.env.get('TOKEN')?.revealText(), 'planted')
  })

  it('are not opened for another environment, and the error says what to do', async () => {
    const { keys, secrets } = bed()
    const document = await encrypted('s.yaml', 'A: planted\n', await keys.recipient(refOf('other')))
    await assert.rejects(secrets.open(shop, { documents: [document], env: {} }), (error) => {
      assert.match(
        (error as FairwayError).hint,
        /secrets recipients add --app shop --env production --file s\.yaml/,
      )
      return code('SECRETS_CLOSED')(error)
    })
  })

  it('must have names that are files, not too many, not too large, and not twice', async () => {
    const { keys, secrets } = bed()
    const recipient = await keys.recipient(shop)
    const open = async (...texts: string[]) => {
      const documents = await Promise.all(
        texts.map((text, index) => encrypted(`s${String(index)}.yaml`, text, recipient)),
      )
      return secrets.open(shop, { documents, env: {} })
    }
    for (const name of ['../a', 'a/b', '..data', '.hidden', 'a b'])
      await assert.rejects(open(`"${name}": planted\n`), code('SECRETS_INVALID'))
    await assert.rejects(open('A: planted\n', 'A: planted\n'), code('SECRETS_INVALID'))
    const many = Array.from({ length: MAX_PRIVATE_FILES + 1 }, (_, n) => `N${String(n)}: planted\n`)
    await assert.rejects(open(many.join('')), code('SECRETS_INVALID'))
    const large = `A: ${'planted'.repeat(MAX_PRIVATE_BYTES / 7 + 1)}\n`
    await assert.rejects(open(large), code('SECRETS_INVALID'))
    await assert.rejects(
      secrets.open(shop, { documents: [], env: { A: { kind: 'secret', name: 'GONE' } } }),
      code('SECRETS_INVALID'),
    )
  })

  it('that were changed on the way are refused', async () => {
    const { keys, secrets } = bed()
    const { path, text } = await encrypted('s.yaml', 'A: planted\n', await keys.recipient(shop))
    const changed = {
      path,
      text: text.replace(/data:(.)/, (_, c) => `data:${c === 'A' ? 'B' : 'A'}`),
    }
    await assert.rejects(
      secrets.open(shop, { documents: [changed], env: {} }),
      code('SECRETS_TAMPERED'),
    )
    await assert.rejects(
      secrets.open(shop, { documents: [{ path, text: 'A: planted\n' }], env: {} }),
      code('SECRETS_INVALID'),
    )
  })

  it('are compared by name', async () => {
    const { keys, secrets } = bed()
    const recipient = await keys.recipient(shop)
    const plan = async (text: string) => ({
      documents: [await encrypted('s.yaml', text, recipient)],
      env: {},
    })
    const changes = await secrets.changes(
      shop,
      await plan('A: planted\nB: same\nC: gone\n'),
      await plan('A: planted2\nB: same\nD: new\n'),
    )
    assert.deepEqual(changes, ['~ secret A', '- secret C', '+ secret D'])
  })
})

describe('keys of environments', () => {
  it('are one per environment, stored in no form that opens without the server key', async () => {
    const { keys, rows } = bed()
    const recipient = await keys.recipient(shop)
    assert.match(recipient, /^age1/)
    assert.equal(await keys.recipient(shop), recipient)
    assert.notEqual(await keys.recipient(refOf('other')), recipient)
    const identity = (await keys.identity(shop))?.revealText() ?? ''
    assert.match(identity, /^AGE-SECRET-KEY-1/)
    assert.ok(!JSON.stringify([...rows]).includes(identity.slice(20)))
    assert.equal(await keys.identity(refOf('third')), null)
  })

  it('open on every server that has the server key, and on no other', async () => {
    const shared = Secret.of(randomBytes(32))
    const rows = new Map<string, EnvironmentKeyRecord>()
    const one = bed(shared, rows)
    const recipient = await one.keys.recipient(shop)
    const two = bed(shared, rows)
    assert.equal(await two.keys.recipient(shop), recipient)
    assert.ok((await two.keys.identity(shop)) !== null)
    one.serverKey.now = Secret.of(randomBytes(32))
    for (const attempt of [
      one.keys.identity(shop),
      one.keys.recipient(shop),
      one.keys.recipient(refOf('new')),
    ])
      await assert.rejects(attempt, code('SECRETS_CLOSED', 'AGE-SECRET'))
  })

  it('do not open in the place of another, or changed', async () => {
    const { keys, rows } = bed()
    await keys.recipient(shop)
    await keys.recipient(refOf('other'))
    const mine = rows.get('shop/production')
    const theirs = rows.get('other/production')
    assert.ok(mine !== undefined && theirs !== undefined)
    rows.set('shop/production', { ...mine, wrapped: theirs.wrapped })
    await assert.rejects(keys.identity(shop), code('SECRETS_TAMPERED'))
    rows.set('shop/production', { ...mine, recipient: theirs.recipient })
    await assert.rejects(keys.identity(shop), code('SECRETS_TAMPERED'))
    rows.set('shop/production', { ...mine, wrapped: mine.wrapped.slice(0, 30) })
    await assert.rejects(keys.identity(shop), code('SECRETS_TAMPERED'))
  })
})
