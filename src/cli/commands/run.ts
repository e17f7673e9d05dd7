import { FairwayError } from '../../model/errors.ts'
import { ClientError } from '../../client/client-error.ts'
import { parseProcessName } from '../../model/names.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { INTERRUPTED } from '../follow.ts'
import { durationMs } from '../quantity.ts'
import { printable } from '../text-width.ts'

export const run: Command = {
  name: 'run',
  summary: 'run a command in a fresh instance of the active release',
  usage: '-- COMMAND [ARGUMENT…]',
  details: [
    'Same image, environment and limits as the app, in an instance of its own that is removed afterwards. The exit code is the command’s. Ctrl-C ends the command.',
  ],
  examples: [
    'fairway run -- node scripts/migrate.js',
    'fairway run --app shop --process worker -- env',
  ],
  options: [
    { name: 'process', short: 'p', value: 'NAME', summary: 'whose environment and limits to use' },
    { name: 'timeout', value: 'TIME', summary: 'longest time (default: 1h)' },
  ],
  positionals: { min: 0, max: 0 },
  rest: true,
  run: runCommand,
}

async function runCommand(context: Context): Promise<number> {
  const { args, io, out } = context
  const argv = args.rest ?? []
  if (argv.length === 0) {
    throw new FairwayError('INVALID_REQUEST', 'run needs a command after --', {
      hint: 'For example: fairway run -- node scripts/migrate.js',
    })
  }
  const process = args.value('process')
  const body = {
    process: process === undefined ? null : parseProcessName(process),
    argv: [...argv],
    timeoutMs: durationMs(args.value('timeout') ?? '1h', '--timeout'),
  }
  const client = context.client()
  const ref = await context.ref()
  const controller = new AbortController()
  const stopListening = io.onInterrupt(() => {
    controller.abort()
  })
  try {
    for await (const event of client.runCommand(ref, body, controller.signal)) {
      if (out.json) out.object(event)
      if (event.type === 'exit') return exitCode(context, event)
      if (!out.json) {
        const text = `${printable(event.line.text, out.isTTY)}\n`
        ;(event.line.stream === 'stdout' ? io.stdout : io.stderr).write(text)
      }
    }
    throw new ClientError('SERVER_UNREACHABLE', 'the connection was lost while the command ran')
  } catch (error) {
    if (!controller.signal.aborted) throw error
    return INTERRUPTED
  } finally {
    stopListening()
  }
}

function exitCode(
  { out }: Context,
  { code, reason }: { readonly code: number | null; readonly reason: string },
): number {
  if (code === 0) return 0
  if (!out.json) out.problem(`${out.paint('red', 'error:')} the command failed: ${reason}`)
  return code ?? 1
}
