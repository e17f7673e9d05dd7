import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { PrivatePlatform } from './private-platform.ts'

const running = z.object({ pid: z.number() })

/** SIGKILL for the server alone; router and apps go on. */
export async function killServer({ dataDir }: Pick<PrivatePlatform, 'dataDir'>): Promise<void> {
  const text = await readFile(join(dataDir, 'programs/server.pid'), 'utf8')
  process.kill(running.parse(JSON.parse(text)).pid, 'SIGKILL')
}
