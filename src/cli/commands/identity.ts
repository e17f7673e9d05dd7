import type { WorkloadIdentitiesBody } from '../../contract/workload-endpoints.ts'
import { FairwayError } from '../../model/errors.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { readLine } from '../prompt.ts'
import { ageText } from '../quantity.ts'
import { subcommand } from '../subcommand.ts'
import { tableLines } from '../table.ts'
import { printable } from '../text-width.ts'

export const identity: Command = {
  name: 'identity',
  summary: 'show and replace the root of the certificates that instances have',
  usage: 'status|rotate|replace',
  details: [
    'Each instance has a certificate that says which app and process it is (SPIFFE). What has signed it is the root: replaced at half of its life,',
    'or at once by `rotate`. That takes two times the life of a certificate and no connection breaks. `replace` is for keys that somebody else may have:',
    'nothing but a new root is trusted from then on, and programs refuse each other until both have read their new files.',
  ],
  examples: [
    'fairway identity status',
    'fairway identity rotate',
    'fairway identity replace --yes',
  ],
  options: [{ name: 'yes', short: 'y', summary: 'replace: do not ask' }],
  subcommands: [
    { name: 'status', usage: '', summary: 'trust domain, roots, and what comes next' },
    { name: 'rotate', usage: '', summary: 'begin to replace the root' },
    { name: 'replace', usage: '', summary: 'trust a new root alone, at once' },
  ],
  positionals: { min: 1, max: 1 },
  run,
}

async function run(context: Context): Promise<number> {
  const { name, words } = subcommand(identity, context.args)
  if (words.length > 0) throw new FairwayError('INVALID_REQUEST', `identity ${name} needs no name`)
  const client = context.client()
  if (name === 'rotate') show(context, await client.rotateWorkloadRoot())
  else if (name === 'replace') {
    await confirm(context)
    show(context, await client.replaceWorkloadRoot())
  } else show(context, await client.workloadIdentities())
  return 0
}

async function confirm({ args, io }: Context): Promise<void> {
  if (args.flag('yes')) return
  if (io.stdin.isTTY !== true)
    throw new FairwayError('INVALID_REQUEST', 'replace asks first, and there is no terminal', {
      hint: 'Say --yes.',
    })
  const question =
    'Programs refuse each other until both have read their new certificates. Type replace: '
  if ((await readLine(io, question, { hidden: false })).trim() !== 'replace')
    throw new FairwayError('INVALID_REQUEST', 'nothing was replaced', { hint: '' })
}

const STEPS: Readonly<Record<WorkloadIdentitiesBody['next']['step'], string>> = {
  publish: 'a new root is published',
  switch: 'the new root signs',
  retire: 'the old root is no longer trusted',
}

function show({ out, now }: Context, found: WorkloadIdentitiesBody): void {
  if (out.json) {
    out.object(found)
    return
  }
  const { trustDomain, svidLifeMs, next, roots } = found
  out.line(`trust domain  ${printable(trustDomain, false)}`)
  out.line(`certificates  live ${ageText(svidLifeMs)}`)
  out.line(`next          ${STEPS[next.step]} in ${ageText(Math.max(0, next.at - now))}`)
  const rows = roots.map(({ id, createdAt, notAfter, signs }) => [
    printable(id, false),
    signs ? 'signs' : 'trusted',
    `${ageText(now - createdAt)} ago`,
    `in ${ageText(notAfter - now)}`,
  ])
  for (const line of tableLines(['ROOT', 'STATE', 'CREATED', 'EXPIRES'], rows, out.width))
    out.line(line)
}
