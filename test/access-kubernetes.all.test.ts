import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { start } from '../src/lib/process.ts'
import { AccessBed, PROD } from './access-bed.ts'
import { lacksCluster, openTestCluster, type TestCluster } from './cluster/test-cluster.ts'
import { freePorts } from './e2e/private-platform.ts'
import { until } from './fakes/until.ts'

const WEB_SOCKETS = ['KUBECTL_REMOTE_COMMAND_WEBSOCKETS', 'KUBECTL_PORT_FORWARD_WEBSOCKETS']
/** How kubectl leaves HTTP: since 1.31 by WebSocket, which it asks for by GET, before that by SPDY. */
const TRANSPORTS = [
  { name: 'WebSocket', method: 'GET', value: 'true' },
  { name: 'SPDY', method: 'POST', value: 'false' },
].map(({ value, ...transport }) => ({
  ...transport,
  env: Object.fromEntries(WEB_SOCKETS.map((name) => [name, value])),
}))
/** Runs a program in a terminal whose size changes once the file is there. */
const TERMINAL = `stty cols 100 rows 40
file=$1
shift
(until [ -e "$file" ]; do sleep 0.1; done; stty -F /dev/tty cols 77 rows 22) &
exec "$@"
`

/** Real kubectl and real API server; between them the proxy. */
describe('kubectl through the proxy', { skip: await lacksCluster(), timeout: 900_000 }, () => {
  let cluster: TestCluster
  let bed: AccessBed
  let dev: { readonly token: string; readonly id: string }
  let config: string
  before(async () => {
    cluster = await openTestCluster()
    bed = await AccessBed.open(cluster)
    dev = await bed.person('dev', [bed.grant('mine', 'developer')])
    config = await bed.kubeconfig(dev.token)
  })
  after(async () => {
    await bed.close()
    await cluster.close()
  })
  const kubectl = (...args: readonly string[]) => bed.kubectl(dev.token, config, args)

  test('get, apply, exec, logs and who one is', async () => {
    const got = await kubectl('get', 'pods', '-o', 'name')
    assert.deepEqual([got.stdout, got.stderr], ['pod/web\n', ''])
    const map = JSON.stringify({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'made' },
      data: { a: 'b' },
    })
    const applied = await bed.kubectl(dev.token, config, ['apply', '-f', '-'], { input: map })
    assert.equal(applied.stdout, 'configmap/made created\n', applied.stderr)
    const echoed = await kubectl('exec', 'web', '--', 'echo', 'hi there')
    assert.equal(echoed.stdout, 'hi there\n', echoed.stderr)
    const piped = await bed.kubectl(dev.token, config, ['exec', '-i', 'web', '--', 'cat'], {
      input: 'through\n',
    })
    assert.equal(piped.stdout, 'through\n', piped.stderr)
    const failed = await kubectl('exec', 'web', '--', 'sh', '-c', 'exit 7')
    assert.equal(failed.code, 7)
    assert.match((await kubectl('logs', 'web', '--tail=2')).stdout, /line \d+\n/)
    const who = await kubectl('auth', 'whoami', '-o', 'json')
    assert.match(who.stdout, /"fairway:token:dev"/)
    assert.match(who.stdout, new RegExp(`fairway:${bed.namespace('mine')}:developer`))
  })

  test('another namespace, the cluster and escalation are refused', async () => {
    for (const args of [
      ['get', 'pods', '-n', bed.namespace('theirs')],
      ['exec', '-n', bed.namespace('theirs'), 'web', '--', 'id'],
      ['get', 'pods', '-A'],
      ['get', 'secrets', '-n', 'kube-system'],
      ['get', 'nodes'],
      ['create', 'rolebinding', 'x', '--clusterrole=admin', '--user=y'],
      ['get', 'pods', '--as=system:admin'],
      ['get', 'pods', '--as=kubernetes-admin', '--as-group=system:masters'],
    ]) {
      const { code, stdout, stderr } = await kubectl(...args)
      assert.equal(code, 1, `${args.join(' ')}: ${stdout}`)
      assert.match(stderr, /forbidden|not taken here|Forbidden/, args.join(' '))
    }
  })

  test('a watch, followed logs and a forwarded port go on, and end soon after the token is revoked', async () => {
    const guest = await bed.person('guest', [bed.grant('mine', 'developer')])
    const guestConfig = await bed.kubeconfig(guest.token)
    const [port = 0] = await freePorts(1)
    const follow = (...args: readonly string[]) =>
      talk(cluster.program, ['--kubeconfig', guestConfig, ...args], bed.env(guest.token))
    const watch = await follow('get', 'configmaps', '-w')
    const logs = await follow('logs', '-f', 'web', '--tail=1')
    const shell = await follow('exec', '-i', 'web', '--', 'sh')
    const forward = await follow('port-forward', 'pod/web', `${String(port)}:8080`)
    try {
      await until('the port is forwarded', () => forward.text().includes('Forwarding'), 60_000)
      const page = await fetch(`http://127.0.0.1:${String(port)}/`)
      assert.equal(await page.text(), 'hello\n')
      await until('lines come', () => (logs.text().match(/line/g) ?? []).length > 3, 60_000)
      await kubectl('create', 'configmap', 'seen')
      await until('the watch shows what was made', () => watch.text().includes('seen'), 60_000)
      shell.child.stdin?.write('echo begun\n')
      await until('the shell answers', () => shell.text().includes('begun'), 60_000)
      await bed.revoke(guest.id)
      const revokedAt = performance.now()
      await Promise.all([logs.ended, shell.ended, watch.ended])
      const took = (performance.now() - revokedAt) / 1000
      assert.ok(took < 30, `it took ${took.toFixed(1)} s`)
      const late = await bed.kubectl(guest.token, guestConfig, ['get', 'pods'])
      assert.notEqual(late.code, 0)
    } finally {
      for (const { child } of [watch, logs, shell, forward]) child.kill('SIGKILL')
    }
  })

  for (const { name, env, method } of TRANSPORTS)
    describe(`by ${name}`, () => {
      let folder: string
      before(async () => {
        folder = await mkdtemp(join(tmpdir(), 'fairway-transport-'))
        bed.logged.length = 0
      })
      after(() => rm(folder, { recursive: true, force: true }))
      const kubectl = (args: readonly string[], input = '') =>
        bed.kubectl(dev.token, config, args, { env, input })
      const opened = (what: string): boolean =>
        bed.logged.some(
          (one) =>
            one['stream'] === true &&
            one['method'] === method &&
            String(one['path']).endsWith(`/${what}`),
        )

      test('exec: output, input, exit codes', async () => {
        const echoed = await kubectl(['exec', 'web', '--', 'echo', 'hi there'])
        assert.equal(echoed.stdout, 'hi there\n', echoed.stderr)
        const piped = await kubectl(['exec', '-i', 'web', '--', 'cat'], 'through\n')
        assert.equal(piped.stdout, 'through\n', piped.stderr)
        const both = await kubectl(['exec', 'web', '--', 'sh', '-c', 'echo wrong >&2; exit 7'])
        assert.equal(both.code, 7)
        assert.match(both.stderr, /wrong/)
        assert.ok(opened('exec'))
      })

      test('a terminal has the size of ours, also when that changes', async () => {
        const changed = join(folder, 'changed')
        const script = join(folder, 'terminal.sh')
        await writeFile(script, TERMINAL)
        const words = ['sh', script, changed, cluster.program, '--kubeconfig', config]
        const command = [...words, 'exec', '-it', 'web', '--', 'sh'].join(' ')
        const shell = await talk('script', ['-qefc', command, '/dev/null'], {
          ...bed.env(dev.token),
          ...env,
        })
        const asked = setInterval(() => shell.child.stdin?.write('stty size\n'), 500)
        try {
          await until('the first size', () => /^40 100\r?$/m.test(shell.text()), 60_000)
          await writeFile(changed, '')
          await until('the second size', () => /^22 77\r?$/m.test(shell.text()), 60_000)
          clearInterval(asked)
          shell.child.stdin?.write('exit\n')
          await shell.ended
        } finally {
          clearInterval(asked)
          shell.child.kill('SIGKILL')
        }
      })

      test('cp there and back', async () => {
        const [there, back] = [join(folder, 'there'), join(folder, 'back')]
        const bytes = randomBytes(3 << 20)
        await writeFile(there, bytes)
        const up = await kubectl(['cp', there, 'web:/www/blob'])
        assert.equal(up.code, 0, up.stderr)
        const down = await kubectl(['cp', 'web:/www/blob', back])
        assert.equal(down.code, 0, down.stderr)
        assert.ok(bytes.equals(await readFile(back)))
      })

      test('port-forward', async () => {
        const [port = 0] = await freePorts(1)
        const words = ['--kubeconfig', config, 'port-forward', 'pod/web', `${String(port)}:8080`]
        const forward = await talk(cluster.program, words, { ...bed.env(dev.token), ...env })
        try {
          await until('the port is forwarded', () => forward.text().includes('Forwarding'), 60_000)
          const pages = await Promise.all(
            [1, 2, 3].map(async () => (await fetch(`http://127.0.0.1:${String(port)}/`)).text()),
          )
          assert.deepEqual(pages, ['hello\n', 'hello\n', 'hello\n'])
        } finally {
          forward.child.kill('SIGKILL')
        }
        await forward.ended
        await until('it is told', () => opened('portforward'), 20_000)
      })
    })

  test('two kubectl at once make one token, and the next takes it from the cache', async () => {
    const two = await bed.person('two', [bed.grant('mine', 'viewer')])
    const path = await bed.kubeconfig(two.token)
    const issued = bed.countTokens()
    const all = await Promise.all(
      [1, 2].map(() => bed.kubectl(two.token, path, ['get', 'pods', '-o', 'name'])),
    )
    assert.deepEqual(
      all.map(({ stdout, stderr }) => stdout + stderr),
      ['pod/web\n', 'pod/web\n'],
    )
    await bed.kubectl(two.token, path, ['get', 'pods'])
    assert.equal(issued(), 1)
    const viewer = await bed.kubectl(two.token, path, ['exec', 'web', '--', 'id'])
    assert.match(viewer.stderr, /forbidden/)
  })

  test('headers and paths that would make it somebody else’s request are refused', async () => {
    const { token } = await bed.opened.access.issue(
      ...(await bed.issueArguments(dev.token)),
      PROD,
      null,
    )
    const pods = `/clusters/prod/api/v1/namespaces/${bed.namespace('mine')}/pods`
    assert.equal(await bed.status(token, pods), 200)
    for (const headers of [
      { 'impersonate-user': 'system:admin' },
      { 'Impersonate-Group': 'system:masters' },
      { 'impersonate-extra-scopes': 'x' },
      { 'x-remote-user': 'system:admin' },
      { 'x-remote-group': 'system:masters' },
    ])
      assert.equal(await bed.status(token, pods, headers), 403, JSON.stringify(headers))
    assert.equal(await bed.status(token, pods, { connection: 'impersonate-user' }), 400)
    for (const path of [
      '/clusters/prod/api/..%2f..%2fapi/v1/namespaces/kube-system/secrets',
      '/clusters/prod/../staging/api',
      '/clusters/prod//api/v1/nodes',
      '/clusters/prod/metrics',
    ])
      assert.equal(await bed.status(token, path), 400, path)
    assert.equal(await bed.status('', pods), 401)
    assert.equal(await bed.status(dev.token, pods), 401)
    assert.equal(await bed.status(token, pods.replace('prod', 'staging')), 401)
    assert.ok(bed.logged.some(({ refused }) => String(refused).includes('impersonate-user')))
  })

  test('the proxy’s own account can do nothing by itself', async () => {
    const account = `system:serviceaccount:${bed.owner}-access:access`
    for (const what of [
      ['list', 'pods', '-A'],
      ['get', 'secrets', '-n', 'kube-system'],
      ['impersonate', 'users/system:admin'],
      ['impersonate', 'groups/system:masters'],
      ['create', 'clusterrolebindings'],
    ]) {
      const asked = await cluster.tryKubectl(['auth', 'can-i', ...what, '--as', account])
      assert.equal(asked.stdout.trim(), 'no', what.join(' '))
    }
  })
})

/** Starts a program that is spoken to, and keeps what it says. */
async function talk(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
) {
  const child = await start(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const ended = new Promise((done) => child.once('exit', done))
  return { child, ended, text: () => text }
}
