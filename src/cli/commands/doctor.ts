import { FairwayError } from '../../model/errors.ts'
import type { HostCheck } from '../../model/host.ts'
import { parseTargetName } from '../../model/names.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'

export const doctor: Command = {
  name: 'doctor',
  summary: 'check what this machine, or a cluster, needs to run apps',
  usage: '',
  details: [
    '--fix installs what is missing from the distribution’s own packages, saying each step before it is done. Exit code 8 where something is still wrong.',
    '--target asks the server what one of its clusters has and lacks, and what follows from it.',
  ],
  examples: ['fairway doctor', 'sudo fairway doctor --fix', 'fairway doctor --target prod'],
  options: [
    { name: 'fix', summary: 'repair what can be repaired' },
    { name: 'target', value: 'NAME', summary: 'check this cluster instead of the machine' },
  ],
  positionals: { min: 0, max: 0 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out } = context
  const checks = await findings(context)
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
    if (
      !args.flag('fix') &&
      args.value('target') === undefined &&
      checks.some(({ status, fix }) => status !== 'ok' && fix !== null)
    ) {
      out.note('`fairway doctor --fix` does these.')
    }
  }
  return failed ? 8 : 0
}

async function findings(context: Context): Promise<readonly HostCheck[]> {
  const { args, out, programs } = context
  const target = args.value('target')
  if (target === undefined) {
    const host = await programs.doctor()
    if (!args.flag('fix')) return host.check()
    return host.fix((line) => {
      out.note(line)
    })
  }
  if (!args.flag('fix')) {
    return context.client({ timeoutMs: 60_000 }).checkTarget(parseTargetName(target))
  }
  throw new FairwayError('INVALID_REQUEST', '--fix repairs this machine, never a cluster')
}

function mark({ status }: HostCheck, out: Context['out']): string {
  if (status === 'ok') return out.paint('green', '✓')
  return status === 'warn' ? out.paint('yellow', '!') : out.paint('red', '✗')
}
