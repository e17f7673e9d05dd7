/** The `fairway` program. `server` and `router` are programs of their own; everything else is a command of the CLI. */
import { homedir } from 'node:os'

const [first] = process.argv.slice(2)
if (first === 'server') await import('./server.ts')
else if (first === 'router') await import('./router.ts')
else if (first !== 'kube-token' || !(await printCachedToken())) await runCommand()

/** kubectl waits for this at each start: nothing of the CLI is loaded where a token is cached. */
async function printCachedToken(): Promise<boolean> {
  const { cachedCredential } = await import('../cli/kube-token-cache.ts')
  const { environment: env } = await import('./environment.ts')
  const start = { env, home: homedir(), now: Date.now() }
  const found = cachedCredential(process.argv.slice(2), start)
  if (found !== null) process.stdout.write(found)
  return found !== null
}

async function runCommand(): Promise<void> {
  const { main } = await import('../cli/main.ts')
  const { programs } = await import('./cli-programs.ts')
  const { systemClock } = await import('../lib/clock.ts')
  const { environment } = await import('./environment.ts')
  const { stdin, stdout, stderr } = process
  // Whoever reads our output may leave early, as `head` does.
  for (const stream of [stdout, stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? 0 : 1)
    })
  }
  process.exitCode = await main(
    process.argv.slice(2),
    {
      stdin,
      openTerminal: async () => (await import('./open-terminal.ts')).openTerminal(),
      stdout,
      stderr,
      isTTY: stdout.isTTY,
      columns: () => stdout.columns || 80,
      rows: () => stdout.rows || 24,
      env: environment,
      cwd: process.cwd(),
      home: homedir(),
      clock: systemClock,
      onInterrupt: (listener) => {
        process.on('SIGINT', listener)
        return () => process.off('SIGINT', listener)
      },
      onResize: (listener) => {
        stdout.on('resize', listener)
        return () => stdout.off('resize', listener)
      },
    },
    programs,
  )
}
