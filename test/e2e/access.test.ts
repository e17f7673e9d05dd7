/** The commands by which people say who may do what, and let each other's rollouts go on: a real server, asked through the command line. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { z } from 'zod'
import { Desk, type Said } from './desk.ts'
import { startPrivatePlatform, type PrivatePlatform } from './private-platform.ts'
import { eventually, ProbeApp } from './probe-app.ts'

const teams = z.object({
  teams: z.array(z.object({ name: z.string(), apps: z.array(z.string()) })),
})
const bindings = z.object({
  bindings: z.array(
    z.object({
      id: z.string(),
      kind: z.string(),
      name: z.string(),
      grant: z.object({ role: z.string(), team: z.string().nullable() }),
    }),
  ),
})
const protections = z.object({
  protections: z.array(z.object({ environment: z.string(), waitMs: z.number() })),
})
const rollouts = z.object({
  rollouts: z.array(z.object({ id: z.string(), createdBy: z.string(), status: z.string() })),
})
const failure = z.object({ error: z.object({ code: z.string(), hint: z.string() }) })

describe('who may do what, from the command line', { timeout: 600_000 }, () => {
  let platform: PrivatePlatform
  let shop: ProbeApp
  let owner: Desk
  const desks: Desk[] = []

  before(async () => {
    platform = await startPrivatePlatform({ runner: 'process' })
    owner = Desk.ofOwner(platform)
    shop = await ProbeApp.create(platform, 'shop')
  })
  after(async () => {
    await platform.destroy()
    await Promise.all([shop.remove(), ...desks.map((desk) => desk.remove())])
  })

  const json = async <T>(shape: z.ZodType<T>, ...args: string[]): Promise<T> =>
    shape.parse(JSON.parse(await owner.must(...args, '--json')))
  /** Ends with that exit code and says why, as text and as JSON. */
  const refused = async (code: number, kind: string, says: RegExp, args: string): Promise<void> => {
    const ran = await owner.fairway(...args.split(' '))
    assert.equal(ran.code, code, `${args}: ${ran.stdout}${ran.stderr}`)
    assert.match(ran.stderr, says, args)
    const again = await owner.fairway(...args.split(' '), '--json')
    assert.equal(failure.parse(JSON.parse(again.stderr)).error.code, kind, args)
  }
  const deskWith = async (name: string, ...more: string[]): Promise<Desk> => {
    const token = await owner.must('tokens', 'create', name, ...more)
    const desk = await Desk.withToken(`http://127.0.0.1:${platform.apiPort}`, token)
    desks.push(desk)
    return desk
  }

  test('team add, remove, list, delete', async () => {
    assert.match(await owner.must('team', 'add', 'pay', 'shop', 'till'), /pay +shop, till/)
    assert.match(await owner.must('team', 'remove', 'pay', 'till'), /pay +shop$/m)
    const { teams: found } = await json(teams, 'team', 'list')
    assert.deepEqual(found, [{ name: 'pay', apps: ['shop'] }])
    const added = await json(teams, 'team', 'add', 'ops', 'till')
    assert.deepEqual(added.teams, [{ name: 'ops', apps: ['till'] }])
    assert.match(await owner.must('team', 'delete', 'ops'), /Deleted ops/)
    await refused(4, 'NOT_FOUND', /no team ops/, 'team delete ops')
    await refused(2, 'INVALID_REQUEST', /needs a TEAM and at least one APP/, 'team add pay')
    await refused(2, 'INVALID_NAME', /not a valid app name/, 'team add pay Not_An_App')
    await refused(2, 'INVALID_REQUEST', /team/, 'team add Not.A.Team shop')
    await refused(2, 'INVALID_REQUEST', /delete needs one TEAM/, 'team delete pay ops')
    await refused(2, 'INVALID_REQUEST', /invent/, 'team invent pay')
  })

  test('access grant, list, revoke', async () => {
    const grant = 'access grant --group org/payments --role developer --team pay'
    const made = await json(bindings, ...grant.split(' '))
    const [one] = made.bindings
    assert.deepEqual(
      [one?.kind, one?.name, one?.grant.role, one?.grant.team],
      ['group', 'org/payments', 'developer', 'pay'],
    )
    const shown = await owner.must('access', 'list')
    assert.match(shown, /group org\/payments +developer on the apps of pay/)
    await refused(5, 'CONFLICT', /granted already/, grant)
    await refused(5, 'CONFLICT', /named in grants of group org\/payments/, 'team delete pay')
    await refused(2, 'INVALID_REQUEST', /either --user or --group/, 'access grant --role viewer')
    await refused(
      2,
      'INVALID_REQUEST',
      /either --user or --group/,
      'access grant --user a --group b',
    )
    await refused(2, 'INVALID_REQUEST', /role/, 'access grant --user a --role king')
    await refused(2, 'INVALID_REQUEST', /--only|knows no/, 'access grant --user a --only flying')
    await refused(2, 'INVALID_REQUEST', /needs an ID/, 'access revoke')
    await refused(4, 'NOT_FOUND', /no grant b0/, 'access revoke b0')
    assert.match(await owner.must('access', 'revoke', one?.id ?? ''), /Revoked b/)
    assert.deepEqual((await json(bindings, 'access', 'list')).bindings, [])
  })

  test('nobody grants more than they have', async () => {
    const lead = await deskWith('lea', '--person', 'lea', '--role', 'admin', '--team', 'pay')
    const grant = ['access', 'grant', '--user', 'tim', '--role', 'viewer']
    const within = await lead.fairway(...grant, '--team', 'pay')
    assert.equal(within.code, 0, within.stderr)
    const beyond = await lead.fairway(...grant)
    assert.equal(beyond.code, 3)
    assert.match(beyond.stderr, /nobody can grant more than they have[^]*fairway whoami/)
    assert.equal((await lead.fairway('environment', 'protect', 'production')).code, 3)
    assert.equal((await lead.fairway('team', 'add', 'pay', 'other')).code, 3)
  })

  test('environment protect, list, unprotect', async () => {
    const protect = await owner.must('environment', 'protect', 'production', '--wait', '2h')
    assert.match(protect, /production +2h/)
    const { protections: found } = await json(protections, 'environment', 'list')
    assert.deepEqual(found, [{ environment: 'production', waitMs: 7_200_000 }])
    await owner.must('environment', 'protect', 'staging')
    assert.match(await owner.must('environment', 'unprotect', 'staging'), /begin at once/)
    await refused(4, 'NOT_FOUND', /no protection of staging/, 'environment unprotect staging')
    await refused(2, 'INVALID_REQUEST', /needs a NAME/, 'environment protect')
    await refused(2, 'INVALID_NAME', /environment/, 'environment protect Pro_duction')
    await refused(2, 'INVALID_REQUEST', /--wait/, 'environment protect staging --wait ever')
    await refused(2, 'INVALID_REQUEST', /wait/, 'environment protect staging --wait 1s')
  })

  test('approve lets the rollout of another person go on, or ends it', async () => {
    const dev = await deskWith('dora', '--person', 'dora', '--role', 'developer')
    const op = await deskWith('otto', '--person', 'otto', '--role', 'operator')
    const robot = await deskWith('robot', '--role', 'operator')
    const waiting = async (): Promise<string> => {
      const found: string[] = []
      const look = async (): Promise<boolean> => {
        const shown = await op.fairway('approve', '--app', 'shop', '--json')
        if (shown.code !== 0) return false
        const [one] = rollouts.parse(JSON.parse(shown.stdout)).rollouts
        if (one === undefined) return false
        assert.deepEqual([one.createdBy, one.status], ['dora', 'waiting'])
        return found.push(one.id) > 0
      }
      await eventually(look, { withinMs: 60_000 })
      return found[0] ?? ''
    }
    const judge = (who: Desk, ...args: string[]): Promise<Said> =>
      who.fairway('approve', ...args, '--app', 'shop')

    const first = dev.fairway('deploy', shop.folder)
    const id = await waiting()
    assert.match((await judge(op)).stdout, new RegExp(`${id} +deploy of sha256:\\w+ +dora`))
    const own = await judge(dev, id)
    assert.notEqual(own.code, 0)
    const service = await judge(robot, id)
    assert.equal(service.code, 3)
    assert.match(service.stderr, /only people/)
    assert.equal((await judge(op, 'r-none')).code, 4)
    assert.equal((await judge(op, id, 'more')).code, 2)
    const approved = await judge(op, id)
    assert.match(approved.stdout, /Approved: deploy of .* by dora goes on/)
    const live = await first
    assert.equal(live.code, 0, live.stderr)
    assert.equal((await judge(op, id)).code, 5)
    assert.match((await judge(op)).stdout, /Nothing waits for approval/)

    const second = dev.fairway('deploy', shop.folder, '--json')
    const other = await waiting()
    const no = await judge(op, other, '--refuse', '--json')
    assert.equal(no.code, 0, no.stderr)
    assert.equal(
      z.object({ rollout: z.object({ id: z.string() }) }).parse(JSON.parse(no.stdout)).rollout.id,
      other,
    )
    const ended = await second
    assert.notEqual(ended.code, 0)
    assert.match(ended.stdout + ended.stderr, /otto|refused/i)
  })
})
