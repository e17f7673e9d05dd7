import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve, sep } from 'node:path'
import { FairwayError } from '../../model/errors.ts'
import { parseTargetName } from '../../model/names.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'

export const exportCommand: Command = {
  name: 'export',
  summary: 'write the serving release as plain Kubernetes manifests',
  usage: '',
  details: [
    'Writes DIR/envs/<environment>/<app>/*.yaml, the same bytes for the same release. Values that `fairway env set` gave and logins of registries are left out, and app.lock.yaml names them; --secrets writes them too, for a folder that nobody else reads.',
    '`kubectl apply --server-side -k DIR/envs/<environment>/<app>`, Flux, Argo CD or `fairway apply` take the files. What is applied from files belongs to them: the server does not touch it.',
  ],
  examples: [
    'fairway export --env production -o deploy',
    'fairway export --app shop --target prod -o deploy --secrets',
  ],
  options: [
    { name: 'output', short: 'o', value: 'DIR', summary: 'folder to write to (default: .)' },
    {
      name: 'target',
      value: 'NAME',
      summary: 'cluster that the files are for (default: the environment’s)',
    },
    { name: 'secrets', summary: 'write those values too; admins only' },
  ],
  positionals: { min: 0, max: 0 },
  run,
}

async function run(context: Context): Promise<number> {
  const { args, out, io } = context
  const target = args.value('target')
  const files = await context.client().exportApp(await context.ref(), {
    ...(target === undefined ? {} : { target: parseTargetName(target) }),
    ...(args.flag('secrets') ? { secrets: true } : {}),
  })
  const folder = resolve(io.cwd, args.value('output') ?? '.')
  const mode = args.flag('secrets') ? 0o600 : 0o644
  for (const [path, text] of Object.entries(files)) {
    const full = join(folder, path)
    // The server is trusted to run apps, not to write anywhere on this machine.
    if (!full.startsWith(folder + sep)) throw new FairwayError('INTERNAL', `refused path ${path}`)
    mkdirSync(dirname(full), { recursive: true })
    writeFileSync(full, text, { mode })
  }
  const paths = Object.keys(files)
  if (out.json) out.object({ folder, files: paths })
  else for (const path of paths) out.line(join(args.value('output') ?? '.', path))
  return 0
}
