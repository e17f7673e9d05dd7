import type { HostCheck } from '../../model/host.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'

export const doctor: Command = {
  name: 'doctor',
  summary: 'check what this machine needs to run apps, and repair it',
  usage: '',
  details: [
    '--fix installs what is missing from the distribution’s own packages, saying each step before it is done. Exit code 8 where something is still wrong.',
  ],
  examples: ['fairway doctor', 'sudo fairway doctor --fix'],
  options: [{ name: 'fix', summary: 'repair what can be repaired' }],
  positionals: { min: 0, max: 0 },
  run,
}

async function run({ args, out, programs }: Context): Promise<number> {
  const host = await programs.doctor()
  const checks = args.flag('fix')
    ? await host.fix((line) => {
        out.note(line)
      })
    : await host.check()
  const failed = checks.some(({ status }) => status === 'fail')
  if (out.json) {
    out.object({ ok: !failed, checks })
  } else {
    const width = Math.max(0, ...checks.map(({ name }) => name.length))
    for (const check of checks) {
      out.line(`${mark(check, out)} ${check.name.padEnd(width)}  ${check.message}`)
      if (check.status !== 'ok' && check.fix !== null) {
        out.line(`  ${' '.repeat(width)}  ${out.paint('dim', `fix: ${check.fix}`)}`)
      }
    }
    if (!args.flag('fix') && checks.some(({ status, fix }) => status !== 'ok' && fix !== null)) {
      out.note('`fairway doctor --fix` does these.')
    }
  }
  return failed ? 8 : 0
}

function mark({ status }: HostCheck, out: Context['out']): string {
  if (status === 'ok') return out.paint('green', '✓')
  return status === 'warn' ? out.paint('yellow', '!') : out.paint('red', '✗')
}
