import { Secret } from '../model/secrets.ts'
import type { CliIo } from './io.ts'
import { readLine } from './prompt.ts'
import { printable } from './text-width.ts'

/**
 * Asks for the passphrase of a key without showing it. Where standard input is a pipe it may be bringing a value, so the terminal itself is asked.
 * @returns null where there is no terminal
 * @throws FairwayError INVALID_REQUEST at Ctrl-C
 */
export async function askPassphrase(io: CliIo, keyName: string): Promise<Secret | null> {
  const question = `Passphrase of ${printable(keyName, false)}: `
  if (io.stdin.isTTY === true) return Secret.of(await readLine(io, question, { hidden: true }))
  const terminal = await io.openTerminal()
  if (terminal === null) return null
  const conversation = { stdin: terminal.input, stderr: terminal.output }
  try {
    return Secret.of(await readLine(conversation, question, { hidden: true }))
  } finally {
    terminal.close()
  }
}
