import type { InstanceBody } from '../../contract/app.ts'
import type { ExecExit, ExecSession } from '../../client/exec-session.ts'
import { FairwayError } from '../../model/errors.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'

export const exec: Command = {
  name: 'exec',
  summary: 'run a command inside a running instance',
  usage: '[INSTANCE|PROCESS] -- COMMAND [ARGUMENT…]',
  details: [
    'Without an instance the first ready one is taken. With a terminal on both ends the command gets one too; --no-tty and pipes keep standard output and error apart. The exit code is the command’s.',
  ],
  examples: [
    'fairway exec -- sh',
    'fairway exec web-4-k3f9 --app shop -- ls -l /app',
    'fairway exec worker -- cat /proc/1/status | grep VmRSS',
  ],
  options: [{ name: 'no-tty', summary: 'no terminal, also where there is one' }],
  positionals: { min: 0, max: 1 },
  rest: true,
  run,
}

async function run(context: Context): Promise<number> {
  const { args, io, out } = context
  const argv = args.rest ?? []
  if (argv.length === 0) {
    throw new FairwayError('INVALID_REQUEST', 'exec needs a command after --', {
      hint: 'For example: fairway exec -- sh',
    })
  }
  const tty = io.stdin.isTTY === true && io.isTTY && !args.flag('no-tty') && !out.json
  const client = context.client()
  const ref = await context.ref()
  const instance = chosen((await client.getApp(ref)).instances, args.positionals[0])
  const session = await client.exec(ref, instance.id, {
    argv,
    tty,
    ...(tty ? { columns: io.columns(), rows: io.rows() } : {}),
    onOutput: (bytes, stream) => {
      if (out.json) out.object({ type: stream, text: Buffer.from(bytes).toString('utf8') })
      else (stream === 'stdout' ? io.stdout : io.stderr).write(bytes)
    },
  })
  const exit = await attached(context, session, tty)
  if (out.json) out.object({ type: 'exit', ...exit })
  return exitCode(exit)
}

/** Joins the session with this terminal until the command has ended; the terminal is put back in every case. */
async function attached({ io }: Context, session: ExecSession, tty: boolean): Promise<ExecExit> {
  const onData = (chunk: Buffer | string): void => {
    session.write(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
  }
  const onEnd = (): void => {
    session.end()
  }
  const stopResizing = io.onResize(() => {
    if (tty) session.resize(io.columns(), io.rows())
  })
  // In raw mode Ctrl-C is a byte for the command; else it ends the session, which ends the command.
  const stopListening = io.onInterrupt(() => {
    session.close()
  })
  if (tty) io.stdin.setRawMode?.(true)
  io.stdin.on('data', onData)
  io.stdin.on('end', onEnd)
  io.stdin.resume()
  try {
    return await session.exit
  } finally {
    io.stdin.off('data', onData)
    io.stdin.off('end', onEnd)
    io.stdin.pause()
    if (tty) io.stdin.setRawMode?.(false)
    stopResizing()
    stopListening()
    session.close()
  }
}

function chosen(instances: readonly InstanceBody[], named: string | undefined): InstanceBody {
  const found =
    named === undefined
      ? instances.find(({ state }) => state === 'ready')
      : (instances.find(({ id }) => id === named) ??
        instances.find(({ process, state }) => process === named && state === 'ready'))
  if (found !== undefined) return found
  if (named === undefined) throw new FairwayError('NOT_RUNNING', 'no instance is ready')
  throw new FairwayError('NOT_FOUND', `there is no instance or ready process ${named}`)
}

/** As a shell reports it: 128 + signal number where a signal ended the command. */
function exitCode({ code, signal }: ExecExit): number {
  if (code !== null) return code
  return signal === 'SIGKILL' ? 137 : signal === 'SIGTERM' ? 143 : 1
}
