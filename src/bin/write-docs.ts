/** `npm run docs`: writes the pages that are made from the source. Tests assert that they are up to date. */
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { cliPage } from '../cli/cli-page.ts'
import { COMMANDS } from '../cli/commands.ts'
import { errorsDocument } from '../contract/errors-document.ts'
import { openApiDocument } from '../contract/openapi.ts'

const docs = resolve(import.meta.dirname, '../../docs')

writeFileSync(resolve(docs, 'api.json'), `${JSON.stringify(openApiDocument(), null, 2)}\n`)
writeFileSync(resolve(docs, 'errors.md'), errorsDocument())
const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()))
writeFileSync(resolve(docs, 'cli.md'), cliPage(commands))
