import { z } from 'zod'
import type { Log } from '../lib/log.ts'
import { ERRORS, FairwayError, type ErrorCode } from '../model/errors.ts'
import type { Config } from './config.ts'

const failureLine = z.object({
  failure: z.object({
    code: z.custom<ErrorCode>((code) => typeof code === 'string' && Object.hasOwn(ERRORS, code)),
    message: z.string(),
    hint: z.string(),
  }),
})

/** Whatever nobody caught ends the program with one line on its log, from which `fairway up` can say in plain words why it did not start. */
export function endOnFailure(log: Log, config: Config): void {
  process.on('uncaughtException', (error) => {
    const { code, message, hint } = programFailure(error, config)
    log.error({ failure: { code, message, hint }, err: error }, 'ends after a failure')
    process.exit(1)
  })
}

/** An error of a program of ours in the user's words: a port that is taken, an address that is not there; anything else is INTERNAL. */
export function programFailure(error: unknown, config: Config): FairwayError {
  if (error instanceof FairwayError) return error
  const message = error instanceof Error ? error.message : String(error)
  if (isDiskFull(error)) {
    return new FairwayError('DISK_FULL', `no space is left in ${config.dataDir}`, {
      cause: error,
      hint: 'Free space there, then start it again. Nothing that was stored is lost.',
    })
  }
  const system = listenError.safeParse(error)
  if (!system.success) return new FairwayError('INTERNAL', message, { cause: error })
  const { code, address, port } = system.data
  const where = `${address}:${String(port)}`
  const [failure, said] = LISTEN_FAILURES[code]
  return new FairwayError(failure, said(where), {
    cause: error,
    hint: listenHint(code, port, config),
  })
}

/** The failure that a program wrote as its last words, or null. `text` is what it logged since it was started. */
export function failureInLog(text: string): FairwayError | null {
  for (const line of text.trimEnd().split('\n').reverse()) {
    const parsed = failureLine.safeParse(parseJson(line))
    if (!parsed.success) continue
    const { code, message, hint } = parsed.data.failure
    return new FairwayError(code, message, { hint })
  }
  return null
}

/** Of the file system, a quota or SQLite (SQLITE_FULL is 13, extended codes keep it in the low byte). */
function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if ('code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')) return true
  return 'errcode' in error && (Number(error.errcode) & 0xff) === 13
}

const listenError = z.object({
  code: z.enum(['EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL']),
  syscall: z.enum(['listen', 'bind']),
  address: z.string(),
  port: z.number(),
})

type ListenError = z.infer<typeof listenError>['code']

const LISTEN_FAILURES: Readonly<
  Record<ListenError, readonly [ErrorCode, (where: string) => string]>
> = {
  EADDRINUSE: ['CONFLICT', (where) => `${where} is taken by another program`],
  EACCES: ['FORBIDDEN', (where) => `this user may not listen on ${where}`],
  EADDRNOTAVAIL: ['INVALID_REQUEST', (where) => `${where} is not an address of this machine`],
}

/** Names the setting that the address came from. */
function listenHint(code: ListenError, port: number, { api, http, https }: Config): string {
  const [variable, option] =
    port === api.port
      ? ['FAIRWAY_API', '--port N or ']
      : port === http.port
        ? ['FAIRWAY_HTTP', '--http-port N or ']
        : port === https?.port
          ? ['FAIRWAY_HTTPS', '']
          : [null, '']
  if (variable === null) return 'Another network program of this machine uses that address.'
  if (code === 'EADDRNOTAVAIL') return `Change ${variable}_HOST.`
  const other = `choose another port with ${option}${variable}_PORT`
  if (code === 'EADDRINUSE') return `End that program, or ${other}.`
  return `Ports below 1024 are for root: ${other}.`
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
