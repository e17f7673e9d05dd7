import { createReadStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { ChainVerifier, checkpointSchema, type Verification } from '../../audit/chain-verifier.ts'
import type { Checkpoint } from '../../audit/checkpoint.ts'
import type { FairwayClient, AuditQuery } from '../../client/fairway-client.ts'
import { readIfExists, writeAtomically } from '../../lib/atomic-file.ts'
import { isMissing } from '../../lib/missing-file.ts'
import { AUDIT_OUTCOMES } from '../../model/audit.ts'
import { FairwayError } from '../../model/errors.ts'
import { parseAppName, parseEnvironmentName } from '../../model/names.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { sinceMs } from '../quantity.ts'
import { subcommand } from '../subcommand.ts'
import { printable } from '../text-width.ts'
import { configPath } from '../user-config.ts'

const DEFAULT_LINES = 100

export const audit: Command = {
  name: 'audit',
  summary: 'show, export and verify who did what',
  usage: '[list|export|verify]',
  details: [
    'Admins of everything see all of it, operators and admins of an app, a team or an environment the records of their apps there. export and verify are for admins of everything.',
    'verify reads an export, from the server or from a FILE without one, and fails where a record was changed, removed, added or moved. It keeps the last checkpoint of a server and holds the next export against it; --checkpoint FILE adds one that you kept elsewhere.',
  ],
  examples: [
    'fairway audit',
    'fairway audit list -f --app shop --outcome denied',
    'fairway audit export > audit.jsonl',
    'fairway audit verify audit.jsonl --checkpoint kept.json',
  ],
  options: [
    { name: 'follow', short: 'f', summary: 'list: go on with later records, until Ctrl-C' },
    { name: 'lines', short: 'n', value: 'N', summary: 'list: the last N records (default: 100)' },
    {
      name: 'since',
      value: 'TIME',
      summary: 'list: not older than 10m, 2h, 1d, or an RFC 3339 time',
    },
    { name: 'actor', value: 'NAME', summary: 'list: name or id of a token or user' },
    { name: 'action', value: 'ACTION', summary: 'list: app:exec, token:write, …' },
    { name: 'outcome', value: 'OUTCOME', summary: 'list: allowed, denied, failed or done' },
    { name: 'key', value: 'KEY', summary: 'verify: the only key that may have signed' },
    { name: 'checkpoint', value: 'FILE', summary: 'verify: a checkpoint that was kept' },
  ],
  subcommands: [
    { name: 'list', usage: '', summary: 'show the newest records' },
    {
      name: 'export',
      usage: '',
      summary: 'print every record as a line of JSON, and a checkpoint',
    },
    { name: 'verify', usage: '[FILE]', summary: 'fail where anything was changed' },
  ],
  positionals: { min: 0, max: 2 },
  run,
}

async function run(context: Context): Promise<number> {
  const none = context.args.positionals.length === 0
  const { name, words } = none ? { name: 'list', words: [] } : subcommand(audit, context.args)
  const [file, extra] = words
  if (extra !== undefined || (file !== undefined && name !== 'verify'))
    throw new FairwayError('INVALID_REQUEST', `unexpected ${JSON.stringify(extra ?? file)}`)
  if (name === 'verify') return await verify(context, file ?? null)
  const stop = new AbortController()
  const unlisten = context.io.onInterrupt(() => {
    stop.abort()
  })
  try {
    if (name === 'list') await list(context, context.client(), stop.signal)
    else
      for await (const { line } of context.client().exportAudit(stop.signal)) context.out.line(line)
    return 0
  } catch (error) {
    if (stop.signal.aborted && name === 'list') return 0
    throw error
  } finally {
    unlisten()
  }
}

async function list(context: Context, client: FairwayClient, signal: AbortSignal): Promise<void> {
  for await (const { line } of client.listAudit(queryOf(context), signal))
    context.out.line(context.out.json ? line : recordText(line, context))
}

function queryOf({ args, now }: Context): AuditQuery {
  const [app, environment, since] = [args.value('app'), args.value('env'), args.value('since')]
  const [actor, action, outcome] = [
    args.value('actor'),
    args.value('action'),
    args.value('outcome'),
  ]
  const known = AUDIT_OUTCOMES.find((each) => each === outcome)
  if (outcome !== undefined && known === undefined)
    throw new FairwayError('INVALID_REQUEST', `--outcome must be ${AUDIT_OUTCOMES.join(', ')}`)
  return {
    limit: args.integer('lines', 1) ?? DEFAULT_LINES,
    ...(args.flag('follow') ? { follow: true } : {}),
    ...(app === undefined ? {} : { app: parseAppName(app) }),
    ...(environment === undefined ? {} : { environment: parseEnvironmentName(environment) }),
    ...(since === undefined ? {} : { since: sinceMs(since, now) }),
    ...(actor === undefined ? {} : { actor }),
    ...(action === undefined ? {} : { action }),
    ...(known === undefined ? {} : { outcome: known }),
  }
}

const shownSchema = z.object({
  seq: z.number(),
  time: z.number(),
  actor: z.object({ name: z.string() }),
  action: z.string(),
  outcome: z.string(),
  app: z.string().nullable(),
  environment: z.string().nullable(),
  target: z.string().nullable(),
  reason: z.string().nullable(),
  facts: z.record(z.string(), z.unknown()),
})

function recordText(line: string, { out }: Context): string {
  const record = shownSchema.parse(JSON.parse(line))
  const { app, environment, target, reason, facts } = record
  const where = app === null ? null : `${app}${environment === null ? '' : `/${environment}`}`
  const known = Object.entries(facts).filter(([, value]) => value !== null)
  const told = known.map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const rest = [where, target, ...told, reason].filter((part) => part !== null).join('  ')
  const colour = record.outcome === 'denied' || record.outcome === 'failed' ? 'red' : 'green'
  const time = out.paint('dim', new Date(record.time).toISOString())
  const who = printable(record.actor.name, out.isTTY)
  return `${time} ${out.paint(colour, record.outcome)} ${record.action} ${who}  ${printable(rest, out.isTTY)}`
}

async function verify(context: Context, file: string | null): Promise<number> {
  const { args, out } = context
  const client = file === null ? context.client() : null
  const memory = client === null ? null : memoryOf(context, client.server)
  const given = args.value('checkpoint')
  const kept = [
    ...(given === undefined ? [] : [await checkpointIn(given)]),
    ...(memory === null ? [] : await rememberedIn(memory)),
  ]
  const key = args.value('key')
  const verifier = new ChainVerifier({ kept, trusted: key === undefined ? [] : [key] })
  const lines = client === null ? linesOf(file ?? '') : exported(client)
  for await (const line of lines) verifier.take(line)
  const result = verifier.end()
  if (out.json) out.object({ ...result, verified: result.findings.length === 0 })
  if (result.findings.length > 0) {
    throw new FairwayError('AUDIT_TAMPERED', result.findings.join('\n'), {
      details: { findings: result.findings },
    })
  }
  if (memory !== null && result.checkpoint !== null) {
    await mkdir(dirname(memory), { recursive: true, mode: 0o700 })
    await writeAtomically(memory, `${JSON.stringify(result.checkpoint)}\n`)
  }
  if (!out.json) for (const line of resultText(result, kept.length)) out.line(line)
  return 0
}

function resultText(result: Verification, kept: number): readonly string[] {
  const { records, first, last, checkpoints, keys, checkpoint } = result
  return [
    `${String(records)} records, ${String(first)} to ${String(last)}: whole and in order.`,
    `${String(checkpoints)} signed checkpoints among them, ${String(kept)} that were kept elsewhere still hold.`,
    `Signed by ${keys.join(', ')}.`,
    `Checkpoint: ${JSON.stringify(checkpoint)}`,
  ]
}

async function* exported(client: FairwayClient): AsyncGenerator<string> {
  for await (const { line } of client.exportAudit(new AbortController().signal)) yield line
}

/** Cut at line feeds alone: a record may hold other characters that count as ends of lines elsewhere. */
async function* linesOf(file: string): AsyncGenerator<string> {
  let rest = ''
  try {
    for await (const chunk of createReadStream(file, 'utf8')) {
      const lines = (rest + String(chunk)).split('\n')
      rest = lines.pop() ?? ''
      yield* lines
    }
  } catch (error) {
    if (isMissing(error)) throw new FairwayError('NOT_FOUND', `there is no file ${file}`)
    throw error
  }
  if (rest !== '') yield rest
}

/** Where the last checkpoint of a server is remembered. */
function memoryOf({ io }: Context, server: string): string {
  return join(dirname(configPath(io)), 'audit', `${encodeURIComponent(server)}.json`)
}

async function rememberedIn(file: string): Promise<readonly Checkpoint[]> {
  return (await readIfExists(file)) === null ? [] : [await checkpointIn(file)]
}

async function checkpointIn(file: string): Promise<Checkpoint> {
  const text = await readIfExists(file)
  if (text === null) throw new FairwayError('NOT_FOUND', `there is no file ${file}`)
  try {
    const value: unknown = JSON.parse(text)
    const inner = z.object({ checkpoint: checkpointSchema }).safeParse(value)
    return inner.success ? inner.data.checkpoint : checkpointSchema.parse(value)
  } catch (error) {
    throw new FairwayError('INVALID_REQUEST', `${file} holds no checkpoint`, { cause: error })
  }
}
