import { FairwayError } from '../model/errors.ts'
import type { CliIo } from './io.ts'

/** Where a question is asked and answered. */
export type Conversation = Pick<CliIo, 'stdin' | 'stderr'>

/**
 * One line from standard input, without its end; what follows it is there for the next call. The question goes to standard error, so that it is seen in a pipe too. With
 * `hidden` a terminal does not show what is typed.
 * @throws FairwayError INVALID_REQUEST at Ctrl-C
 */
export async function readLine(
  io: Conversation,
  question: string,
  { hidden }: { readonly hidden: boolean },
): Promise<string> {
  const raw = hidden && io.stdin.isTTY === true && io.stdin.setRawMode !== undefined
  if (raw) io.stdin.setRawMode?.(true)
  if (question !== '') io.stderr.write(question)
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

function line({ stdin }: Conversation): Promise<string> {
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
      const characters = Array.from(chunk.toString())
      for (const [at, character] of characters.entries()) {
        if (character === '\n' || character === '\r' || character === '\x04') {
          onEnd()
          // Who gives two secrets gives two lines.
          const rest = characters.slice(at + 1).join('')
          stdin.pause()
          if (rest !== '') stdin.unshift(Buffer.from(rest))
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
