import { SopsError } from '../sops-error.ts'
import type { KeyFetch } from './key-kind.ts'

const TIMEOUT_MS = 20_000
const MAX_ANSWER = 1 << 20

export interface KeyRequest {
  readonly url: string
  readonly method?: 'GET' | 'POST' | 'PUT'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Who is asked, for messages: 'AWS KMS'. */
  readonly who: string
  readonly timeoutMs?: number
}

export type JsonFields = Readonly<Record<string, unknown>>

/**
 * One request to a service that keeps keys, and its answer as text. Redirects are not followed: credentials stay with the address they were meant for.
 * @throws SopsError KEY_FAILED with what the service said, never with what was sent
 */
export async function answerText(fetch: KeyFetch, request: KeyRequest): Promise<string> {
  const { url, who, method = 'POST', headers = {}, body, timeoutMs = TIMEOUT_MS } = request
  const shown = new URL(url).host
  let response: Response
  try {
    response = await fetch(url, {
      method,
      headers,
      redirect: 'error',
      signal: AbortSignal.timeout(timeoutMs),
      ...(body === undefined ? {} : { body }),
    })
  } catch (cause) {
    throw new SopsError('KEY_FAILED', `${who} (${shown}) cannot be reached`, cause)
  }
  const text = await limitedText(response, `${who} (${shown})`)
  if (response.ok) return text
  throw new SopsError(
    'KEY_FAILED',
    `${who} (${shown}) answered ${response.status}${reasonIn(text)}`,
  )
}

/** The same where the answer is a JSON object. */
export async function answerJson(fetch: KeyFetch, request: KeyRequest): Promise<JsonFields> {
  const text = await answerText(fetch, request)
  const fields = jsonFields(text)
  if (fields !== null) return fields
  throw new SopsError('KEY_FAILED', `${request.who} answered with no JSON object`)
}

/** The members of a JSON object; null where the text is none. */
export function jsonFields(text: string): JsonFields | null {
  try {
    return fieldsOf(JSON.parse(text))
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

export function fieldsOf(value: unknown): JsonFields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value))
    : null
}

/** A text of an answer. @throws SopsError KEY_FAILED where it is absent */
export function answered(fields: JsonFields | null, name: string, who: string): string {
  const value = fields?.[name]
  if (typeof value === 'string' && value !== '') return value
  throw new SopsError('KEY_FAILED', `${who} answered without ${name}`)
}

async function limitedText(response: Response, who: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  const body: AsyncIterable<Uint8Array> | null = response.body
  try {
    for await (const chunk of body ?? []) {
      size += chunk.length
      if (size > MAX_ANSWER) break
      chunks.push(chunk)
    }
  } catch (cause) {
    throw new SopsError('KEY_FAILED', `${who} broke off its answer`, cause)
  }
  if (size > MAX_ANSWER) throw new SopsError('KEY_FAILED', `${who} answered too much`)
  return Buffer.concat(chunks).toString('utf8')
}

/** What services say about a refusal: AWS `message`, Google and Azure `error.message`, Vault `errors`. */
function reasonIn(text: string): string {
  const fields = jsonFields(text)
  const error = fieldsOf(fields?.['error'])
  const errors = fields?.['errors']
  const candidates: unknown[] = [
    fields?.['message'],
    fields?.['Message'],
    error?.['message'],
    fields?.['error_description'],
    fields?.['error'],
    Array.isArray(errors) ? errors.filter((each) => typeof each === 'string').join(', ') : null,
    fields?.['__type'],
    /<Message>([^<]*)</.exec(text)?.[1],
  ]
  const said = candidates.find((each) => typeof each === 'string' && each !== '')
  if (typeof said !== 'string') return ''
  return `: ${said.replaceAll(/[^\x20-\x7e]+/g, ' ').slice(0, 200)}`
}
