import type { AppSpec } from './app-spec.ts'
import type { Recognition } from './build-plan.ts'
import type { AppRef } from './names.ts'
import type { SourceTree } from './source.ts'

export interface AppReading {
  readonly spec: AppSpec
  readonly recognition: Recognition
  readonly warnings: readonly string[]
  /** Keys that parse but belong to later work, with where they stand. */
  readonly laterKeys: readonly { readonly path: string; readonly at: string }[]
  /** Where a dotted key stands, as 'fairway.yaml:4:1'; null where there is no file. */
  readonly positionOf: (key: string) => string | null
}

/** Turns what a client handed in into a spec and a build plan. `spec/` has the parts, `bin/` puts them together. */
export interface AppReader {
  /** @throws FairwayError INVALID_APP_FILE, UNRECOGNISED_SOURCE, INVALID_SOURCE */
  read(
    ref: AppRef,
    input: {
      readonly appFile: { readonly path: string; readonly text: string } | null
      readonly tree: SourceTree | null
      readonly image: string | null
    },
  ): Promise<AppReading>

  /** Lines for `fairway plan`: '~ web: memory 512Mi → 1Gi'. Empty = the same. */
  diff(before: AppSpec | null, after: AppSpec): readonly string[]
}
