import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { FairwayError } from '../model/errors.ts'

const MAX_BYTES = 1 << 20
const clusterBody = z.looseObject({
  server: z.string(),
  'certificate-authority': z.string().optional(),
  'certificate-authority-data': z.string().optional(),
})
const userBody = z.looseObject({
  'client-certificate': z.string().optional(),
  'client-key': z.string().optional(),
  tokenFile: z.string().optional(),
})
const contextBody = z.looseObject({ cluster: z.string(), user: z.string() })

/** What is read of a kubeconfig file (client.authentication.k8s.io Config v1); the rest of an entry goes along as it is. */
const fileSchema = z.looseObject({
  'current-context': z.string().optional(),
  clusters: z.array(z.looseObject({ name: z.string(), cluster: clusterBody })).default([]),
  users: z.array(z.looseObject({ name: z.string(), user: userBody })).default([]),
  contexts: z.array(z.looseObject({ name: z.string(), context: contextBody })).default([]),
})

/** One context of a kubeconfig, alone and with the files that it names embedded: what `kubectl config view --minify --flatten` prints. */
export interface OneContext {
  readonly context: string
  readonly server: string
  /** JSON, which is YAML too. Holds credentials. */
  readonly text: string
}

/**
 * Reads `file` and keeps only what `context` (null = `current-context`) needs.
 * @throws FairwayError INVALID_REQUEST where the file cannot be read, is no kubeconfig, lacks the context, or logs in by a program
 */
export function readKubeconfig(file: string, context: string | null): OneContext {
  const config = parseFile(file)
  const name = context ?? config['current-context'] ?? ''
  const chosen = config.contexts.find((each) => each.name === name)
  if (chosen === undefined) {
    const known = config.contexts.map((each) => each.name).join(', ')
    throw invalid(
      file,
      name === '' ? 'it names no current-context' : `it has no context ${JSON.stringify(name)}`,
      known === '' ? undefined : `It has ${known}; choose one with --context.`,
    )
  }
  const cluster = config.clusters.find((each) => each.name === chosen.context.cluster)
  const user = config.users.find((each) => each.name === chosen.context.user)
  if (cluster === undefined) throw invalid(file, `context ${name} names an unknown cluster`)
  if (user === undefined) throw invalid(file, `context ${name} names an unknown user`)
  refusePrograms(file, user.user)
  const read = (path: string): Buffer => readNamed(file, path)
  const text = JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    contexts: [{ name, context: chosen.context }],
    clusters: [{ name: cluster.name, cluster: embedCluster(cluster.cluster, read) }],
    users: [{ name: user.name, user: embedUser(user.user, read) }],
  })
  return { context: name, server: cluster.cluster.server, text }
}

// Private

type ReadNamed = (path: string) => Buffer

function embedCluster(cluster: z.output<typeof clusterBody>, read: ReadNamed): object {
  const { 'certificate-authority': ca, ...rest } = cluster
  return ca === undefined
    ? rest
    : { ...rest, 'certificate-authority-data': read(ca).toString('base64') }
}

function embedUser(user: z.output<typeof userBody>, read: ReadNamed): object {
  const { 'client-certificate': certificate, 'client-key': key, tokenFile, ...rest } = user
  return {
    ...rest,
    ...(certificate === undefined
      ? {}
      : { 'client-certificate-data': read(certificate).toString('base64') }),
    ...(key === undefined ? {} : { 'client-key-data': read(key).toString('base64') }),
    ...(tokenFile === undefined ? {} : { token: read(tokenFile).toString('utf8').trim() }),
  }
}

/** A login program would have to run on the server, with the server's rights. */
function refusePrograms(file: string, user: z.output<typeof userBody>): void {
  const kind = ['exec', 'auth-provider'].find((key) => key in user)
  if (kind === undefined) return
  throw invalid(
    file,
    `its user logs in by a program (${kind}), which the server will not run`,
    'Make a service account with a token for Fairway and a kubeconfig that holds it; docs/kubernetes.md shows how.',
  )
}

function parseFile(file: string): z.output<typeof fileSchema> {
  const text = readNamed(file, file).toString('utf8')
  let data: unknown
  try {
    data = parse(text, { maxAliasCount: 0 })
  } catch {
    throw invalid(file, 'it is not YAML')
  }
  const parsed = fileSchema.safeParse(data)
  if (parsed.success && parsed.data.clusters.length > 0) return parsed.data
  throw invalid(file, 'it is not a kubeconfig')
}

function readNamed(file: string, path: string): Buffer {
  const full = path === file ? file : resolve(dirname(file), path)
  try {
    const bytes = readFileSync(full)
    if (bytes.length <= MAX_BYTES) return bytes
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
    throw invalid(file, `${full} cannot be read (${why})`)
  }
  throw invalid(file, `${full} is larger than 1 MiB`)
}

function invalid(file: string, why: string, hint?: string): FairwayError {
  return new FairwayError(
    'INVALID_REQUEST',
    `kubeconfig ${file}: ${why}`,
    hint === undefined ? {} : { hint },
  )
}
