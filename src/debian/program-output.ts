import { once } from 'node:events'
import { minimalEnv, ProgramError, start } from '../lib/process.ts'

/**
 * Standard output of a program as it comes, held back while nobody reads. Who stops reading early ends the program.
 * @throws ProgramError where it cannot be started, or after the last byte where it failed
 */
export async function* programOutput(
  program: string,
  args: readonly string[],
): AsyncGenerator<Uint8Array> {
  const child = await start(program, args, { env: minimalEnv(), stdio: ['ignore', 'pipe', 'pipe'] })
  const closed = once(child, 'close')
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-2000)
  })
  try {
    if (child.stdout !== null) {
      for await (const chunk of child.stdout) yield chunk as Uint8Array
    }
    await closed
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  }
  if (child.exitCode === 0) return
  const how = child.exitCode === null ? String(child.signalCode) : `exit ${child.exitCode}`
  throw new ProgramError(`${program}: ${how}: ${said.trim()}`, null)
}
