import { join } from 'node:path'
import { AuditLog } from '../audit/audit-log.ts'
import { checkpointSchema } from '../audit/chain-verifier.ts'
import { createSigner, newSigningKey } from '../audit/checkpoint.ts'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import type { Log } from '../lib/log.ts'
import type { AuditStore } from '../model/audit.ts'
import type { Clock } from '../model/clock.ts'
import type { Config } from './config.ts'
import type { DataFolder } from './data-folder.ts'

export interface AuditOptions {
  readonly store: AuditStore
  readonly config: Pick<Config, 'auditKeptDays'>
  readonly folder: Pick<DataFolder, 'root'>
  readonly clock: Clock
  readonly log: Log
}

/**
 * The audit over the chain of the store. The key that swears to it and the last checkpoint are files of the data folder: who can only write to
 * the database has neither.
 */
export async function openAudit(options: AuditOptions): Promise<AuditLog> {
  const { store, config, folder, clock, log } = options
  const last = join(folder.root, 'audit-checkpoint.json')
  const audit = new AuditLog({
    store,
    clock,
    log,
    signer: createSigner(await signingKey(join(folder.root, 'audit-key.pem'))),
    memory: {
      read: async () => {
        const text = await readIfExists(last)
        return text === null ? null : checkpointSchema.parse(JSON.parse(text))
      },
      write: (checkpoint) => writeAtomically(last, `${JSON.stringify(checkpoint)}\n`),
    },
    keptMs: config.auditKeptDays * 86_400_000,
  })
  await audit.open()
  return audit
}

async function signingKey(file: string): Promise<string> {
  const known = await readIfExists(file)
  if (known !== null) return known
  const made = newSigningKey()
  await writeAtomically(file, made)
  return made
}
