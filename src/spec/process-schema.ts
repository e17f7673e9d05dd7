import * as z from 'zod'
import { ON_CHANGE, RELOAD_SIGNALS } from '../model/secrets.ts'
import { deploy } from './deploy-schema.ts'
import {
  command,
  cpu,
  duration,
  host,
  integer,
  label,
  matching,
  name,
  percent,
  probePath,
  size,
  urlPath,
} from './scalar-schema.ts'

export const nameKey = z.string().regex(/^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/)
/** Names between slashes, as a URL needs no escapes for: no way to leave a path by `..`, `%2e` or an empty name. */
const VAULT_REFERENCE =
  /^(?:(?!\.{1,2}\/)[A-Za-z0-9_.@+=:-]{1,128}\/){1,20}(?!\.{1,2}#)[A-Za-z0-9_.@+=:-]{1,128}#[A-Za-z0-9_.@+=: -]{1,128}$/
/** What an environment variable may be called (POSIX portable names). */
const variableKey = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/)

export const namedBy = <T extends z.ZodType>(value: T) => z.record(nameKey, value)

const secret = z.strictObject({
  secret: matching(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/, 'the name of a secret such as STRIPE_KEY')
    .describe('Name of a value in the encrypted files of the environment.')
    .meta({ examples: ['STRIPE_KEY'] }),
})
const onChange = z
  .enum(ON_CHANGE)
  .optional()
  .describe(
    'What happens to running instances when the value is another one: `restart` replaces them as a deploy does, `signal` swaps the file and sends a signal, `swap` swaps the file. Variables can only `restart`. Default: `restart`.',
  )
  .meta({ examples: ['signal'] })
const reloadSignal = z
  .enum(RELOAD_SIGNALS)
  .optional()
  .describe('Signal for `onChange: signal`. Default: `SIGHUP`.')
  .meta({ examples: ['SIGUSR1'] })

const generated = z.strictObject({
  generate: integer(8, 256)
    .describe(
      'Made once per environment: this many random bytes as text (base64url), the same for all releases.',
    )
    .meta({ examples: [32] }),
  onChange,
})

const vault = z.strictObject({
  vault: matching(
    VAULT_REFERENCE,
    'a path and a key in Vault such as secret/shop/database#password',
  )
    .describe('Path and key in Vault or OpenBao, read with the server’s own login.')
    .meta({ examples: ['secret/shop/database#password'] }),
  onChange,
})

const plainValue = z.union([z.string().max(65_536), z.number(), z.boolean()]).transform(String)

export const environment = z.record(
  variableKey,
  z.union([plainValue, secret, vault, generated], {
    error:
      'expected a text, a number, true or false, { secret: name }, { vault: path#key } or { generate: bytes }',
  }),
)

/** What a file in the folder of secrets may be called; no path. */
const fileKey = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/)

export const sourcedFiles = z.record(
  fileKey,
  z.union([vault.extend({ signal: reloadSignal }), generated.extend({ signal: reloadSignal })], {
    error: 'expected { vault: path#key } or { generate: bytes }',
  }),
)

const route = z.strictObject({
  host: host
    .optional()
    .describe('Full host name; `*.example.com` matches one label. Default: `<app>.localhost`.')
    .meta({ examples: ['shop.example.com'] }),
  path: urlPath
    .default('/')
    .describe('Path prefix on segment borders.')
    .meta({ examples: ['/api'] }),
})

const check = z.strictObject({
  interval: duration({ min: '50ms', max: '1h' })
    .default(1000)
    .describe('Time between two probes of a ready instance.')
    .meta({ examples: ['2s'] }),
  timeout: duration({ min: '10ms', max: '10m' })
    .default(2000)
    .describe('Longest wait for the answer of one probe.')
    .meta({ examples: ['2s'] }),
  failures: integer(1, 100)
    .default(3)
    .describe('Failed probes in a row after which an instance leaves the routes.')
    .meta({ examples: [3] }),
})

const health = z.strictObject({
  ready: probePath
    .optional()
    .describe(
      'HTTP path that must answer 200 to 399. Without it: a TCP connect for a web process, staying alive for a worker.',
    )
    .meta({ examples: ['/healthz'] }),
  live: probePath
    .optional()
    .describe('HTTP path; an instance that stops answering it is restarted.')
    .meta({ examples: ['/livez'] }),
  start: duration({ min: '1s', max: '1h' })
    .default(60_000)
    .describe('Longest time from start to ready.')
    .meta({ examples: ['60s'] }),
  check: check.prefault({}).describe('How a ready instance is watched.'),
})

const shutdown = z.strictObject({
  signal: z
    .enum(['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'])
    .default('SIGTERM')
    .describe('Signal that asks the process to end.')
    .meta({ examples: ['SIGINT'] }),
  drain: duration({ max: '1h' })
    .default(30_000)
    .describe('Longest wait for requests in flight after new ones go elsewhere.')
    .meta({ examples: ['30s'] }),
  stop: duration({ max: '1h' })
    .default(30_000)
    .describe('Time between the signal and SIGKILL.')
    .meta({ examples: ['45s'] }),
})

const resources = z.strictObject({
  cpu: cpu
    .default(1)
    .describe('CPU limit in cores.')
    .meta({ examples: [0.5] }),
  memory: size({ min: '4Mi', max: '64Ti' })
    .default(512 * 2 ** 20)
    .describe('Memory limit; an instance that needs more is killed and restarted.')
    .meta({ examples: ['512Mi'] }),
  pids: integer(1, 1_000_000)
    .default(512)
    .describe('Most processes and threads at the same time.')
    .meta({ examples: [512] }),
  startup: z
    .strictObject({ cpu: cpu.describe('CPU limit until ready.').meta({ examples: [2] }) })
    .optional()
    .describe('Limits while an instance starts.'),
})

const queue = z.strictObject({
  addon: name.describe('Add-on that holds the queue.').meta({ examples: ['cache'] }),
  list: label.describe('Name of the list or queue in it.').meta({ examples: ['jobs'] }),
  perReplica: integer(1, 1_000_000)
    .describe('Waiting jobs that one instance is good for.')
    .meta({ examples: [10] }),
  activateAbove: integer(0, 1_000_000)
    .optional()
    .describe('Waiting jobs above which the first instance starts.')
    .meta({ examples: [0] }),
})

const scaleOn = z.strictObject({
  cpu: percent
    .optional()
    .describe('Average CPU use of the limit.')
    .meta({ examples: ['70%'] }),
  memory: percent
    .optional()
    .describe('Average memory use of the limit.')
    .meta({ examples: ['80%'] }),
  concurrency: integer(1, 100_000)
    .optional()
    .describe('Requests in flight per instance.')
    .meta({ examples: [50] }),
  queue: queue.optional().describe('Length of a queue.'),
})

const cron = matching(
  /^\s*(?:[\d*,/A-Za-z-]+\s+){4}[\d*,/A-Za-z-]+\s*$/,
  'a schedule of five fields such as "0 3 * * *"',
)
const zone = matching(/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/, 'a time zone such as Europe/Berlin')

const window = z.strictObject({
  tz: zone
    .optional()
    .describe('Time zone of the schedule.')
    .meta({ examples: ['Europe/Berlin'] }),
  from: cron.describe('When the window opens.').meta({ examples: ['0 7 * * 1-5'] }),
  to: cron.describe('When the window closes.').meta({ examples: ['0 19 * * 1-5'] }),
  min: integer(0, 1000)
    .describe('Least instances inside the window.')
    .meta({ examples: [4] }),
})

const scale = z.strictObject({
  min: integer(0, 1000)
    .default(1)
    .describe('Instances that always run.')
    .meta({ examples: [2] }),
  max: integer(0, 1000)
    .optional()
    .describe('Most instances. Default: the same as `min`.')
    .meta({ examples: [10] }),
  on: scaleOn.optional().describe('What the number of instances follows.'),
  zero: z
    .strictObject({
      after: duration({ min: '1m' })
        .describe('Time without requests.')
        .meta({ examples: ['15m'] }),
    })
    .optional()
    .describe('Stops the last instance while nobody asks for it.'),
  windows: namedBy(window).optional().describe('Times of day with another minimum.'),
})

const sidecar = z.strictObject({
  image: label.describe('Image reference.').meta({ examples: ['envoyproxy/envoy:v1.31.0'] }),
  command: command
    .optional()
    .describe('Command and arguments.')
    .meta({ examples: ['envoy -c /etc/envoy.yaml'] }),
  env: environment.optional().describe('Environment of the sidecar.'),
})

export const processSchema = z.strictObject({
  command: command
    .optional()
    .describe('What runs. Default: what the image or the recognised app says.')
    .meta({ examples: ['node server.js'] }),
  build: name
    .optional()
    .describe('Name of another build that this process runs.')
    .meta({ examples: ['api'] }),
  env: environment
    .optional()
    .describe('Variables of this process, over those of the app.')
    .meta({ examples: [{ LOG_LEVEL: 'debug' }] }),
  port: integer(1, 65_535)
    .optional()
    .describe('Port that the process listens on. Default: it reads PORT.')
    .meta({ examples: [8080] }),
  routes: namedBy(route)
    .optional()
    .describe(
      'Hosts and paths that lead here. Default: the one web process gets `<app>.localhost/`.',
    ),
  health: health.prefault({}).describe('When an instance counts as ready.'),
  shutdown: shutdown.prefault({}).describe('How an instance is asked to end.'),
  resources: resources.prefault({}).describe('Limits of each instance.'),
  scale: scale.prefault({}).describe('How many instances run.'),
  deploy: deploy.prefault({}).describe('How a new release takes over.'),
  maxAge: duration({ min: '1s' })
    .optional()
    .describe('Instances older than this are replaced one by one. Default: never.')
    .meta({ examples: ['24h'] }),
  spread: z
    .enum(['none', 'node', 'zone'])
    .default('none')
    .describe('Over what the instances are spread.')
    .meta({ examples: ['zone'] }),
  disruption: integer(1, 1000)
    .default(1)
    .describe('Most instances that maintenance may take away at once.')
    .meta({ examples: [1] }),
  spot: z
    .enum(['allow', 'never'])
    .default('never')
    .describe('Whether instances may run on nodes that can vanish.')
    .meta({ examples: ['never'] }),
  warmup: z
    .strictObject({
      path: probePath.describe('Path that is asked.').meta({ examples: ['/warm'] }),
      requests: integer(1, 10_000)
        .optional()
        .describe('How often.')
        .meta({ examples: [20] }),
    })
    .optional()
    .describe('Requests sent to a new instance before it gets traffic.'),
  sidecars: namedBy(sidecar)
    .optional()
    .describe('Helpers that share network and life of each instance.'),
  peers: z
    .boolean()
    .default(false)
    .describe('Instances find each other: PEERS_DNS is a name with the addresses of all.')
    .meta({ examples: [true] }),
  identity: z
    .boolean()
    .default(false)
    .describe(
      'Each instance gets a certificate that says which app and process it is (SPIFFE) on clusters too, from a helper beside it. On a machine every instance has one.',
    )
    .meta({ examples: [true] }),
  schedule: cron
    .optional()
    .describe('Runs at these times and ends by itself.')
    .meta({ examples: ['0 3 * * *'] }),
  tz: zone
    .optional()
    .describe('Time zone of the schedule. Default: UTC.')
    .meta({ examples: ['UTC'] }),
  overlap: z
    .enum(['forbid', 'allow', 'replace'])
    .optional()
    .describe('What happens when the last run has not ended. Default: `forbid`.')
    .meta({ examples: ['forbid'] }),
  deadline: duration({ min: '1s' })
    .optional()
    .describe('Longest time of one scheduled run. Default: no end.')
    .meta({ examples: ['1h'] }),
  retries: integer(0, 100)
    .optional()
    .describe('How often a failed run is tried again. Default: 0.')
    .meta({ examples: [2] }),
  catchUp: duration()
    .optional()
    .describe('How late a missed run may still start. Default: 10m.')
    .meta({ examples: ['10m'] }),
  singleton: z
    .enum(['lease'])
    .optional()
    .describe('At most one instance runs, also during deploys.')
    .meta({ examples: ['lease'] }),
})

export type ProcessInput = z.output<typeof processSchema>
