/**
 * What runs before an app's own command in a pod that has values: asks the server for them and writes them where the app finds them. It is alone in its image
 * with what it imports (fetcher-files.ts), and it never prints a value.
 *
 * In: FAIRWAY_SECRETS_URL (https), FAIRWAY_SECRETS_CA (PEM), FAIRWAY_SECRETS_TOKEN (path of the pod's token), FAIRWAY_SECRETS (folder in memory).
 * Out: one file per value, mode 0400. Exit 0 with all of them in place; 1 where the server refuses, with its words as the last line.
 * It waits for a server that is away for as long as the pod lives.
 */
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SECRETS_SERVER_NAME } from '../model/instance-secrets.ts'
import { environment } from './environment.ts'

const ANSWER_MS = 20_000
const MAX_ANSWER = 4 << 20
const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 10_000
/** A server that has just started may not know this pod's release yet. */
const UNKNOWN_MS = 30_000
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/

interface Answer {
  readonly status: number
  readonly text: string
}

// What a signal interrupts is not worth finishing; as pid 1 it would not end by itself.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(143))
process.exitCode = await fetchSecrets()

async function fetchSecrets(): Promise<number> {
  const began = Date.now()
  let said = ''
  for (let tries = 0; ; tries += 1) {
    const answer = await ask().catch((error: unknown) => ({ status: 0, text: reasonOf(error) }))
    if (answer.status === 200) return await place(answer.text)
    const isUnknown = answer.status === 404 && Date.now() - began < UNKNOWN_MS
    const text = answer.status === 0 ? answer.text : messageOf(answer)
    if (answer.status >= 400 && answer.status < 500 && answer.status !== 429 && !isUnknown) {
      say(`refused: ${text}`)
      return 1
    }
    const line = `waits for the server: ${text}`
    if (line !== said) say(line)
    said = line
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(tries, 10))
    await sleep(pause * (0.5 + Math.random() / 2))
  }
}

/** The token is read for each try: the kubelet writes a new one before it expires. */
async function ask(): Promise<Answer> {
  const token = (await readFile(given('FAIRWAY_SECRETS_TOKEN'), 'utf8')).trim()
  const options = {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-length': '0' },
    ca: given('FAIRWAY_SECRETS_CA'),
    servername: SECRETS_SERVER_NAME,
    agent: false,
    signal: AbortSignal.timeout(ANSWER_MS),
  }
  return await new Promise<Answer>((resolve, reject) => {
    const outgoing = request(given('FAIRWAY_SECRETS_URL'), options, (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > MAX_ANSWER) response.destroy(new Error('the answer is too large'))
        else chunks.push(chunk)
      })
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
      )
      response.on('error', reject)
    })
    outgoing.on('error', reject)
    outgoing.end()
  })
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
  const { files } = parsed(text)
  return typeof files === 'object' && files !== null ? { ...files } : {}
}

/** Of a refusal: `{ message }`, as this server and API servers say it. */
function messageOf({ status, text }: Answer): string {
  const { message } = parsed(text)
  return typeof message === 'string' ? message.slice(0, 500) : `status ${String(status)}`
}

function parsed(text: string): { readonly files?: unknown; readonly message?: unknown } {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}

function given(name: string): string {
  const value = environment[name]
  if (value === undefined || value === '') throw new Error(`${name} is not set`)
  return value
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}
