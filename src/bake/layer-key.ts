import { createHash } from 'node:crypto'

/** Raised when the same inputs shall make other layers than before. */
const FORMAT = 3

/** Key of a layer in the store's cache: a readable kind and a hash of everything that decides the content. */
export function layerKey(kind: string, inputs: Readonly<Record<string, unknown>>): string {
  const sorted = Object.keys(inputs)
    .sort()
    .map((name) => [name, inputs[name]])
  const hash = createHash('sha256')
    .update(JSON.stringify([FORMAT, kind, sorted]))
    .digest('hex')
  return `${kind}:${hash}`
}
