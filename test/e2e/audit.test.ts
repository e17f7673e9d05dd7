/** The audit of a real server through its command line, also where the server is killed while it writes. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { z } from 'zod'
import { readConfig } from '../../src/cli/user-config.ts'
import { Desk } from './desk.ts'
import { killServer } from './kill-server.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { eventually, ProbeApp } from './probe-app.ts'

const record = z.object({
  seq: z.number(),
  actor: z.object({ name: z.string() }),
  action: z.string(),
  app: z.string().nullable(),
  environment: z.string().nullable(),
  target: z.string().nullable(),
  outcome: z.string(),
  facts: z.record(z.string(), z.unknown()),
})
type AuditRecord = z.infer<typeof record>

const verdict = z.object({ verified: z.boolean(), records: z.number() })

function recordsIn(text: string): readonly AuditRecord[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.flatMap((line) => record.safeParse(JSON.parse(line)).data ?? [])
}

describe('audit', { timeout: 600_000 }, () => {
  let platform: PrivatePlatform
  let folder: string
  let shop: ProbeApp
  let other: ProbeApp
  let owner: Desk
  const desks: Desk[] = []
  const server = (): string => `http://127.0.0.1:${platform.apiPort}`
  const file = (name: string): string => join(folder, name)

  const personWith = async (name: string, ...grant: string[]): Promise<Desk> => {
    const token = await owner.must('tokens', 'create', name, '--person', name, ...grant)
    const desk = await Desk.withToken(server(), token)
    desks.push(desk)
    return desk
  }
  const refused = async (code: number, says: RegExp, ...args: string[]): Promise<void> => {
    const ran = await owner.fairway(...args)
    assert.equal(ran.code, code, `${args.join(' ')}: ${ran.stdout}${ran.stderr}`)
    assert.match(ran.stderr, says)
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fairway-audit-'))
    platform = await startPrivatePlatform({ runner: 'process' })
    owner = Desk.ofOwner(platform)
    shop = await ProbeApp.create(platform, 'shop')
    other = await ProbeApp.create(platform, 'other')
    await Promise.all([shop.deploy(), other.deploy()])
    await owner.must('team', 'add', 'pay', 'shop')
  })
  after(async () => {
    await platform.destroy()
    await Promise.all([shop.remove(), other.remove(), ...desks.map((desk) => desk.remove())])
    await rm(folder, { recursive: true, force: true })
  })

  test('list shows the newest records, by app, actor, action, outcome and time', async () => {
    const all = await owner.must('audit')
    assert.match(all, /^\S+Z allowed team:write \S+ {2}team pay {2}add=\["shop"\]/m)
    assert.match(all, /app:deploy \S+ {2}shop\/production/)
    const only = await owner.must('audit', 'list', '--app', 'shop', '--json')
    assert.deepEqual(new Set(recordsIn(only).map(({ app }) => app)), new Set(['shop']))
    const claims = await owner.must('audit', '--action', 'server:claim', '--json')
    assert.equal(recordsIn(claims).length, 1)
    const [first] = recordsIn(await owner.must('audit', '-n', '1', '--json'))
    assert.equal(first?.action, 'audit:read')
    const future = new Date(Date.now() + 3_600_000).toISOString()
    assert.equal(await owner.must('audit', '--since', future), '')
    await refused(4, /no app/, 'scale', 'web=2', '--app', 'nothing')
    const failed = await owner.must('audit', '--outcome', 'failed', '--json')
    assert.deepEqual(
      recordsIn(failed).map(({ action, app }) => [action, app]),
      [['app:scale', 'nothing']],
    )
    await refused(2, /--outcome must be allowed, denied/, 'audit', '--outcome', 'perhaps')
    await refused(2, /--since/, 'audit', '--since', 'long ago')
    await refused(2, /unexpected "shop"/, 'audit', 'list', 'shop')
    await refused(2, /lines/, 'audit', '-n', '0')
    await refused(2, /INVALID_NAME/, 'audit', '--app', 'No App', '--json')
  })

  test('what goes is told with what it was', async () => {
    await owner.must('access', 'grant', '--group', '/ops', '--role', 'viewer')
    const listed = z
      .object({ bindings: z.array(z.object({ id: z.string() })) })
      .parse(JSON.parse(await owner.must('access', 'list', '--json')))
    await owner.must('access', 'revoke', listed.bindings[0]?.id ?? '')
    const told = recordsIn(await owner.must('audit', '--action', 'access:write', '--json'))
    assert.deepEqual(told.at(-1)?.facts, { kind: 'group', name: 'ops', grant: 'viewer' })
    await owner.must('tokens', 'create', 'short', '--role', 'viewer', '--app', 'shop')
    await owner.must('tokens', 'revoke', 'short')
    const tokens = recordsIn(await owner.must('audit', '--action', 'token:write', '--json'))
    assert.deepEqual(tokens.at(-1)?.facts, {
      name: 'short',
      person: null,
      grants: ['viewer, app shop'],
    })
  })

  test("a team's operator sees what concerns its apps, a developer nothing, and both export nothing", async () => {
    const tess = await personWith('tess', '--role', 'operator', '--team', 'pay')
    const seen = await tess.fairway('audit', '--json')
    assert.equal(seen.code, 0, seen.stderr)
    const records = recordsIn(seen.stdout)
    assert.ok(records.some(({ action }) => action === 'app:deploy'))
    assert.deepEqual(new Set(records.map(({ app }) => app)), new Set(['shop']))
    assert.equal((await tess.fairway('audit', '--app', 'other')).stdout, '')
    assert.equal((await tess.fairway('audit', '--action', 'server:claim')).stdout, '')
    const one = recordsIn((await tess.fairway('audit', '-n', '1', '--json')).stdout)
    assert.equal(one.length, 1)
    for (const command of ['export', 'verify']) {
      const whole = await tess.fairway('audit', command)
      assert.equal(whole.code, 3, whole.stdout)
    }
    const vic = await personWith('vic', '--role', 'developer', '--team', 'pay')
    assert.equal((await vic.fairway('audit')).code, 3)
    const everywhere = await personWith('olga', '--role', 'operator', '--env', 'production')
    const apps = recordsIn((await everywhere.fairway('audit', '--json')).stdout)
    assert.deepEqual(new Set(apps.map(({ app }) => app)), new Set(['shop', 'other', 'nothing']))
  })

  test('an export verifies without a server, until anything in it is changed', async () => {
    const exported = await owner.must('audit', 'export')
    await writeFile(file('audit.jsonl'), exported)
    const whole = await owner.fairway('audit', 'verify', file('audit.jsonl'))
    assert.equal(whole.code, 0, whole.stderr)
    assert.match(whole.stdout, /^\d+ records, 1 to \d+: whole and in order\./)
    const asJson = await owner.fairway('audit', 'verify', file('audit.jsonl'), '--json')
    assert.equal(verdict.parse(JSON.parse(asJson.stdout)).verified, true)

    await writeFile(file('changed.jsonl'), exported.replace('"name":"short"', '"name":"shirt"'))
    const changed = await owner.fairway('audit', 'verify', file('changed.jsonl'))
    assert.notEqual(changed.code, 0)
    assert.match(changed.stderr, /was changed/)
    const cut = exported.split('\n').slice(0, -2).join('\n')
    await writeFile(file('cut.jsonl'), cut)
    const shorter = await owner.fairway('audit', 'verify', file('cut.jsonl'), '--json')
    assert.match(shorter.stderr, /AUDIT_TAMPERED/)
    assert.equal(verdict.parse(JSON.parse(shorter.stdout)).verified, false)

    await writeFile(file('none.json'), '{"not":"one"}')
    await refused(4, /there is no file .*nothing\.jsonl/, 'audit', 'verify', file('nothing.jsonl'))
    await refused(2, /no checkpoint/, 'audit', 'verify', '--checkpoint', file('none.json'))
    await refused(4, /no file/, 'audit', 'verify', '--checkpoint', file('nothing.json'))
    await refused(2, /unexpected/, 'audit', 'export', 'audit.jsonl')
  })

  test('killed while it writes, again and again, the chain is whole and has what was done', async () => {
    const { servers } = readConfig(join(platform.env['HOME'] ?? '', '.config/fairway/config.json'))
    const token = servers[server()]?.token ?? ''
    const done: string[] = []
    for (let round = 1; round <= 3; round += 1) {
      let dead = false
      const makeTokens = async (lane: number): Promise<void> => {
        for (let i = 0; !dead; i += 1) {
          const name = `t${round}-${lane}-${i}`
          const response = await fetch(`${server()}/v1/tokens`, {
            method: 'POST',
            headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
            body: JSON.stringify({ name, grants: [{ role: 'viewer' }] }),
          }).catch(() => null)
          // Whoever hears nothing does not know.
          if (response === null) return
          if (response.status === 201 || response.status === 200) done.push(name)
        }
      }
      const lanes = Promise.all(Array.from({ length: 6 }, (_, lane) => makeTokens(lane)))
      const enough = round * 40
      await eventually(() => Promise.resolve(done.length >= enough), { withinMs: 60_000 })
      await killServer(platform)
      dead = true
      await lanes
      await platform.must(['up'])
    }
    const verified = JSON.parse(await owner.must('audit', 'verify', '--json')) as unknown
    assert.equal(verdict.parse(verified).verified, true)
    const records = recordsIn(await owner.must('audit', 'export'))
    const told = new Set(records.map(({ facts }) => facts['name']))
    assert.deepEqual(
      done.filter((name) => !told.has(name)),
      [],
    )
    assert.equal(records.filter(({ action }) => action === 'audit:opened').length, 4)
    assert.equal(records.filter(({ action }) => action === 'audit:broken').length, 0)
  })
})
