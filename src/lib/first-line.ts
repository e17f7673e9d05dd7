/** The first line of a stream without its end; what came until the stream ended where there was none. */
export async function firstLine(stream: unknown): Promise<string> {
  if (!(stream instanceof Object) || !(Symbol.asyncIterator in stream)) return ''
  let text = ''
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8')
    if (text.includes('\n')) break
  }
  return text.split('\n')[0] ?? ''
}
