import type { AppReading } from '../model/app-reader.ts'
import type { AppSpec } from '../model/app-spec.ts'
import { FairwayError } from '../model/errors.ts'
import { refKey, type AppRef } from '../model/names.ts'
import type { DeployInput, Release } from '../model/release.ts'
import type { SourceTree } from '../model/source.ts'
import type { ReconcileDeps } from './deps.ts'

export interface ReadApp extends AppReading {
  readonly tree: SourceTree | null
}

type Deps = Pick<ReconcileDeps, 'store' | 'engine' | 'sources' | 'reader' | 'defaultHost' | 'urlOf'>

/**
 * What was handed in, read and checked against the engine and the other apps.
 * @throws FairwayError NOT_FOUND for an unknown source, INVALID_APP_FILE, UNRECOGNISED_SOURCE, UNSUPPORTED_KEY, CONFLICT for a route that another app has
 */
export async function readApp(ref: AppRef, input: DeployInput, deps: Deps): Promise<ReadApp> {
  if (input.source === null && input.image === null && input.appFile === null) {
    throw new FairwayError('INVALID_REQUEST', 'a deploy needs a source, an app file or an image')
  }
  const tree = input.source === null ? null : await deps.sources.open(input.source)
  if (input.source !== null && tree === null) {
    throw new FairwayError('SOURCE_INCOMPLETE', `source ${input.source} is not here (any more)`)
  }
  const reading = await deps.reader.read(ref, { appFile: input.appFile, tree, image: input.image })
  refuseKeys(reading, deps.engine)
  await refuseTakenRoutes(ref, reading.spec, deps)
  return { ...reading, tree, warnings: [...reading.warnings, ...namesWarning(reading.spec, deps)] }
}

/** Without a network of its own an instance calls `*.internal` through a proxy, which gives way to one that the app names itself. */
function namesWarning(spec: AppSpec, { engine }: Pick<Deps, 'engine'>): readonly string[] {
  if (engine.flavourOf(spec) === 'image') return []
  const names = [spec.env, ...Object.values(spec.processes).map(({ env }) => env)].flatMap((env) =>
    Object.keys(env).filter(
      (name) =>
        /^http_proxy$/i.test(name) ||
        (/^no_proxy$/i.test(name) && /internal|\*/.test(env[name] ?? '')) ||
        (name === 'JAVA_TOOL_OPTIONS' && /-Dhttp\.proxy/.test(env[name] ?? '')),
    ),
  )
  return names.length === 0
    ? []
    : [
        `${[...new Set(names)].join(', ')}: it replaces the proxy by which plain processes call names that end in .internal; programs other than Node reach them by it only`,
      ]
}

export async function activeRelease(
  ref: AppRef,
  store: ReconcileDeps['store'],
): Promise<Release | null> {
  const record = await store.getApp(ref)
  return record?.active === null || record === null
    ? null
    : await store.getRelease(ref, record.active)
}

export function urlsOf(
  spec: AppSpec,
  ref: AppRef,
  deps: Pick<ReconcileDeps, 'urlOf' | 'defaultHost'>,
): readonly string[] {
  return routesOf(spec, ref, deps).map(({ host, path }) => deps.urlOf(host, path, spec.target))
}

function routesOf(
  spec: AppSpec,
  ref: AppRef,
  deps: Pick<ReconcileDeps, 'defaultHost'>,
): readonly { readonly host: string; readonly path: string }[] {
  return Object.values(spec.processes).flatMap((process) =>
    process.routes.map((route) => ({
      host: route.host ?? deps.defaultHost(ref),
      path: route.path,
    })),
  )
}

function refuseKeys(
  reading: AppReading,
  engine: Pick<Deps['engine'], 'name' | 'unsupported'>,
): void {
  const unsupported = engine.unsupported(reading.spec).map((path) => ({
    path,
    at: reading.positionOf(path),
  }))
  const keys = [...reading.laterKeys, ...unsupported]
  if (keys.length === 0) return
  const name = reading.spec.target === null ? engine.name : 'kubernetes'
  const unjudged = keys.some(({ path }) => path.endsWith('.deploy.analysis'))
  const isLive = keys.every(({ path }) => /^files\..*\.onChange$/.test(path))
  const lines = keys.map(({ path, at }) => `${at === null ? '' : `${at}: `}\`${path}\``)
  throw new FairwayError(
    'UNSUPPORTED_KEY',
    `the ${name} engine does not honour these keys yet:\n${lines.join('\n')}`,
    {
      ...(unjudged ? { hint: unjudgedHint(reading.spec) } : isLive ? { hint: LIVE_HINT } : {}),
      details: { engine: name, keys: keys.map(({ path }) => path) },
    },
  )
}

const LIVE_HINT =
  'On a cluster other instances take over when a value changes: leave `onChange` out, or set it to `restart`.'

function unjudgedHint({ target }: AppSpec): string {
  const add = `fairway target add ${target ?? 'NAME'} … --metrics URL`
  return `Nothing says what releases serve on ${target ?? 'this target'}: give it a Prometheus with \`${add}\`; or leave \`analysis\` out, and readiness and \`pause\` decide.`
}

/** A route belongs to one app: two apps with the same host and path would take each other's requests. */
async function refuseTakenRoutes(ref: AppRef, spec: AppSpec, deps: Deps): Promise<void> {
  const wanted = new Set(routesOf(spec, ref, deps).map(({ host, path }) => `${host}${path}`))
  for (const record of await deps.store.listApps()) {
    if (refKey(record.ref) === refKey(ref)) continue
    const release = await activeRelease(record.ref, deps.store)
    if (release === null) continue
    const taken = routesOf(release.spec, record.ref, deps).find(({ host, path }) =>
      wanted.has(`${host}${path}`),
    )
    if (taken !== undefined) {
      throw new FairwayError(
        'CONFLICT',
        `route ${taken.host}${taken.path} belongs to ${refKey(record.ref)}`,
      )
    }
  }
}
