import * as z from 'zod'
import { MAX_SECRET_DOCUMENTS } from '../model/secrets.ts'
import { environment, namedBy, nameKey, processSchema, sourcedFiles } from './process-schema.ts'
import {
  command,
  duration,
  integer,
  label,
  matching,
  name,
  size,
  sourcePath,
} from './scalar-schema.ts'

const build = z.strictObject({
  auto: z
    .literal(true)
    .optional()
    .describe('Recognise the source; the same as saying nothing.')
    .meta({ examples: [true] }),
  kind: z
    .enum(['node', 'jar', 'binary', 'python', 'static', 'oci-layout', 'docker-archive'])
    .optional()
    .describe('What the source is, where it could be several things.')
    .meta({ examples: ['node'] }),
  image: label
    .optional()
    .describe('Image reference that runs instead of baking the source.')
    .meta({ examples: ['registry.example.com/shop:1.4'] }),
  context: sourcePath
    .default('.')
    .describe('Folder inside the source that is baked.')
    .meta({ examples: ['services/shop'] }),
  command: command
    .optional()
    .describe('Build command, run after the dependency install.')
    .meta({ examples: ['npm run build'] }),
  dockerfile: sourcePath
    .optional()
    .describe('Dockerfile inside the source.')
    .meta({ examples: ['Dockerfile'] }),
  target: label
    .optional()
    .describe('Stage of the Dockerfile.')
    .meta({ examples: ['prod'] }),
  args: z
    .record(z.string().regex(/^[A-Za-z_]\w{0,127}$/), label)
    .optional()
    .describe('Arguments of the Dockerfile.')
    .meta({ examples: [{ EDITION: 'full' }] }),
  watch: z
    .array(label)
    .max(100)
    .optional()
    .describe('Paths whose change makes a new build.')
    .meta({ examples: [['src/**', 'package.json']] }),
})

const release = z.strictObject({
  command: command
    .describe('Runs once per deploy in the new image before any instance starts.')
    .meta({ examples: ['npm run migrate'] }),
  timeout: duration({ min: '1s', max: '24h' })
    .default(600_000)
    .describe('Longest time that it may take.')
    .meta({ examples: ['10m'] }),
})

const addon = z.strictObject({
  type: name.describe('Kind of the add-on.').meta({ examples: ['postgres'] }),
  version: label
    .optional()
    .describe('Version of it.')
    .meta({ examples: ['16'] }),
  storage: size({ min: '1Mi' })
    .optional()
    .describe('Size of its disk.')
    .meta({ examples: ['10Gi'] }),
  persist: z
    .boolean()
    .optional()
    .describe('Whether its data survives a restart.')
    .meta({ examples: [false] }),
  backup: z
    .strictObject({
      every: duration({ min: '1m' })
        .describe('Time between backups.')
        .meta({ examples: ['24h'] }),
      keep: integer(1, 10_000)
        .describe('How many are kept.')
        .meta({ examples: [7] }),
    })
    .optional()
    .describe('Backups of its data.'),
  from: z
    .strictObject({
      snapshot: name
        .optional()
        .describe('Environment whose newest snapshot it starts from.')
        .meta({ examples: ['staging'] }),
      mask: sourcePath
        .optional()
        .describe('Rules that mask personal data.')
        .meta({ examples: ['rules/mask.yml'] }),
    })
    .optional()
    .describe('Where its first data comes from.'),
})

const volume = z.strictObject({
  size: size({ min: '1Mi' })
    .describe('Size of the volume.')
    .meta({ examples: ['5Gi'] }),
  mount: matching(/^\/[^\s\0\\]{1,500}$/, 'an absolute path such as /data')
    .describe('Where processes see it.')
    .meta({ examples: ['/data'] }),
  processes: z
    .array(name)
    .min(1)
    .describe('Processes that mount it.')
    .meta({ examples: [['web']] }),
  shared: z
    .boolean()
    .default(false)
    .describe(
      'Whether several instances may mount it at once. Without it there is one instance, and a deploy stops it before the next starts.',
    )
    .meta({ examples: [true] }),
})

const caller = matching(
  /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?(?:\/[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?)?$/,
  'a process such as web, or one of another app such as billing/web',
)

const mesh = z.strictObject({
  mtls: z
    .enum(['strict', 'permissive', 'off'])
    .optional()
    .describe('Whether calls between processes must be encrypted and named.')
    .meta({ examples: ['strict'] }),
  allow: z
    .record(nameKey, z.array(caller).max(100))
    .optional()
    .describe(
      'Who may call which process by its internal name: processes of this app, or `app/process`. Once this is set, calls that it does not name are refused; routes stay open.',
    )
    .meta({ examples: [{ api: ['web', 'worker', 'billing/web'] }] }),
  calls: namedBy(
    z.strictObject({
      timeout: duration()
        .optional()
        .describe('Deadline of a call.')
        .meta({ examples: ['2s'] }),
      retries: integer(0, 10)
        .optional()
        .describe('Tries on another instance after a failure.')
        .meta({ examples: [1] }),
    }),
  )
    .optional()
    .describe('Policy of calls to a process.'),
})

const gate = z.strictObject({
  scan: z
    .strictObject({
      block: z
        .enum(['low', 'medium', 'high', 'critical'])
        .describe('Severity from which a release is stopped.')
        .meta({ examples: ['high'] }),
      ignoreUnfixed: z
        .boolean()
        .optional()
        .describe('Lets findings pass that have no fix yet.')
        .meta({ examples: [true] }),
    })
    .optional()
    .describe('Known vulnerabilities.'),
  sbom: z
    .enum(['required'])
    .optional()
    .describe('A list of parts.')
    .meta({ examples: ['required'] }),
  signed: z
    .enum(['required'])
    .optional()
    .describe('A signature on the image.')
    .meta({ examples: ['required'] }),
  secrets: z
    .enum(['block', 'warn'])
    .optional()
    .describe('What happens when the image holds a secret.')
    .meta({ examples: ['block'] }),
  approve: z
    .record(nameKey, integer(0, 10))
    .optional()
    .describe('People who must approve, per environment.')
    .meta({ examples: [{ production: 1 }] }),
})

const previews = z.strictObject({
  on: z
    .enum(['push', 'request', 'manual'])
    .describe('When one is made.')
    .meta({ examples: ['push'] }),
  ttl: duration({ min: '1m' })
    .optional()
    .describe('When it is deleted.')
    .meta({ examples: ['7d'] }),
  sleep: duration({ min: '1m' })
    .optional()
    .describe('Idle time after which it stops.')
    .meta({ examples: ['1h'] }),
  share: z
    .array(label)
    .max(100)
    .optional()
    .describe('Parts that it shares with its parent.')
    .meta({ examples: [['db-readonly', 'api']] }),
})

/** Keys of `environments.<name>` that are not overlays of the keys outside. */
export const environmentOnly = {
  target: name
    .optional()
    .describe('Cluster that this environment runs on, see `fairway target`. Default: this machine.')
    .meta({ examples: ['prod'] }),
  region: name
    .optional()
    .describe('Where this environment runs.')
    .meta({ examples: ['eu-1'] }),
  secrets: z
    .array(sourcePath)
    .max(MAX_SECRET_DOCUMENTS)
    .optional()
    .describe(
      'Encrypted files (SOPS) in the folder of the app. Each value of their top level becomes a file in memory, in the folder that FAIRWAY_SECRETS names.',
    )
    .meta({ examples: [['secrets.production.yaml']] }),
  previews: previews.optional().describe('Makes this a template for branch environments.'),
}

const shared = {
  build: build.prefault({}).describe('How the image is made.'),
  env: environment
    .default({})
    .describe('Variables of every process.')
    .meta({ examples: [{ LOG_LEVEL: 'info', API: '${processes.api.url}' }] }),
  files: sourcedFiles
    .optional()
    .describe(
      'Files in memory beside those of `secrets`, for every process: name, and where the content comes from.',
    )
    .meta({ examples: [{ DB_PASSWORD: { vault: 'secret/shop/database#password' } }] }),
  release: release.optional().describe('Command that runs once per deploy.'),
  processes: namedBy(processSchema.prefault({}))
    .default({})
    .describe('What runs. Default: one process `web`.'),
  addons: namedBy(addon).optional().describe('Dependencies that the platform runs or binds.'),
  volumes: namedBy(volume).optional().describe('Disks that outlive instances.'),
  mesh: mesh.optional().describe('Rules of calls between processes.'),
  gate: gate.optional().describe('Checks that a release must pass.'),
}

/** The app file as it stands, `environments` unread: what holds after an overlay is merged is `resolvedSchema`. */
export const appFileSchema = z.strictObject({
  version: z
    .literal(1, { error: 'expected 1, the version of this format' })
    .describe('Version of this format.')
    .meta({ examples: [1] }),
  name: name
    .optional()
    .describe('Name of the app. Default: the name of the folder.')
    .meta({ examples: ['shop'] }),
  ...shared,
  environments: namedBy(z.looseObject({}).nullable())
    .optional()
    .describe('Changes per environment.'),
})

/** The file with one environment's overlay merged in. */
export const resolvedSchema = appFileSchema.omit({ environments: true }).extend(environmentOnly)

export type ResolvedFile = z.output<typeof resolvedSchema>
