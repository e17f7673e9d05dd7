/** `node src/spec/write-docs.ts`: writes what the schema says into docs/. A test fails while it is not current. */
import { readFile, writeFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { schemaFile, withReference } from './app-file-docs.ts'

const docs = resolve(import.meta.dirname, '../../docs')
const page = resolve(docs, 'app-file.md')
await writeFile(resolve(docs, 'fairway.schema.json'), await schemaFile())
await writeFile(page, await withReference(await readFile(page, 'utf8')))
