import { FairwayError } from '../model/errors.ts'
import type { CliIo } from './io.ts'

/**
 * One line from standard input, without its end. The question goes to standard error, so that it is seen in a pipe too. With
 * `hidden` a terminal does not show what is typed.
 * @throws FairwayError INVALID_REQUEST at Ctrl-C
 */
export async function readLine(
  io: CliIo,
  question: string,
  { hidden }: { readonly hidden: boolean },
): Promise<string> {
  if (question !== '') io.stderr.write(question)
  const raw = hidden && io.stdin.isTTY === true && io.stdin.setRawMode !== undefined
  if (raw) io.stdin.setRawMode?.(true)
  try {
    return await line(io)
  } finally {
    if (raw) {
      io.stdin.setRawMode?.(false)
      io.stderr.write('\n')
    }
    io.stdin.pause()
  }
}

function line({ stdin }: CliIo): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const done = (): void => {
      stdin.off('data', onData)
      stdin.off('end', onEnd)
    }
    const onEnd = (): void => {
      done()
      resolve(text)
    }
    const onData = (chunk: Buffer | string): void => {
      for (const character of chunk.toString()) {
        if (character === '\n' || character === '\r' || character === '\x04') {
          onEnd()
          return
        }
        if (character === '\x03') {
          done()
          reject(new FairwayError('INVALID_REQUEST', 'interrupted', { hint: '' }))
          return
        }
        if (character === '\x7f' || character === '\b') text = text.slice(0, -1)
        else text += character
      }
    }
    stdin.on('data', onData)
    stdin.on('end', onEnd)
    stdin.resume()
  })
}
