/**
 * What runs before an app's own command in a pod that has values: asks the server for them and writes them where the app finds them. Its image has nothing but
 * what it imports (helper-files.ts), and it never prints a value.
 *
 * In: what server-call.ts reads, as FAIRWAY_SECRETS_…, and FAIRWAY_SECRETS (folder in memory).
 * Out: one file per value, mode 0400. Exit 0 with all of them in place; 1 where the server refuses, with its words as the last line.
 * It waits for a server that is away for as long as the pod lives.
 */
import { readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  callServer,
  given,
  isRefusal,
  messageOf,
  pauseAfter,
  recordOf,
  say,
} from './server-call.ts'

/** A server that has just started may not know this pod's release yet. */
const UNKNOWN_MS = 30_000
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/

// What a signal interrupts is not worth finishing; as pid 1 it would not end by itself.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(143))
process.exitCode = await fetchSecrets()

async function fetchSecrets(): Promise<number> {
  const began = Date.now()
  let said = ''
  for (let tries = 0; ; tries += 1) {
    const answer = await callServer('FAIRWAY_SECRETS', () => '')
    if (answer.status === 200) return await place(answer.text)
    const isUnknown = answer.status === 404 && Date.now() - began < UNKNOWN_MS
    if (isRefusal(answer) && !isUnknown) {
      say(`refused: ${messageOf(answer)}`)
      return 1
    }
    const line = `waits for the server: ${messageOf(answer)}`
    if (line !== said) say(line)
    said = line
    await sleep(pauseAfter(tries))
  }
}

/** All or nothing of each file: an earlier try of this container may have been ended while it wrote. */
async function place(text: string): Promise<number> {
  const folder = given('FAIRWAY_SECRETS')
  const files = Object.entries(filesOf(text))
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true })
  for (const [name, content] of files) {
    if (!FILE_NAME.test(name) || typeof content !== 'string') {
      say('refused: the answer holds what is no file')
      return 1
    }
    const half = join(folder, `..${name}`)
    await writeFile(half, Buffer.from(content, 'base64'), { mode: 0o400, flag: 'wx' })
    await rename(half, join(folder, name))
  }
  say(`${String(files.length)} values in place`)
  return 0
}

function filesOf(text: string): Record<string, unknown> {
  const { files } = recordOf(text)
  return typeof files === 'object' && files !== null ? { ...files } : {}
}
