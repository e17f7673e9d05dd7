import { StringDecoder } from 'node:string_decoder'

/** Lines longer than this are given in pieces: nobody's output may take all memory. */
const LONGEST = 16 * 1024 * 1024

/** The lines of a byte stream without their ends, also the last one where it has none. */
export async function* textLines(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8')
  const pieces: string[] = []
  let length = 0
  for await (const chunk of body) {
    const parts = decoder
      .write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
      .split('\n')
    for (const [index, part] of parts.entries()) {
      pieces.push(part)
      length += part.length
      if (index === parts.length - 1 && length < LONGEST) continue
      if (length > 0) yield pieces.join('')
      pieces.length = 0
      length = 0
    }
  }
  const rest = `${pieces.join('')}${decoder.end()}`
  if (rest !== '') yield rest
}
