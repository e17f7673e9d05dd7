import type { AppStatusBody, InstanceBody } from '../../contract/app.ts'
import type { FairwayClient } from '../../client/fairway-client.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { ageText, memoryText } from '../quantity.ts'
import { tableLines } from '../table.ts'
import type { Colour, Terminal } from '../terminal.ts'
import { printable } from '../text-width.ts'

const POLL_MS = 1000

export const ps: Command = {
  name: 'ps',
  summary: 'list apps with their URLs and instances',
  usage: '',
  details: [
    'All apps, or with --app the one. --watch shows every change as it happens, until Ctrl-C.',
  ],
  examples: ['fairway ps', 'fairway ps -w --app shop', 'fairway ps --json'],
  options: [{ name: 'watch', short: 'w', summary: 'go on and show every change' }],
  positionals: { min: 0, max: 0 },
  run,
}

async function run(context: Context): Promise<number> {
  const client = context.client()
  if (context.args.flag('watch')) return watch(context, client)
  const apps = await chosen(context, client)
  if (context.out.json) context.out.object({ apps })
  else for (const line of psLines(apps, context.out, context.now)) context.out.line(line)
  return 0
}

/** What `ps` prints: per app a line of its own with its URLs, then its instances. */
export function psLines(apps: readonly AppStatusBody[], out: Terminal, now: number): string[] {
  if (apps.length === 0) return ['No apps yet: `fairway deploy` in a folder starts one.']
  return apps.flatMap((app, index) => [...(index === 0 ? [] : ['']), ...appLines(app, out, now)])
}

async function chosen(context: Context, client: FairwayClient): Promise<readonly AppStatusBody[]> {
  if (context.args.flag('app')) return [await client.getApp(await context.ref())]
  const apps = await client.listApps()
  const environment = context.args.value('env')
  return environment === undefined
    ? apps
    : apps.filter(({ ref }) => ref.environment === environment)
}

async function watch(context: Context, client: FairwayClient): Promise<number> {
  const { io, out, args } = context
  const controller = new AbortController()
  const { signal } = controller
  const stopListening = io.onInterrupt(() => {
    controller.abort()
  })
  try {
    if (args.flag('app')) {
      for await (const app of client.watchApp(await context.ref(), signal)) show(context, [app])
      return 0
    }
    for (;;) {
      show(context, await chosen(context, client))
      await io.clock.sleep(POLL_MS, signal)
    }
  } catch (error) {
    if (signal.aborted) return 0
    throw error
  } finally {
    stopListening()
    if (out.isTTY && !out.json) out.line()
  }
}

function show(context: Context, apps: readonly AppStatusBody[]): void {
  const { out } = context
  if (out.json) {
    out.object({ apps })
    return
  }
  const lines = psLines(apps, out, context.now)
  if (out.isTTY) out.screen(lines)
  else for (const line of [...lines, '']) out.line(line)
}

function appLines(app: AppStatusBody, out: Terminal, now: number): string[] {
  const instances = app.instances.toSorted(byProcess)
  const rows = instances.map((instance) => row(instance, out, now))
  const table = tableLines(
    ['PROCESS', 'INSTANCE', 'RELEASE', 'STATE', 'AGE', 'RESTARTS', 'MEMORY', 'REASON'],
    rows,
    out.width - 2,
  )
  return [
    [out.paint('bold', app.ref.app), app.ref.environment, state(app), ...app.urls].join('  '),
    ...(rows.length === 0 ? [] : table.map((line) => `  ${line}`)),
  ]
}

function state(app: AppStatusBody): string {
  if (app.deleting) return 'being destroyed'
  const release = app.active === null ? 'no release' : `release ${app.active}`
  if (app.rollout?.status === 'waiting') return `${release}, a rollout waits for approval`
  if (app.rollout?.status !== 'running' && app.rollout?.status !== 'queued') return release
  const step = app.rollout.steps.findLast(({ status }) => status === 'running')
  return `${release}, rollout ${step === undefined ? app.rollout.status : `at ${step.name}`}`
}

const STATE_COLOURS: Readonly<Record<InstanceBody['state'], Colour>> = {
  ready: 'green',
  starting: 'cyan',
  draining: 'cyan',
  stopping: 'cyan',
  unready: 'yellow',
  crashed: 'red',
  exited: 'dim',
}

function row(instance: InstanceBody, out: Terminal, now: number): string[] {
  const { usage } = instance
  return [
    instance.process,
    instance.id,
    String(instance.release),
    out.paint(STATE_COLOURS[instance.state], instance.state),
    ageText(now - instance.startedAt),
    String(instance.restarts),
    usage === null ? '' : memory(usage.memoryBytes, usage.memoryLimitBytes),
    printable(instance.reason, false),
  ]
}

function memory(bytes: number, limit: number | null): string {
  return limit === null ? memoryText(bytes) : `${memoryText(bytes)} / ${memoryText(limit)}`
}

function byProcess(a: InstanceBody, b: InstanceBody): number {
  return a.process.localeCompare(b.process) || b.release - a.release || a.startedAt - b.startedAt
}
