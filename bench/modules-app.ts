import { mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../src/lib/process.ts'

/** Well-known packages that together are a node_modules of about 50 MB. */
const DEPENDENCIES = {
  express: '4.21.2',
  lodash: '4.17.21',
  pg: '8.13.1',
  'date-fns': '4.1.0',
  rxjs: '7.8.1',
  prettier: '3.4.2',
  ramda: '0.30.1',
  zod: '3.24.1',
  ajv: '8.17.1',
  handlebars: '4.7.8',
}

export interface ModulesApp {
  readonly folder: string
  /** '48.9 MB in 9,812 files'. */
  readonly label: string
}

/** A small server with a node_modules of many files, installed by the host's npm. */
export async function makeModulesApp(folder: string): Promise<ModulesApp> {
  await mkdir(folder, { recursive: true })
  const manifest = { name: 'modules', version: '1.0.0', dependencies: DEPENDENCIES }
  await writeFile(join(folder, 'package.json'), JSON.stringify(manifest))
  await writeFile(join(folder, 'server.js'), server(0))
  const { PATH = '', HOME = '', ...rest } = process.env
  const npm = Object.fromEntries(
    Object.entries(rest).flatMap(([name, value]) =>
      /^npm_config_|proxy$|^NODE_EXTRA_CA_CERTS$/i.test(name) && value !== undefined
        ? [[name, value]]
        : [],
    ),
  )
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: folder,
    env: { PATH, HOME, ...npm },
  })
  // The folder as it comes without a lockfile: node_modules is taken as it is.
  await rm(join(folder, 'package-lock.json'))
  const files = globSync('node_modules/**', { cwd: folder, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  let bytes = 0
  for (const file of files) bytes += (await stat(join(file.parentPath, file.name))).size
  return { folder, label: `${(bytes / 1e6).toFixed(1)} MB in ${String(files.length)} files` }
}

/** Changes one source file. */
export async function changeServer(folder: string, revision: number): Promise<void> {
  await writeFile(join(folder, 'server.js'), server(revision))
  await readFile(join(folder, 'server.js'))
}

/** Changes one file of node_modules, so that its layer has to be made anew. */
export async function changeModules(folder: string, revision: number): Promise<void> {
  await writeFile(
    join(folder, 'node_modules', 'revision.js'),
    `module.exports = ${String(revision)}\n`,
  )
}

function server(revision: number): string {
  return `require('express')().get('/', (q, s) => s.send('${String(revision)}')).listen(process.env.PORT)\n`
}
