import { format } from 'prettier'
import { appFileJsonSchema } from './json-schema.ts'
import { referenceMarkdown } from './reference.ts'

const START = '<!-- reference: made by src/spec/write-docs.ts -->'
const END = '<!-- end of reference -->'

/** docs/fairway.schema.json as it should be. */
export function schemaFile(): Promise<string> {
  return format(JSON.stringify(appFileJsonSchema()), { parser: 'json', printWidth: 100 })
}

/** docs/app-file.md with its reference made anew. */
export function withReference(page: string): Promise<string> {
  const start = page.indexOf(START)
  const end = page.indexOf(END)
  if (start < 0 || end < start)
    throw new Error(`docs/app-file.md needs the lines ${START} and ${END}`)
  const text = `${page.slice(0, start)}${START}\n\n${referenceMarkdown()}\n\n${page.slice(end)}`
  return format(text, { parser: 'markdown', printWidth: 100, semi: false, singleQuote: true })
}
