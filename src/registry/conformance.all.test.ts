import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { runToEnd, type RunResult } from '../lib/process.ts'
import { ImageStore } from '../oci/image-store.ts'
import { createRegistry } from './registry.ts'

const SUITE = 'github.com/opencontainers/distribution-spec/conformance'
/** The newest that the Go module proxy serves with a hash that was published; go.sum pins its bytes. */
const VERSION = 'v0.0.0-20250220192232-583e014d1541'
const HASH = 'h1:hR3QfebIYiUVKERH00V10eKn2s6mOiE4FvX9ZpEkjp0='
const MOD_HASH = 'h1:DOO4RzIigGVoAksLURsDbKHpJ8zX5eEQfsmkqY39yyE='

const scratch = mkdtempSync(join(tmpdir(), 'fairway-conformance-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

async function go(args: readonly string[], cwd: string): Promise<RunResult | null> {
  const { PATH = '', HOME = homedir() } = process.env
  try {
    const env = { PATH, HOME, GOFLAGS: '-mod=mod' }
    return await runToEnd('go', args, { cwd, env, timeoutMs: 400_000 })
  } catch {
    return null
  }
}

/** The path of the built suite, or why there is none. */
async function buildSuite(): Promise<{ readonly path: string } | { readonly missing: string }> {
  if ((await go(['version'], scratch)) === null) return { missing: 'needs go' }
  const folder = join(scratch, 'suite')
  mkdirSync(folder)
  writeFileSync(join(folder, 'go.mod'), `module suite\n\ngo 1.21\n\nrequire ${SUITE} ${VERSION}\n`)
  writeFileSync(join(folder, 'suite.go'), 'package suite\n')
  writeFileSync(
    join(folder, 'go.sum'),
    `${SUITE} ${VERSION} ${HASH}\n${SUITE} ${VERSION}/go.mod ${MOD_HASH}\n`,
  )
  const path = join(folder, 'conformance')
  const built = await go(['test', '-c', '-o', path, SUITE], folder)
  if (built?.code === 0) return { path }
  return { missing: `needs the conformance suite: ${built?.stderr.split('\n').at(-2) ?? ''}` }
}

test('the OCI distribution conformance suite finds no failure', async (context) => {
  const suite = await buildSuite()
  if ('missing' in suite) {
    context.skip(suite.missing)
    return
  }
  const images = await ImageStore.open({ root: join(scratch, 'store') })
  const basic = `Basic ${Buffer.from('user:password').toString('base64')}`
  const registry = createRegistry({
    images,
    randomId: randomUUID,
    authorize: ({ headers }) =>
      Promise.resolve(headers.authorization === basic ? 'ok' : 'unauthenticated'),
  })
  const server = createServer((request, response) => {
    void registry.handle(request, response)
  })
  try {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    assert.ok(typeof address === 'object' && address !== null)
    const { stdout } = await runToEnd(suite.path, ['-test.v'], {
      cwd: scratch,
      timeoutMs: 120_000,
      env: {
        OCI_ROOT_URL: `http://127.0.0.1:${address.port}`,
        OCI_NAMESPACE: 'conformance/one',
        OCI_CROSSMOUNT_NAMESPACE: 'conformance/two',
        OCI_USERNAME: 'user',
        OCI_PASSWORD: 'password',
        OCI_TEST_PULL: '1',
        OCI_TEST_PUSH: '1',
        OCI_TEST_CONTENT_DISCOVERY: '1',
        OCI_TEST_CONTENT_MANAGEMENT: '1',
        OCI_REPORT_DIR: scratch,
      },
    })
    const counts = /(\d+) Passed.*?(\d+) Failed.*?(\d+) Skipped/s.exec(
      stdout.replace(/\x1b\[[0-9;]*m/g, ''),
    )
    context.diagnostic(`${VERSION}: ${counts?.[0].replace(/\s+/g, ' ') ?? 'no counts'}`)
    assert.equal(counts?.[2], '0', stdout.slice(-4000))
    assert.ok(Number(counts[1]) >= 74)
  } finally {
    await registry.close()
    server.closeAllConnections()
    server.close()
  }
})
