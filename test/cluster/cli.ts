/** `npm run cluster -- build|up|down|status|…`: a real Kubernetes on this machine, for tests. */
import { parseArgs } from 'node:util'
import { build, BUILDS, cacheFolder, type Build } from './builds.ts'
import { Lab } from './lab.ts'
import { labsFolder } from './lab-folder.ts'

const USAGE = `usage: npm run cluster -- COMMAND [--name NAME]

  build                                                  every Go program that the suites want, unless it is kept already; starts nothing
  up [--nodes N] [--memory GIB] [--registry HOST:PORT]   starts it, or waits for the running one
  status                                                 what runs, since and with how much memory
  registry HOST:PORT|off                                 what nodes find as 127.0.0.1:5000
  import TAR-OR-LAYOUT [IMAGE-NAME]                      gives all nodes an image
  stop|start|restart|kill COMPONENT                      such as kube-apiserver, node1/kubelet, or all of node2
  down                                                   ends it and removes everything but the builds

The name is "lab" unless given. With KUBECONFIG set, up uses that cluster and starts nothing.`

process.exitCode = await main(process.argv.slice(2))

async function main(argv: readonly string[]): Promise<number> {
  // Whoever reads our lines, `head` for one, may stop early.
  process.stdout.on('error', () => process.exit(0))
  const say = (line: string): void => {
    process.stdout.write(`${line}\n`)
  }
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        name: { type: 'string', default: 'lab' },
        nodes: { type: 'string', default: '1' },
        memory: { type: 'string', default: '3' },
        registry: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    const [command = '', ...rest] = positionals
    const lab = new Lab(labsFolder(process.env), values.name)
    if (values.help) return (say(USAGE), 0)
    if (command === 'build') return await buildAll(say)
    if (command === 'up') return await up(lab, values, say)
    if (command === 'down') return (await lab.down(), say(`${values.name} is down`), 0)
    if (command === 'status') return await status(lab, values.name, say)
    return await order(lab, command, rest, say)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  }
}

async function buildAll(say: (line: string) => void): Promise<number> {
  const cache = cacheFolder(process.env)
  for (const wanted of Object.values<Build>(BUILDS)) await build(wanted, cache, say)
  say(`all programs are in ${cache}`)
  return 0
}

interface UpValues {
  readonly nodes: string
  readonly memory: string
  readonly registry?: string | undefined
}

async function up(lab: Lab, values: UpValues, say: (line: string) => void): Promise<number> {
  const own = process.env['KUBECONFIG'] ?? ''
  if (own !== '') {
    say(`KUBECONFIG is set: the tests use the cluster of ${own}; nothing was started`)
    return 0
  }
  const began = Date.now()
  const { kubeconfig, kubectl, nodes, host } = await lab.up(
    {
      owner: null,
      nodes: numberIn('--nodes', values.nodes, 1, 15),
      memory: numberIn('--memory', values.memory, 2, 1024) * 2 ** 30,
      registry: values.registry ?? null,
      cache: cacheFolder(process.env),
    },
    say,
  )
  say(`ready after ${((Date.now() - began) / 1000).toFixed(1)} s`)
  say(`kubeconfig  ${kubeconfig}`)
  say(`kubectl     ${kubectl}`)
  say(`nodes       ${nodes.map(({ name, address }) => `${name} ${address}`).join(', ')}`)
  say(`this host   ${host} as nodes and pods see it`)
  return 0
}

async function status(lab: Lab, name: string, say: (line: string) => void): Promise<number> {
  const state = await lab.state()
  if (state === null) return (say(`${name}: not there`), 1)
  const { record, isAlive, memory } = state
  say(`${name}: ${isAlive ? record.phase : 'supervisor ended; take it down'} ${record.message}`)
  if (!isAlive) return 1
  say(`memory      ${(memory / 2 ** 20).toFixed(0)} MiB, page cache included`)
  say(`server      ${record.server}`)
  say(`kubeconfig  ${record.kubeconfig}`)
  say(`kubectl     ${record.kubectl}`)
  say(`registry    ${record.registry ?? 'off'} (nodes: 127.0.0.1:5000)`)
  for (const node of record.nodes) say(`${node.name}       ${node.address}`)
  for (const { name: component, isRunning, restarts } of await lab.components()) {
    const again = restarts === 0 ? '' : `, started again ${String(restarts)} times`
    say(`${component.padEnd(24)} ${isRunning ? 'runs' : 'stopped'}${again}`)
  }
  return 0
}

async function order(
  lab: Lab,
  command: string,
  [what = '', name]: readonly string[],
  say: (line: string) => void,
): Promise<number> {
  if (what === '') return (say(USAGE), 2)
  if (command === 'registry') await lab.setRegistry(what === 'off' ? null : what)
  else if (command === 'import') await lab.importImage(what, name)
  else if (isAction(command)) await lab.component(what, command)
  else return (say(USAGE), 2)
  return 0
}

function isAction(text: string): text is 'stop' | 'start' | 'restart' | 'kill' {
  return ['stop', 'start', 'restart', 'kill'].includes(text)
}

function numberIn(option: string, text: string, least: number, most: number): number {
  const number = Number(text)
  if (Number.isFinite(number) && number >= least && number <= most) return number
  throw new Error(`${option} ${text}: expected a number from ${String(least)} to ${String(most)}`)
}
