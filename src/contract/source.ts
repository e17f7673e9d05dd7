import { z } from 'zod'
import { MAX_DOCUMENT_BYTES, MAX_SECRET_DOCUMENTS } from '../model/secrets.ts'
import { digest } from './name.ts'

/** Most entries in one source. */
export const MAX_ENTRIES = 200_000
/** Most bytes of file contents that may travel inside a plan or deploy request, before base64. */
export const MAX_INLINE_BYTES = 4 * 1024 * 1024
/** Longest app file in characters. */
export const MAX_APP_FILE = 256 * 1024

const path = z
  .string()
  .min(1, 'expected a path')
  .max(1024, 'expected at most 1024 characters')
  .refine((text) => !text.includes('\0'), 'expected a path without NUL')

/** Safety of paths and links is the source store's judgement; shape and size are judged here. */
export const sourceEntry = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.literal('file'),
      path,
      size: z.number().int().min(0),
      executable: z.boolean(),
      digest,
    }),
    z.strictObject({ type: z.literal('symlink'), path, target: path }),
  ])
  .meta({ id: 'SourceEntry' })

export const sourceEntries = z
  .array(sourceEntry)
  .max(MAX_ENTRIES, `expected at most ${MAX_ENTRIES} entries`)

/** A content that is small enough to travel inside JSON. */
export const inlineContent = z.strictObject({
  digest,
  /** Base64 of the bytes. */
  base64: z.string().max(Math.ceil(MAX_INLINE_BYTES / 3) * 4 + 4),
})

/** What is deployed: a source saved before, or its entries with the contents that the server may lack. */
export const sourceInput = z.union(
  [
    z.strictObject({ id: digest }),
    z.strictObject({
      entries: sourceEntries,
      contents: z.array(inlineContent).max(10_000).optional(),
    }),
  ],
  'expected {"id": …} or {"entries": […], "contents": […]}',
)

/** Encrypted files: never values. */
export const secretDocuments = z
  .array(z.strictObject({ path, text: z.string().max(MAX_DOCUMENT_BYTES) }))
  .max(MAX_SECRET_DOCUMENTS, `expected at most ${MAX_SECRET_DOCUMENTS} files`)

/** Body of plan and deploy: a source, an app file, an image reference, or a sensible mix. */
export const deployBody = z
  .strictObject({
    source: sourceInput.nullable(),
    appFile: z
      .strictObject({ path, text: z.string().max(MAX_APP_FILE, 'expected at most 256 KiB') })
      .nullable(),
    image: z.string().min(1).max(512).nullable(),
    /** The encrypted files that the app file names for the environment, as they are. */
    secrets: secretDocuments.optional(),
  })
  .refine(
    (body) => body.source !== null || body.image !== null || body.appFile !== null,
    'expected a source, an app file or an image',
  )
  .refine(
    (body) => body.source === null || body.image === null,
    'expected a source or an image, not both',
  )
  .meta({ id: 'Deploy' })

export type DeployBody = z.input<typeof deployBody>
export type SourceEntryBody = z.input<typeof sourceEntry>
