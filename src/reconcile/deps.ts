import type { Log } from '../lib/log.ts'
import type { AppReader } from '../model/app-reader.ts'
import type { Audit } from '../model/audit.ts'
import type { Baker, ReleaseImages } from '../model/build-plan.ts'
import type { Clock } from '../model/clock.ts'
import type { Engine } from '../model/engine.ts'
import type { AppRef, TargetName } from '../model/names.ts'
import type { LogReader } from '../model/logs.ts'
import type { EnvironmentKeys, GeneratedSecrets, ReleaseSecrets } from '../model/secrets.ts'
import type { SourceStore } from '../model/source.ts'
import type { Store } from '../model/store.ts'

/** Everything that the use cases need from outside. */
export interface ReconcileDeps {
  readonly store: Store
  readonly engine: Engine
  readonly baker: Baker
  readonly sources: SourceStore
  readonly images: ReleaseImages
  readonly logs: LogReader
  readonly reader: AppReader
  readonly audit: Pick<Audit, 'note'>
  readonly secrets: ReleaseSecrets
  readonly keys: Pick<EnvironmentKeys, 'recipient'>
  readonly generated: GeneratedSecrets
  readonly clock: Clock
  readonly log: Log
  readonly randomId: () => string
  /** Full URL of a route as a person opens it: scheme and port of the router added; on a cluster those of its own entrance. */
  readonly urlOf: (host: string, path: string, target: TargetName | null) => string
  /** Host name where a route names none. */
  readonly defaultHost: (ref: AppRef) => string
}
