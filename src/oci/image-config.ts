import { parseDigest, type Digest } from './digest.ts'
import { OciError } from './oci-error.ts'
import { Fields, parseStrictJson } from './strict-json.ts'

export const MAX_CONFIG_BYTES = 8 << 20

/** image-spec config.md, with absent fields as empty values. */
export interface ImageConfig {
  readonly os: string
  readonly architecture: string
  readonly variant: string | null
  readonly created: string | null
  readonly entrypoint: readonly string[]
  readonly cmd: readonly string[]
  /** `NAME=value`, verbatim. */
  readonly env: readonly string[]
  readonly user: string
  readonly workingDir: string
  /** `8080`, `8080/tcp`, `53/udp`. */
  readonly exposedPorts: readonly string[]
  readonly volumes: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly stopSignal: string | null
  readonly diffIds: readonly Digest[]
  readonly history: readonly HistoryEntry[]
}

export interface HistoryEntry {
  readonly created: string | null
  readonly createdBy: string | null
  readonly comment: string | null
  readonly emptyLayer: boolean
}

/** What a baker says about an image. Absent fields are inherited from the base, `env` and `labels` are merged by name. */
export interface ImageConfigInput {
  /** Go's names: `amd64`, `arm64`. Default: the base's, else this host's. */
  readonly architecture?: string
  /** RFC 3339; default 1970-01-01T00:00:00Z, so that the same input makes the same image. */
  readonly created?: string
  readonly entrypoint?: readonly string[]
  readonly cmd?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly user?: string
  readonly workingDir?: string
  /** Numbers are TCP. */
  readonly exposedPorts?: readonly (number | string)[]
  readonly volumes?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  readonly stopSignal?: string
  /** One line per own layer, bottom first, for `history`. */
  readonly history?: readonly string[]
}

/** @throws OciError INVALID_IMAGE */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const fields = new Fields(parseStrictJson(bytes, 'image config'), 'image config')
  const rootfs = fields.object('rootfs')
  if (rootfs?.string('type') !== 'layers') throw fields.wrong('rootfs.type', '"layers"')
  const diffIds = rootfs.strings('diff_ids').map((text) => parseDigest(text, 'diff_id'))
  const history = (fields.list('history') ?? []).map(historyEntry)
  const described = history.filter(({ emptyLayer }) => !emptyLayer).length
  if (history.length > 0 && described !== diffIds.length) {
    throw new OciError(
      'INVALID_IMAGE',
      `image config: history describes ${described} layers, rootfs has ${diffIds.length}`,
    )
  }
  const run = fields.object('config') ?? new Fields({}, 'image config: config')
  checkStart(run)
  return {
    os: fields.string('os') ?? 'linux',
    architecture: fields.string('architecture') ?? '',
    variant: fields.string('variant'),
    created: fields.string('created'),
    entrypoint: run.strings('Entrypoint'),
    cmd: run.strings('Cmd'),
    env: run.strings('Env'),
    user: run.string('User') ?? '',
    workingDir: run.string('WorkingDir') ?? '',
    exposedPorts: run.keys('ExposedPorts'),
    volumes: run.keys('Volumes'),
    labels: run.stringMap('Labels'),
    stopSignal: run.string('StopSignal'),
    diffIds,
    history,
  }
}

/** The config of base plus own layers. @throws OciError INVALID_REQUEST where `history` has not one line per own layer */
export function composeConfig(
  base: ImageConfig | null,
  input: ImageConfigInput,
  ownDiffIds: readonly Digest[],
): ImageConfig {
  const under = base ?? EMPTY
  return {
    os: under.os,
    architecture: input.architecture ?? (under.architecture || goArchitecture(process.arch)),
    variant: under.variant,
    created: input.created ?? EPOCH,
    ...composeCommand(under, input),
    env: mergeEnv(under.env, input.env ?? {}),
    user: input.user ?? under.user,
    workingDir: input.workingDir ?? under.workingDir,
    exposedPorts: (input.exposedPorts ?? under.exposedPorts).map(port),
    volumes: input.volumes ?? under.volumes,
    labels: { ...under.labels, ...input.labels },
    stopSignal: input.stopSignal ?? under.stopSignal,
    diffIds: [...under.diffIds, ...ownDiffIds],
    history: [...baseHistory(under), ...ownHistory(input, ownDiffIds.length)],
  }
}

/** Fixed key order, sorted maps, nothing that is empty: equal configs are equal bytes. */
export function encodeImageConfig(config: ImageConfig): Buffer {
  return Buffer.from(
    JSON.stringify({
      ...(config.created === null ? {} : { created: config.created }),
      architecture: config.architecture,
      ...(config.variant === null ? {} : { variant: config.variant }),
      os: config.os,
      config: {
        ...nonEmpty('User', config.user),
        ...nonEmpty('ExposedPorts', keySet(config.exposedPorts)),
        ...nonEmpty('Env', config.env),
        ...nonEmpty('Entrypoint', config.entrypoint),
        ...nonEmpty('Cmd', config.cmd),
        ...nonEmpty('Volumes', keySet(config.volumes)),
        ...nonEmpty('WorkingDir', config.workingDir),
        ...nonEmpty('Labels', sortedMap(config.labels)),
        ...nonEmpty('StopSignal', config.stopSignal ?? ''),
      },
      rootfs: { type: 'layers', diff_ids: config.diffIds },
      history: config.history.map((entry) => ({
        ...(entry.created === null ? {} : { created: entry.created }),
        ...(entry.createdBy === null ? {} : { created_by: entry.createdBy }),
        ...(entry.comment === null ? {} : { comment: entry.comment }),
        ...(entry.emptyLayer ? { empty_layer: true } : {}),
      })),
    }),
  )
}

/** Go's name of a Node architecture. */
export function goArchitecture(nodeName: string): string {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' }
  return names[nodeName] ?? nodeName
}

/** Keys in byte order. */
export function sortedMap(map: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)))
}

// Private

/** MAX_ARG_STRLEN of Linux, and about half of what execve(2) takes at all. */
const MAX_ARGUMENT = 128 * 1024 - 1
const MAX_ARGUMENTS = 1024 * 1024

/** What execve(2) cannot be given is refused here, where the message can still say where it stands. */
function checkStart(run: Fields): void {
  let total = 0
  for (const key of ['Entrypoint', 'Cmd', 'Env'] as const) {
    for (const text of run.strings(key)) {
      const size = Buffer.byteLength(text)
      total += size
      if (text.includes('\0')) throw run.wrong(key, 'a list of strings without NUL')
      if (size > MAX_ARGUMENT) throw run.wrong(key, 'a list of strings of less than 128 KiB each')
      if (key === 'Env' && /^(?:=|$)/.test(text)) throw run.wrong(key, 'a list of NAME=value')
    }
  }
  if (total > MAX_ARGUMENTS) {
    throw run.wrong('Entrypoint, Cmd and Env', `at most ${MAX_ARGUMENTS} bytes together`)
  }
  for (const key of ['User', 'WorkingDir'] as const) {
    const text = run.string(key) ?? ''
    if (text.includes('\0') || text.length > 4096) {
      throw run.wrong(key, 'at most 4096 characters, none of them NUL')
    }
  }
}

const EPOCH = '1970-01-01T00:00:00Z'

const EMPTY: ImageConfig = {
  os: 'linux',
  architecture: '',
  variant: null,
  created: null,
  entrypoint: [],
  cmd: [],
  env: [],
  user: '',
  workingDir: '',
  exposedPorts: [],
  volumes: [],
  labels: {},
  stopSignal: null,
  diffIds: [],
  history: [],
}

/** As with a Dockerfile: a new entrypoint does not get the arguments of the old one. */
function composeCommand(
  under: ImageConfig,
  { entrypoint, cmd }: ImageConfigInput,
): Pick<ImageConfig, 'entrypoint' | 'cmd'> {
  if (entrypoint === undefined) return { entrypoint: under.entrypoint, cmd: cmd ?? under.cmd }
  return { entrypoint, cmd: cmd ?? [] }
}

function ownHistory(input: ImageConfigInput, layers: number): HistoryEntry[] {
  const { created = EPOCH, history = Array.from({ length: layers }, () => 'fairway') } = input
  if (history.length !== layers) {
    throw new OciError(
      'INVALID_REQUEST',
      `history has ${history.length} lines for ${layers} layers`,
    )
  }
  return history.map((createdBy) => ({ created, createdBy, comment: null, emptyLayer: false }))
}

function historyEntry(value: unknown): HistoryEntry {
  const fields = new Fields(value, 'image config: history')
  return {
    created: fields.string('created'),
    createdBy: fields.string('created_by'),
    comment: fields.string('comment'),
    emptyLayer: fields.boolean('empty_layer'),
  }
}

/** A base without history gets one line per layer, so that the counts agree. */
function baseHistory(base: ImageConfig): readonly HistoryEntry[] {
  if (base.history.length > 0) return base.history
  return base.diffIds.map(() => ({
    created: null,
    createdBy: 'base',
    comment: null,
    emptyLayer: false,
  }))
}

function mergeEnv(base: readonly string[], own: Readonly<Record<string, string>>): string[] {
  const kept = base.filter((line) => !Object.hasOwn(own, line.split('=', 1)[0] ?? ''))
  return [...kept, ...Object.entries(sortedMap(own)).map(([name, value]) => `${name}=${value}`)]
}

function port(value: number | string): string {
  return typeof value === 'number' ? `${value}/tcp` : value
}

function keySet(keys: readonly string[]): Record<string, object> {
  return Object.fromEntries([...keys].sort().map((key) => [key, {}]))
}

function nonEmpty(key: string, value: string | readonly string[] | object): object {
  const empty = typeof value === 'string' ? value === '' : Object.keys(value).length === 0
  return empty ? {} : { [key]: value }
}
