import { join } from 'node:path'
import { z } from 'zod'
import { readIfExists, writeAtomically } from '../../src/lib/atomic-file.ts'

const processIdentity = z.object({ pid: z.number(), startedAs: z.string() })

const nodeRecord = z.object({
  name: z.string(),
  address: z.string(),
  /** First process of the node, in the host's numbers. */
  pid: z.number(),
})

const labRecord = z.object({
  phase: z.enum(['starting', 'ready', 'failed']),
  message: z.string(),
  steps: z.array(z.object({ name: z.string(), ms: z.number() })),
  supervisor: processIdentity,
  index: z.number().nullable(),
  /** First process of the lab, in the host's numbers. */
  holder: z.number().nullable(),
  server: z.string(),
  kubeconfig: z.string(),
  kubectl: z.string(),
  host: z.string(),
  registry: z.string().nullable(),
  nodes: z.array(nodeRecord),
})

const labSettings = z.object({
  name: z.string(),
  /** The lab ends when this process does; null = it lives until it is taken down. */
  owner: processIdentity.nullable(),
  nodes: z.number(),
  memory: z.number(),
  registry: z.string().nullable(),
  cache: z.string(),
  kubernetes: z.string(),
  images: z.record(z.string(), z.string()),
})

export type LabRecord = Readonly<z.infer<typeof labRecord>>
export type NodeRecord = Readonly<z.infer<typeof nodeRecord>>
export type LabSettings = Readonly<z.infer<typeof labSettings>>

/** The one folder of a lab; everything it keeps is below. */
export class LabFolder {
  readonly name: string
  readonly path: string

  /** @param root holds one folder for each lab */
  constructor(root: string, name: string) {
    if (!/^[a-z][a-z0-9-]{0,30}$/.test(name)) {
      throw new Error(
        `lab name ${JSON.stringify(name)}: expected small letters, digits and -, a letter first, at most 31`,
      )
    }
    this.name = name
    this.path = join(root, name)
  }

  at(...parts: string[]): string {
    return join(this.path, ...parts)
  }

  get cgroup(): string {
    return `/fairway-lab-${this.name}`
  }

  /** Where the supervisor answers. */
  get socket(): string {
    return this.at('supervisor.sock')
  }

  /** Null where no such lab was ever begun, or it was taken down. */
  async record(): Promise<LabRecord | null> {
    const text = await readIfExists(this.at('lab.json'))
    return text === null ? null : labRecord.parse(JSON.parse(text))
  }

  write(record: LabRecord): Promise<void> {
    return writeAtomically(this.at('lab.json'), JSON.stringify(record, null, 2), { durable: false })
  }

  async settings(): Promise<LabSettings | null> {
    const text = await readIfExists(this.at('settings.json'))
    return text === null ? null : labSettings.parse(JSON.parse(text))
  }

  writeSettings(settings: LabSettings): Promise<void> {
    const text = JSON.stringify(settings, null, 2)
    return writeAtomically(this.at('settings.json'), text, { durable: false })
  }
}

/** Where labs live: below the user's state folder. */
export function labsFolder(env: Readonly<Record<string, string | undefined>>): string {
  const base = env['XDG_STATE_HOME'] ?? join(env['HOME'] ?? '/root', '.local', 'state')
  return join(base, 'fairway', 'cluster')
}
