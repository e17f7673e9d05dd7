/** The `fairway` program. `server` and `router` are programs of their own; everything else is a command of the CLI. */
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'

enableCompileCache()
const [first] = process.argv.slice(2)
if (first === 'server') await import('./server.ts')
else if (first === 'router') await import('./router.ts')
else await runCommand()

async function runCommand(): Promise<void> {
  const { main } = await import('../cli/main.ts')
  const { programs } = await import('./cli-programs.ts')
  const { systemClock } = await import('../lib/clock.ts')
  const { stdin, stdout, stderr } = process
  process.exitCode = await main(
    process.argv.slice(2),
    {
      stdin,
      stdout,
      stderr,
      isTTY: stdout.isTTY,
      columns: () => stdout.columns,
      rows: () => stdout.rows,
      env: process.env,
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
