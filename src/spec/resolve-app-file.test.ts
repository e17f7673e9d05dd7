import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FairwayError } from '../model/errors.ts'
import { parseAppName, parseEnvironmentName } from '../model/names.ts'
import type { Problem } from './problem.ts'
import { laterKeys, recognitionHints, resolveAppFile } from './resolve-app-file.ts'
import { PROCESS_DEFAULTS } from '../model/app-spec.ts'

const ref = { app: parseAppName('shop'), environment: parseEnvironmentName('production') }

function resolve(text: string, environment = 'production', engine: string | null = 'machine') {
  return resolveAppFile({
    file: { path: 'fairway.yaml', text },
    ref: { ...ref, environment: parseEnvironmentName(environment) },
    recognition: null,
    engine,
  })
}

function failure(text: string, environment = 'production', engine: string | null = null) {
  try {
    resolve(text, environment, engine)
  } catch (error) {
    assert.ok(error instanceof FairwayError, String(error))
    return error
  }
  throw new Error('expected the file to be refused')
}

/** Every key that the format has, as research proposed it and a little more. */
export const WHOLE_FILE = `
version: 1
name: shop
build: { dockerfile: Dockerfile, context: ., target: prod, args: {}, watch: [src/**, package.json] }
env:
  LOG_LEVEL: info
  DATABASE_URL: \${addons.db.url}
  STRIPE_KEY: { secret: stripe-key }
  JWT_SECRET: { generate: 32 }
release: { command: npm run migrate, timeout: 10m }
processes:
  web:
    command: node server.js
    port: 8080
    routes: { main: { host: shop.example.com, path: / } }
    health: { ready: /healthz, live: /livez, start: 60s, check: { interval: 2s, timeout: 2s, failures: 3 } }
    shutdown: { signal: SIGTERM, drain: 30s, stop: 45s }
    resources: { cpu: 0.5, memory: 512Mi, startup: { cpu: 2 } }
    scale: { min: 2, max: 10, on: { cpu: 70%, concurrency: 50 }, zero: { after: 15m }, windows: { office: { tz: Europe/Berlin, from: "0 7 * * 1-5", to: "0 19 * * 1-5", min: 4 } } }
    deploy: { strategy: canary, steps: [5%, 25%, 100%], pause: 2m, analysis: { errorRate: "<1%", p95: "<500ms", minRequests: 100 } }
    spread: zone
    warmup: { path: /warm, requests: 20 }
    sidecars: { proxy: { image: envoy } }
  api: { command: node api.js, port: 9090 }
  worker: { command: node worker.js, scale: { min: 0, max: 20, on: { queue: { addon: cache, list: jobs, perReplica: 10, activateAbove: 0 } } }, shutdown: { stop: 10m } }
  nightly: { command: node report.js, schedule: "0 3 * * *", tz: UTC, overlap: forbid, deadline: 1h, retries: 2, catchUp: 10m }
  scheduler: { command: node tick.js, singleton: lease }
addons:
  db: { type: postgres, version: "16", storage: 10Gi, backup: { every: 24h, keep: 7 } }
  cache: { type: redis, persist: false }
volumes: { uploads: { size: 5Gi, mount: /data, processes: [web], shared: true } }
mesh: { mtls: strict, allow: { api: [web, worker] }, calls: { api: { timeout: 2s, retries: 1 } } }
gate: { scan: { block: high, ignoreUnfixed: true }, sbom: required, signed: required, secrets: block, approve: { production: 1 } }
environments:
  production: { region: eu-1 }
  staging: { processes: { web: { scale: { min: 1 } } } }
  preview:
    previews: { on: push, ttl: 7d, sleep: 1h, share: [db-readonly, api] }
    processes: { nightly: null }
    addons: { db: { from: { snapshot: staging, mask: rules/mask.yml } } }
`

test('without a file everything is a default', () => {
  const { spec, warnings } = resolveAppFile({
    file: null,
    ref,
    recognition: { plan: { kind: 'static', root: '.' }, evidence: 'index.html' },
  })
  assert.deepEqual(warnings, [])
  assert.deepEqual(spec, {
    name: 'shop',
    environment: 'production',
    target: null,
    build: { image: null, command: null, context: '.' },
    env: {},
    release: null,
    processes: {
      web: {
        name: 'web',
        type: 'web',
        command: null,
        env: {},
        port: null,
        routes: [{ host: null, path: '/' }],
        health: {
          ready: null,
          live: null,
          startMs: 60_000,
          intervalMs: 1000,
          timeoutMs: 2000,
          failures: 3,
        },
        shutdown: { signal: 'SIGTERM', drainMs: 30_000, stopMs: 30_000 },
        resources: { cpu: 1, memory: 512 * 2 ** 20, pids: 512 },
        scale: { min: 1, max: 1 },
        strategy: 'rolling',
        maxAgeMs: null,
        ...PROCESS_DEFAULTS,
      },
    },
  })
})

test('an environment names its encrypted files, and variables that come from them', () => {
  const file = `version: 1
name: shop
env: { STRIPE_KEY: { secret: STRIPE }, PLAIN: x }
processes: { web: { env: { TOKEN: { secret: token } } } }
environments: { production: { secrets: [secrets.production.yaml, keys/tls.yaml] } }
`
  const { spec } = resolve(file, 'production', 'machine')
  assert.deepEqual(spec.secrets, ['secrets.production.yaml', 'keys/tls.yaml'])
  assert.deepEqual(spec.envFrom, { STRIPE_KEY: { kind: 'secret', name: 'STRIPE' } })
  assert.deepEqual(spec.env, { PLAIN: 'x' })
  const [web] = Object.values(spec.processes)
  assert.deepEqual(web?.envFrom, { TOKEN: { kind: 'secret', name: 'token' } })
  assert.equal(resolve(file, 'staging', 'machine').spec.secrets, undefined)
  for (const path of ['../secrets.yaml', '/etc/secrets.yaml'])
    assert.equal(
      failure(file.replace('keys/tls.yaml', path), 'production', 'machine').code,
      'INVALID_APP_FILE',
    )
})

test('the whole format is accepted and every later key is named with its position', () => {
  assert.doesNotThrow(() => resolve(WHOLE_FILE, 'production', null))
  const keys = laterKeys({ path: 'fairway.yaml', text: WHOLE_FILE }, ref)
  const paths = keys.map(({ path }) => path)
  for (const path of ['addons', 'mesh.mtls', 'mesh.calls', 'gate', 'region'])
    assert.ok(paths.includes(path), path)
  assert.ok(paths.includes('processes.web.scale.on.concurrency'))
  assert.ok(!paths.includes('processes.nightly.schedule'))
  assert.ok(!paths.includes('env.STRIPE_KEY'))
  assert.deepEqual(
    keys.find(({ path }) => path === 'addons'),
    { path: 'addons', line: 28, column: 1, why: 'dependencies that the platform runs' },
  )
  const error = failure(WHOLE_FILE, 'production', 'machine')
  assert.equal(error.code, 'UNSUPPORTED_KEY')
  assert.match(error.message, /fairway\.yaml:28:1: the machine engine does not honour `addons` yet/)
})

test('values reach the spec in the units of the model', () => {
  const { spec } = resolve(
    `
version: 1
release: { command: ["sh", "-c", "a && b"], timeout: 1h30m }
env: { VERSION: 1.10, ON: true, N: 0x10, EMPTY: "" }
processes:
  web:
    command: node server.js --title "Hello \\"there\\"" 'a b'
    port: 3000
    routes: { main: { host: Shop.Example.com }, api: { path: /api } }
    health: { ready: "/healthz?full=1", start: 500ms0s }
`.replace('500ms0s', '1m500ms'),
  )
  assert.deepEqual(spec.release, { command: ['sh', '-c', 'a && b'], timeoutMs: 5_400_000 })
  assert.deepEqual(spec.env, { VERSION: '1.10', ON: 'true', N: '0x10', EMPTY: '' })
  const web = spec.processes['web' as never]
  assert.deepEqual(web?.command, ['node', 'server.js', '--title', 'Hello "there"', 'a b'])
  assert.deepEqual(web.routes, [
    { host: 'shop.example.com', path: '/' },
    { host: null, path: '/api' },
  ])
  assert.equal(web.health.startMs, 60_500)
})

test('a process has a type: web by name, port or routes, else worker', () => {
  const { spec } = resolve(`
version: 1
processes: { web: {}, api: { port: 9000 }, admin: { routes: { main: { path: /admin } } }, jobs: {} }
`)
  const types = Object.values(spec.processes).map(({ name, type, routes }) => [
    name,
    type,
    routes.length,
  ])
  assert.deepEqual(types, [
    ['web', 'web', 1],
    ['api', 'web', 0],
    ['admin', 'web', 1],
    ['jobs', 'worker', 0],
  ])
})

test('an environment is a merge patch: maps merge, lists are replaced, null deletes', () => {
  const text = `
version: 1
env: { A: "1", B: "2" }
processes: { web: { command: [a, b], scale: { min: 3 } }, jobs: {} }
environments:
  staging: { env: { A: null, C: "3" }, processes: { web: { command: [c] }, jobs: null } }
`
  const { spec } = resolve(text, 'staging')
  assert.deepEqual(spec.env, { B: '2', C: '3' })
  assert.deepEqual(Object.keys(spec.processes), ['web'])
  const web = Object.values(spec.processes)[0]
  assert.deepEqual(web?.command, ['c'])
  assert.deepEqual(web.scale, { min: 3, max: 3 })
  const { warnings } = resolve(text, 'qa')
  assert.match(warnings[0] ?? '', /no environment qa \(it has staging\)/)
})

test('references are replaced, $$ is a plain $, a plain $ stays', () => {
  const { spec } = resolve(`
version: 1
env: { API: "\${processes.api.url}/v1", APP: "\${app.name}-\${ app.environment }", RAW: "$\${HOME} $5" }
processes:
  web: { routes: { main: { host: "\${app.environment}.example.com" } } }
  api: { port: 80 }
`)
  assert.deepEqual(spec.env, {
    API: 'http://api.shop.internal/v1',
    APP: 'shop-production',
    RAW: '${HOME} $5',
  })
  assert.equal(Object.values(spec.processes)[0]?.routes[0]?.host, 'production.example.com')
})

test('all problems are reported together with position, text and suggestion', () => {
  const error = failure(`version: 1
env:
  API: \${processes.apo.url}
processes:
  web:
    comand: node server.js
    port: "abc"
    timeout: 3s
    deploy: { strategy: roling }
  api: { port: 1, command: node a.js && b }
environments:
  staging:
    processes: { web: { scale: { mim: 1 } } }
`)
  assert.equal(error.code, 'INVALID_APP_FILE')
  assert.deepEqual(error.message.split('\n'), [
    'fairway.yaml:3:8: env.API: ${processes.apo.url} refers to nothing in this file; did you mean "api"?',
    'fairway.yaml:6:5: processes.web.comand: unknown key "comand"; did you mean "command"?',
    'fairway.yaml:7:11: processes.web.port: expected a whole number from 1 to 65535, found "abc"',
    'fairway.yaml:8:5: processes.web.timeout: unknown key "timeout"; it belongs in health.check.timeout',
    'fairway.yaml:9:25: processes.web.deploy.strategy: expected rolling, recreate, bluegreen, canary, found "roling"; did you mean "rolling"?',
    'fairway.yaml:10:28: processes.api.command: "&" needs a shell, and commands run without one; write a list: ["sh", "-c", "node a.js && b"]',
    'fairway.yaml:13:34: processes.web.scale.mim: unknown key "mim"; did you mean "min"?',
  ])
  const problems = error.details['problems'] as readonly Problem[]
  assert.equal(problems[1]?.text, 'comand')
})

const REFUSED: readonly (readonly [string, string, RegExp])[] = [
  ['nothing in it', '', /version.*missing/],
  ['a list', '- a', /expected a map, found a list/],
  ['another version', 'version: 2', /1:10: version: expected 1, .*found 2/],
  ['not YAML', 'version: 1\nenv: {a: [}', /2:.*not valid YAML/],
  [
    'a host of the platform',
    'version: 1\nprocesses: { web: { routes: { main: { host: web.other.internal } } } }',
    /host name of its own/,
  ],
  [
    'a duplicate key',
    'version: 1\nenv: { A: "1" }\nenv: {}',
    /3:1: env: this key stands here twice/,
  ],
  ['a number as key', 'version: 1\nenv: { 1: x }', /keys must be texts/],
  ['a map as key', 'version: 1\nenv: { {a: b}: x }', /keys must be texts/],
  ['a tag', 'version: 1\nname: !!binary aGk=', /2:16: name: expected a text/],
  ['its own tag', 'version: 1\nname: !shell ls', /2:7/],
  ['two documents', 'version: 1\n---\nversion: 1', /second YAML document/],
  ['__proto__', 'version: 1\nenv: { __proto__: { a: b } }', /2:8/],
  ['an unknown alias', 'version: 1\nname: *nobody', /2:7/],
  [
    'a bare number as memory',
    'version: 1\nprocesses: { web: { resources: { memory: 512 } } }',
    /unit such as 512Mi/,
  ],
  ['a bare number as time', 'version: 1\nrelease: { command: x, timeout: 30 }', /duration such as/],
  [
    'a bad process name',
    'version: 1\nprocesses: { Web_1: {} }',
    /2:14: .*cannot be used as a name/,
  ],
  ['a bad variable name', 'version: 1\nenv: { "a-b": c }', /names of variables/],
  ['an empty value', 'version: 1\nenv: { A: }', /env\.A: expected a text/],
  [
    'a host with scheme',
    'version: 1\nprocesses: { web: { routes: { a: { host: "http://x.com" } } } }',
    /without scheme/,
  ],
  ['a context outside', 'version: 1\nbuild: { context: ../x }', /relative path/],
  [
    'scale.max below min',
    'version: 1\nprocesses: { web: { scale: { min: 3, max: 1 } } }',
    /scale.max 1 is less/,
  ],
  [
    'HTTP health of a worker',
    'version: 1\nprocesses: { a: { health: { ready: / } } }',
    /add processes.a.port/,
  ],
  [
    'one route twice',
    'version: 1\nprocesses: { a: { routes: { x: { host: h.io } } }, b: { routes: { y: { host: h.io } } } }',
    /h\.io\/ is already the route processes\.a\.routes\.x/,
  ],
  [
    'a reference to a worker',
    'version: 1\nenv: { A: "${processes.a.url}" }\nprocesses: { a: {} }',
    /a worker/,
  ],
  ['an unknown root', 'version: 1\nenv: { A: "${HOME}" }', /refers to nothing.*\$\$\{/],
  ['an open reference', 'version: 1\nenv: { A: "${app.name" }', /not closed/],
  [
    'a volume of nobody',
    'version: 1\nvolumes: { v: { size: 1Gi, mount: /d, processes: [wep] } }',
    /did you mean "web"/,
  ],
  [
    'a shell variable',
    'version: 1\nprocesses: { web: { command: "node s.js $HOME" } }',
    /"\$" needs a shell/,
  ],
  ['an open quote', `version: 1\nprocesses: { web: { command: "node 'a" } }`, /is not closed/],
  ['image and command', 'version: 1\nbuild: { image: a, command: b }', /exclude each other/],
]

for (const [what, text, pattern] of REFUSED) {
  test(`refuses ${what}`, () => {
    const error = failure(text)
    assert.equal(error.code, 'INVALID_APP_FILE')
    assert.match(error.message, pattern)
  })
}

test('keys that start with x- are allowed beside known keys, with anchors', () => {
  const { spec } = resolve(`
version: 1
x-limits: &limits { cpu: 500m, memory: 1Gi }
processes:
  web: { resources: *limits, x-owner: team-a }
`)
  const [web] = Object.values(spec.processes)
  assert.deepEqual(web?.resources, { cpu: 0.5, memory: 2 ** 30, pids: 512 })
})

test('alias bombs, deep nesting and huge files end quickly', () => {
  const bomb = ['version: 1', 'x-a: &a [1,1,1,1,1,1,1,1,1,1]']
  for (let i = 1; i < 12; i++) {
    const last = i === 1 ? 'a' : `a${i - 1}`
    bomb.push(`x-a${i}: &a${i} [${Array.from({ length: 10 }, () => `*${last}`).join(',')}]`)
  }
  assert.match(failure(bomb.join('\n')).message, /too many values/)
  assert.match(
    failure(`version: 1\nx-a: ${'['.repeat(200)}${']'.repeat(200)}`).message,
    /nested deeper/,
  )
  assert.match(failure(`version: 1\n# ${'x'.repeat(300_000)}`).message, /larger than 256 KiB/)
})

test('warns of a name that differs and of a maximum that nothing reaches', () => {
  const { warnings } = resolve('version: 1\nname: other\nprocesses: { web: { scale: { max: 4 } } }')
  assert.equal(warnings.length, 2)
})

test('hints for the recognition come from build and the command of web', () => {
  const text =
    'version: 1\nbuild: { context: ./a/b, kind: node }\nprocesses: { web: { command: node x.js } }'
  assert.deepEqual(recognitionHints({ path: 'f', text }, ref), {
    image: null,
    context: 'a/b',
    kind: 'node',
    command: ['node', 'x.js'],
  })
})
