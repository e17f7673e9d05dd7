import assert from 'node:assert/strict'
import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { test, type TestContext } from 'node:test'
import { minimalEnv, runToEnd, type RunResult } from '../lib/process.ts'
import { SECRETS_SERVER_NAME } from '../model/instance-secrets.ts'
import { LocalAuthority } from '../router/local-authority.ts'
import { HELPER_PACKAGE, HELPER_SOURCES } from './helper-files.ts'

const ROOT = resolve(import.meta.dirname, '../..')

interface Bed {
  readonly seen: string[]
  readonly files: string
  fetch(url?: string): Promise<RunResult>
}

type Answers = readonly { readonly status: number; readonly body: object }[]

/** The program with its own files and nothing else of ours, as its image has them, beside a server under a real authority. */
async function openBed(
  context: TestContext,
  answers: Answers,
  name = SECRETS_SERVER_NAME,
): Promise<Bed> {
  const home = await mkdtemp(join(tmpdir(), 'fairway-fetcher-'))
  for (const path of HELPER_SOURCES) {
    await mkdir(join(home, 'app', dirname(path)), { recursive: true })
    await copyFile(join(ROOT, path), join(home, 'app', path))
  }
  await writeFile(join(home, 'app/package.json'), HELPER_PACKAGE)
  const files = join(home, 'secrets')
  await mkdir(files)
  await writeFile(join(home, 'token'), 'the-token\n')
  const authority = await LocalAuthority.open(join(home, 'ca'), Date.now)
  const seen: string[] = []
  const server = createServer(await authority.files(name), (request, response) => {
    const answer = answers[Math.min(seen.length, answers.length - 1)]
    seen.push(`${String(request.method)} ${String(request.headers.authorization)}`)
    response.writeHead(answer?.status ?? 500).end(JSON.stringify(answer?.body))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(async () => {
    server.closeAllConnections()
    server.close()
    await rm(home, { recursive: true, force: true })
  })
  const { port } = server.address() as AddressInfo
  const own = `https://127.0.0.1:${String(port)}/clusters/prod/instance-secrets`
  const fetch: Bed['fetch'] = (url = own) =>
    runToEnd(process.execPath, [join(home, 'app', HELPER_SOURCES[0])], {
      env: {
        ...minimalEnv(),
        FAIRWAY_SECRETS: files,
        FAIRWAY_SECRETS_CA: authority.certificatePem,
        FAIRWAY_SECRETS_TOKEN: join(home, 'token'),
        FAIRWAY_SECRETS_URL: url,
      },
      timeoutMs: url === own && name === SECRETS_SERVER_NAME ? 60_000 : 4_000,
    })
  return { seen, files, fetch }
}

const VALUES = {
  status: 200,
  body: { files: { KEY: Buffer.from('planted\0value').toString('base64'), EMPTY: '' } },
}

test('values become files that only their user reads, and what an earlier try left is gone', async (context) => {
  const bed = await openBed(context, [VALUES])
  await writeFile(join(bed.files, '..KEY'), 'half', { mode: 0o400 })
  await writeFile(join(bed.files, 'OLD'), 'old', { mode: 0o400 })
  const { code, stdout, stderr } = await bed.fetch()
  assert.equal(code, 0, stderr)
  assert.deepEqual((await readdir(bed.files)).sort(), ['EMPTY', 'KEY'])
  assert.equal(await readFile(join(bed.files, 'KEY'), 'utf8'), 'planted\0value')
  assert.equal((await stat(join(bed.files, 'KEY'))).mode & 0o777, 0o400)
  assert.deepEqual(bed.seen, ['POST Bearer the-token'])
  assert.ok(!`${stdout}${stderr}`.includes('planted'))
})

test('a refusal ends it with the server’s own words; a server that cannot answer yet is asked again', async (context) => {
  const busy = { status: 503, body: { message: 'fairway: the cluster does not answer' } }
  const again = await openBed(context, [busy, busy, VALUES])
  assert.equal((await again.fetch()).code, 0)
  assert.equal(again.seen.length, 3)
  const no = { status: 403, body: { message: 'fairway: the pod is none of this server’s' } }
  const refused = await openBed(context, [busy, no])
  const { code, stderr } = await refused.fetch()
  assert.equal(code, 1)
  assert.match(stderr, /waits for the server: fairway: the cluster does not answer/)
  assert.match(stderr.trim().split('\n').at(-1) ?? '', /^refused: fairway: the pod is none of/)
  assert.deepEqual(await readdir(refused.files), [])
})

test('names that leave the folder are not written', async (context) => {
  const bed = await openBed(context, [{ status: 200, body: { files: { '../out': 'eA==' } } }])
  const { code, stderr } = await bed.fetch()
  assert.equal(code, 1)
  assert.match(stderr, /refused: the answer holds what is no file/)
})

test('a token goes to a server with the right certificate alone, and one that is away is waited for', async (context) => {
  const other = await openBed(context, [VALUES], 'elsewhere.example')
  const { code, stderr } = await other.fetch()
  assert.notEqual(code, 0)
  assert.match(stderr, /waits for the server: .*does not match certificate/)
  assert.deepEqual(other.seen, [])
  const bed = await openBed(context, [VALUES])
  // Nobody is given port 1, as could be one that was just given back.
  const waited = await bed.fetch('https://127.0.0.1:1/')
  assert.match(waited.stderr, /waits for the server: connect ECONNREFUSED/)
  assert.equal(waited.timedOut, true)
})
