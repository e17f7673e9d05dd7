import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FarAuthority, type AskServer } from './far-authority.ts'
import { GRPC, GrpcError } from './grpc.ts'

const WEB = { trustDomain: 'example.org', path: '/production/shop/web' }
const TRUSTED = { trustDomain: 'example.org', roots: ['root'], jwtBundle: '{"keys":[]}' }

function bed(ask: AskServer) {
  const asked: unknown[] = []
  let now = 1_000_000
  const authority = new FarAuthority({
    ask: (question) => {
      asked.push(question)
      return ask(question)
    },
    now: () => now,
    first: TRUSTED,
  })
  return { authority, asked, pass: (ms: number) => (now += ms) }
}

function refusedWith(status: number) {
  return (error: unknown): boolean => error instanceof GrpcError && error.status === status
}

test('a JWT-SVID is asked for once in two minutes, per audience, and anew for another root', async () => {
  let number = 0
  const { authority, asked, pass } = bed(() => Promise.resolve({ token: `t${String(number++)}` }))
  assert.equal(await authority.jwtSvid(WEB, ['a']), 't0')
  assert.equal(await authority.jwtSvid(WEB, ['a']), 't0')
  assert.equal(await authority.jwtSvid(WEB, ['a', 'b']), 't1')
  pass(120_001)
  assert.equal(await authority.jwtSvid(WEB, ['a']), 't2')
  const next = { ...TRUSTED, roots: ['other'] }
  authority.trust(next)
  assert.equal(await authority.jwtSvid(WEB, ['a']), 't3')
  assert.deepEqual(await authority.bundle(), next)
  assert.equal(asked.length, 4)
})

test('an app that asks without end has only itself to wait for', async () => {
  const gate = Promise.withResolvers<{ readonly token: string }>()
  const { authority, asked } = bed(() => gate.promise)
  const all = Array.from({ length: 50 }, (_, index) => authority.jwtSvid(WEB, [String(index)]))
  const settled = Promise.allSettled(all)
  gate.resolve({ token: 't' })
  const refused = (await settled).filter(({ status }) => status === 'rejected')
  assert.deepEqual([asked.length, refused.length], [2, 48])
  await assert.rejects(
    Promise.all([1, 2, 3].map((one) => authority.validateJwtSvid('x', String(one)))),
    refusedWith(GRPC.RESOURCE_EXHAUSTED),
  )
})

test('a server that is away and one that refuses are told apart', async () => {
  const away = bed(() => Promise.resolve(null))
  await assert.rejects(away.authority.jwtSvid(WEB, ['a']), refusedWith(GRPC.UNAVAILABLE))
  const no = bed(() => Promise.resolve('not yours'))
  await assert.rejects(no.authority.jwtSvid(WEB, ['a']), refusedWith(GRPC.PERMISSION_DENIED))
  const bad = bed(() => Promise.resolve({ id: null }))
  assert.equal(await bad.authority.validateJwtSvid('x', 'a'), null)
})
