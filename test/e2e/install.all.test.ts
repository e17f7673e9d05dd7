import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import { systemClock } from '../../src/lib/clock.ts'
import { LocalAuthority } from '../../src/router/local-authority.ts'
import { containersWork } from '../containers-work.ts'
import { lacksCluster } from '../cluster/test-cluster.ts'
import { CLIENT_ID, OpenIdServer } from '../fakes/openid-server.ts'
import { artifact, cache, mavenJar, reaches } from './artifacts.ts'
import { startPackageMirror, type PackageMirror } from './package-mirror.ts'
import { lacksLab, startClusterPlatform, TARGET, type ClusterPlatform } from './cluster-platform.ts'
import { loginByDevice } from './device-login.ts'
import { startPackageRegistry, type PackageRegistry } from './package-registry.ts'
import { askThrough } from './routed.ts'

const SUBNET = '10.234.0.0/20'
const NAMESPACE = 'fairway-system'
const API_PORT = 30_701
const ACCESS_PORT = 30_702
const LONG = 600_000
/** A Job of the namespace made a pod. */
const JOB_EVENTS = 'reason=SuccessfulCreate,involvedObject.kind=Job'
const cli = join(import.meta.dirname, '../../bin/fairway')
const EXAMPLES = join(import.meta.dirname, '../../examples')
const H2 = 'h2-2.3.232.jar'
const h2 = await artifact(H2, mavenJar('com.h2database:h2:2.3.232'))
const wheels = await reaches('PyPI', 'python3', [
  ...['-m', 'pip', 'download', '-q', '-d', join(cache, 'httpbin')],
  ...['-r', join(EXAMPLES, 'python-httpbin/requirements.txt')],
])
const missing = lacksLab() || (await lacksCluster()) || (await containersWork())

suite('the control plane on a cluster', { skip: missing }, () => {
  let bed: ClusterPlatform | null = null
  /** The folder of an app, and of whoever deploys it. */
  let home = ''
  let aside = ''
  /** What the first release says. */
  let greeting = ''
  let registry: PackageRegistry | null = null
  let mirror: PackageMirror | null = null
  /** Command lines of somebody else, logged in at the cluster's own control plane. */
  let env: Readonly<Record<string, string>> = {}
  const platform = (): ClusterPlatform => {
    assert.ok(bed !== null)
    return bed
  }
  const kubectl = (...args: string[]): Promise<string> =>
    platform().cluster.kubectl(['-n', NAMESPACE, ...args])
  const activePod = (): Promise<string> =>
    kubectl('get', 'pods', '-l', 'fairway/role=active', '-o', 'jsonpath={.items[*].metadata.name}')
  const url = async (): Promise<string> => {
    const path = 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}'
    return `http://${await kubectl('get', 'nodes', '-o', path)}:${String(API_PORT)}`
  }
  const runIn = async (args: readonly string[], cwd = home): Promise<string> => {
    const { run } = await import('../../src/lib/process.ts')
    return run(cli, [...args], { env, cwd, timeoutMs: LONG })
  }
  const must = (...args: string[]): Promise<string> => runIn(args)
  const answers = async (): Promise<boolean> => {
    const signal = AbortSignal.timeout(1000)
    const response = await fetch(`${await url()}/v1/health`, { signal }).catch(() => null)
    return response?.ok === true
  }
  const twoReady = async (): Promise<boolean> => {
    const path = 'jsonpath={.status.readyReplicas}'
    return (await kubectl('get', 'deployment', 'fairway', '-o', path)) === '2'
  }
  const until = async (what: string, holds: () => Promise<boolean>): Promise<number> => {
    const began = performance.now()
    while (!(await holds())) {
      assert.ok(performance.now() - began < 300_000, `${what} within 300 s`)
      await systemClock.sleep(100)
    }
    return performance.now() - began
  }

  const installArguments = async (): Promise<string[]> => {
    const ports = ['--node-port', String(API_PORT), '--access-node-port', String(ACCESS_PORT)]
    const options = ['--with-postgres', ...ports, '--host', new URL(await url()).hostname]
    const packages = [
      ...['--npm-registry', registry?.url ?? ''],
      ...['--pip-index', mirror?.pipIndex ?? ''],
      ...['--apt-sources', join(aside, 'debian.sources')],
    ]
    return ['install', '--target', TARGET, ...options, ...packages]
  }

  before(async () => {
    bed = await startClusterPlatform({ subnet: SUBNET, nodes: 2 })
    home = await mkdtemp(join(tmpdir(), 'fairway-install-'))
    aside = await mkdtemp(join(tmpdir(), 'fairway-install-aside-'))
    const host = bed.cluster.host ?? ''
    registry = await startPackageRegistry(host, aside)
    mirror = await startPackageMirror(host, join(cache, 'httpbin'), join(aside, 'mirror'))
    await writeFile(join(aside, 'debian.sources'), mirror.aptSources)
    const keys = { SOPS_AGE_KEY_FILE: join(home, 'keys.txt') }
    env = { ...bed.platform.env, ...keys, HOME: home, XDG_CONFIG_HOME: home }
  })
  after(async () => {
    await registry?.close()
    await mirror?.close()
    await bed?.destroy()
    for (const folder of [home, aside])
      if (folder !== '') await rm(folder, { recursive: true, force: true })
  })

  test('a dry run changes nothing and writes what would be applied', async () => {
    const args = ['install', '--target', TARGET, '--with-postgres', '--dry-run', '-o', home]
    await platform().platform.must(args, { timeoutMs: LONG })
    const found = await platform().cluster.tryKubectl(['get', 'namespace', NAMESPACE])
    assert.notEqual(found.code, 0)
    const manifests = join(home, 'fairway.yaml')
    const namespaces = [NAMESPACE, `${NAMESPACE}-builds`]
    for (const name of namespaces) await platform().cluster.kubectl(['create', 'namespace', name])
    try {
      const dry = ['apply', '--server-side', '--force-conflicts', '--dry-run=server', '-f']
      assert.match(
        await platform().cluster.kubectl([...dry, manifests]),
        /deployment.apps\/fairway/,
      )
    } finally {
      await platform().cluster.kubectl(['delete', 'namespace', ...namespaces])
    }
  })

  test('installs, is claimed once, and deploys an app to the cluster it runs in', async () => {
    const said = await platform().platform.must(await installArguments(), { timeoutMs: LONG })
    const claim = /--claim (\S+)/.exec(said)?.[1] ?? ''
    await until('the API answers', answers)
    await must('login', await url(), '--claim', claim)
    const secret = await kubectl('get', 'secret', 'fairway-claim', '-o', 'jsonpath={.data}')
    assert.ok(!secret.includes('code'), 'the claim code is gone once it was used')
    assert.doesNotMatch(await must('doctor', '--target', TARGET), /may not/)
    await writeFile(join(home, 'package.json'), '{"scripts":{"start":"node server.js"}}')
    await writeFile(join(home, 'server.js'), server('one'))
    // No target is named: it is the cluster around the server.
    await writeFile(
      join(home, 'fairway.yaml'),
      `version: 1
name: hello
processes: { web: { identity: true, resources: { memory: 64Mi, cpu: 0.1 } } }
environments: { production: { secrets: [secrets.production.yaml] } }
`,
    )
    const identity = await generateX25519Identity()
    await writeFile(join(home, 'keys.txt'), identity)
    const rules = `creation_rules:\n  - path_regex: secrets\n    age: ${await identityToRecipient(identity)}\n`
    await writeFile(join(home, '.sops.yaml'), rules)
    await must('secrets', 'set', 'KEY=planted', '--env', 'production')
    await must('secrets', 'recipients', 'add', '--app', 'hello', '--env', 'production')
    assert.match(await must('deploy'), /release 1 of hello is live/)
    const { host: address } = await platform().service('hello--production')
    greeting = await (await fetch(`http://${address}/`)).text()
    const own = 'spiffe://fairway-[0-9a-f]+\\.internal/production/hello/web'
    assert.match(greeting, new RegExp(`^one, a secret of 7, URI:${own} of [0-9a-f]{64}$`))
  })

  test('dependencies are installed by a Job there, from the registry that it was told of', async () => {
    assert.ok(registry !== null)
    await registry.publish('company-greeting', "module.exports = 'from a package'\n")
    const app = join(aside, 'greets')
    await mkdir(app)
    const manifest = {
      scripts: { start: 'node server.js' },
      dependencies: { 'company-greeting': '^1.0.0' },
    }
    await writeFile(join(app, 'package.json'), JSON.stringify(manifest))
    await writeFile(
      join(app, 'server.js'),
      "require('http').createServer((q, r) => r.end(require('company-greeting'))).listen(process.env.PORT)",
    )
    await registry.client.npm(['install', '--package-lock-only'], app)
    const done = await runIn(['deploy', '--app', 'greets'], app)
    assert.match(done, /release 1 of greets is live/)
    const { host } = await platform().service('greets--production')
    assert.equal(await (await fetch(`http://${host}/`)).text(), 'from a package')
    const builds = (...args: string[]): Promise<string> =>
      platform().cluster.kubectl(['-n', `${NAMESPACE}-builds`, 'get', ...args])
    assert.match(await builds('events', '-o', 'name', '--field-selector', JOB_EVENTS), /^event/)
    assert.equal(await builds('jobs', '-o', 'name'), '')
    await must('destroy', 'greets', '--yes')
  })

  test(
    'a Python app is baked there: Debian’s Python, packages of the index that it was told of',
    {
      skip: wheels,
    },
    async () => {
      const app = join(aside, 'python-httpbin')
      await cp(join(EXAMPLES, 'python-httpbin'), app, { recursive: true })
      const done = await runIn(['deploy'], app)
      assert.match(done, /runtime: .*Python|base: Debian/)
      assert.match(done, /release 1 of python-httpbin is live/)
      const { host } = await platform().service('python-httpbin--production')
      const said = await fetch(`http://${host}/get?a=1`)
      assert.equal(said.headers.get('server'), 'gunicorn')
      assert.match(await said.text(), /"a": "1"/)
      await must('destroy', 'python-httpbin', '--yes')
    },
  )

  test('a jar is baked there, on a Java that was linked for it', { skip: h2 }, async () => {
    const app = join(aside, 'h2-console')
    await cp(join(EXAMPLES, 'h2-console'), app, { recursive: true })
    await cp(join(cache, H2), join(app, 'h2.jar'))
    const done = await runIn(['deploy', 'h2.jar'], app)
    assert.match(done, /release 1 of h2-console is live/)
    const { host: address, port } = await platform().service('h2-console--production')
    const page = await askThrough(port, 'h2-console.localhost', '/', { address })
    assert.match(page.body, /<title>H2 Console<\/title>/)
    await must('destroy', 'h2-console', '--yes')
  })

  test('people’s own kubectl gets in at it, to where their role says', async () => {
    const config = join(home, 'people.yaml')
    const { run, runToEnd } = await import('../../src/lib/process.ts')
    await writeFile(config, await must('kubeconfig', '--command', cli))
    const program = platform().cluster.program
    const args = ['--kubeconfig', config, '-n', 'hello--production', 'get', 'pods', '-o', 'name']
    assert.match(await run(program, args, { env }), /^pod\/web-/)
    const elsewhere = ['--kubeconfig', config, '-n', NAMESPACE, 'get', 'secrets']
    const refused = await runToEnd(program, elsewhere, { env })
    assert.match(refused.stderr, /Forbidden/)
  })

  test('people log in at their identity provider, once the servers were given it; what was given stays', async () => {
    const host = platform().cluster.host ?? ''
    const authority = await LocalAuthority.open(aside, () => systemClock.now())
    const certificate = await authority.files(host)
    const provider = await OpenIdServer.start(
      `${await url()}/oidc/callback`,
      {},
      { host, ...certificate },
    )
    provider.people.set('ada', ['ops'])
    try {
      const { issuer, clientSecret } = provider
      const lines = [
        `FAIRWAY_PUBLIC_URL=${await url()}`,
        `FAIRWAY_OIDC_ISSUER=${issuer}`,
        `FAIRWAY_OIDC_CLIENT_ID=${CLIENT_ID}`,
        'FAIRWAY_OIDC_CLIENT_SECRET_FILE=client-secret',
        'NODE_EXTRA_CA_CERTS=ca.pem',
        'FAIRWAY_RELEASES_KEPT=1',
        'FAIRWAY_COLLECT_GRACE_MINUTES=0',
      ]
      await writeFile(join(aside, 'client-secret'), `${clientSecret}\n`)
      await writeFile(join(aside, 'server.env'), lines.join('\n'))
      const given = ['--settings', join(aside, 'server.env')]
      const again = await installArguments()
      await platform().platform.must([...again, ...given], { timeoutMs: LONG })
      await until('the API answers', answers)
      const ca = await readFile(join(aside, 'ca.pem'), 'utf8')
      setDefaultCACertificates([...getCACertificates('default'), ca])
      const theirs = { ...env, HOME: join(aside, 'ada'), XDG_CONFIG_HOME: join(aside, 'ada') }
      assert.match(await loginByDevice(await url(), 'ada', theirs), /Logged in to .* as ada/)
      const kept = await platform().platform.must([...again, '--dry-run'], { timeoutMs: LONG })
      assert.ok(kept.includes(Buffer.from(issuer).toString('base64')))
      assert.ok(kept.includes(Buffer.from(`${clientSecret}\n`).toString('base64')))
    } finally {
      await provider.stop()
    }
  })

  test('one of two is active; without it the other goes on with what it knew', async (t) => {
    await until('two servers are ready', twoReady)
    let first = ''
    // One that is being replaced by another installation is among them until it is gone.
    await until('exactly one is active', async () => {
      first = await activePod()
      return /^fairway-\S+$/.test(first)
    })
    await kubectl('delete', 'pod', first, '--wait=false')
    const took = await until('another is active and answers', async () => {
      const now = await activePod()
      return now !== '' && !now.split(' ').includes(first) && (await answers())
    })
    t.diagnostic(`active again after ${String(Math.round(took))} ms`)
    await until('another stands by', twoReady)
    // Its pods get secrets and identities from the other server now: one key, one authority.
    await writeFile(join(home, 'server.js'), server('two'))
    assert.match(await must('deploy'), /release 2 of hello is live/)
    assert.match(await must('rollback'), /release 3 of hello is live/)
    const { host } = await platform().service('hello--production')
    await until('the nodes have heard of it', async () => {
      return (await (await fetch(`http://${host}/`)).text()) === greeting
    })
  })

  test('images that no release needs any more are removed from the registry there', async () => {
    const path = 'jsonpath={.data.FAIRWAY_REGISTRY_PULL_PASSWORD}'
    const password = await kubectl('get', 'secret', 'fairway-registry', '-o', path)
    const login = `x:${Buffer.from(password, 'base64').toString()}`
    const headers = { authorization: `Basic ${Buffer.from(login).toString('base64')}` }
    const inRegistry = async (what: string): Promise<Response> =>
      fetch(new URL(`/v2/${what}`, `http://${new URL(await url()).hostname}:30500`), { headers })
    const tags = async (app: string): Promise<unknown> =>
      (await inRegistry(`${app}/production/tags/list`)).json()
    assert.deepEqual(await tags('hello'), { name: 'hello/production', tags: ['1', '2', '3'] })
    assert.match(await must('gc'), /[1-9]\S* \S+ freed: 1 releases/)
    assert.deepEqual(await tags('hello'), { name: 'hello/production', tags: ['2', '3'] })
    assert.deepEqual(await tags('greets'), { name: 'greets/production', tags: [] })
    for (const number of [2, 3])
      assert.equal((await inRegistry(`hello/production/manifests/${String(number)}`)).status, 200)
    assert.match(await must('rollback'), /release 4 of hello is live/)
  })
})

/** Answers its word, how long the secret is, who it is and which root it trusts. */
function server(word: string): string {
  return `const { readFileSync } = require('fs'), { createHash, X509Certificate } = require('crypto')
const secret = readFileSync(process.env.FAIRWAY_SECRETS + '/KEY', 'utf8'), folder = process.env.FAIRWAY_IDENTITY
const { subjectAltName } = new X509Certificate(readFileSync(folder + '/svid.pem'))
const root = createHash('sha256').update(readFileSync(folder + '/bundle.pem')).digest('hex')
require('http').createServer((q, r) => r.end('${word}, a secret of ' + secret.length + ', ' + subjectAltName + ' of ' + root)).listen(process.env.PORT)`
}
