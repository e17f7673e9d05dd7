/** How our programs in pods of apps ask the server: with the token that the kubelet keeps new for them, and nobody but who has the right certificate. */
import { readFile } from 'node:fs/promises'
import { request } from 'node:https'
import { SECRETS_SERVER_NAME } from '../model/instance-secrets.ts'
import { environment } from './environment.ts'

const ANSWER_MS = 20_000
const MAX_ANSWER = 4 << 20
const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 10_000

export interface Answer {
  /** Of HTTP; 0 = there was none, and `text` says why. */
  readonly status: number
  readonly text: string
}

/**
 * POSTs to the server. In: `<prefix>_URL` (https), `<prefix>_CA` (PEM), `<prefix>_TOKEN` (path of the pod's token, read for each call: it is replaced before
 * it expires). Never rejects but for variables that are missing.
 * @param bodyOf of the token that is sent
 */
export async function callServer(
  prefix: string,
  bodyOf: (token: string) => string,
): Promise<Answer> {
  const [url, ca, file] = [given(`${prefix}_URL`), given(`${prefix}_CA`), given(`${prefix}_TOKEN`)]
  try {
    const token = (await readFile(file, 'utf8')).trim()
    return await post(url, { ca, token, body: bodyOf(token) })
  } catch (error) {
    return { status: 0, text: error instanceof Error ? error.message : String(error) }
  }
}

/** True for what will be answered the same however often it is asked. */
export function isRefusal({ status }: Answer): boolean {
  return status >= 400 && status < 500 && status !== 429
}

/** For people: `{ message }` of a refusal, as this server and API servers say it. */
export function messageOf({ status, text }: Answer): string {
  const { message } = recordOf(text)
  if (status === 0) return text
  return typeof message === 'string' ? message.slice(0, 500) : `status ${String(status)}`
}

/** Of JSON; empty for anything else than an object. */
export function recordOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

/** Before the next of `tries` tries, in milliseconds: longer each time, and not at the same time as other pods. */
export function pauseAfter(tries: number, longestMs = LONGEST_PAUSE_MS): number {
  const pause = Math.min(longestMs, FIRST_PAUSE_MS * 2 ** Math.min(tries, 12))
  return pause * (0.5 + Math.random() / 2)
}

export function given(name: string): string {
  const value = environment[name]
  if (value === undefined || value === '') throw new Error(`${name} is not set`)
  return value
}

/** What the kubelet shows of this container; never a value. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

// Private

function post(
  url: string,
  { ca, token, body }: { readonly ca: string; readonly token: string; readonly body: string },
): Promise<Answer> {
  const options = {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
    },
    ca,
    servername: SECRETS_SERVER_NAME,
    agent: false,
    signal: AbortSignal.timeout(ANSWER_MS),
  }
  return new Promise<Answer>((resolve, reject) => {
    const outgoing = request(url, options, (response) => {
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
    outgoing.end(body)
  })
}
