import { binaryFormat } from './binary-format.ts'
import type { Format } from './document.ts'
import { dotenvFormat } from './dotenv-format.ts'
import { iniFormat } from './ini-format.ts'
import { jsonFormat } from './json-format.ts'
import { yamlFormat } from './yaml-format.ts'

/** The format that sops takes for a file of this name: by its ending alone, everything else is binary. */
export function formatOf(path: string): Format {
  const ending = /\.(yaml|yml|json|env|ini)$/.exec(path)?.[1]
  switch (ending) {
    case 'yaml':
    case 'yml':
      return yamlFormat
    case 'json':
      return jsonFormat
    case 'env':
      return dotenvFormat
    case 'ini':
      return iniFormat
    default:
      return binaryFormat
  }
}
