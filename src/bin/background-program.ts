import { closeSync, openSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import { start } from '../lib/process.ts'
import { identify, isAlive, signalProcess, type ProcessIdentity } from '../lib/process-identity.ts'
import { FairwayError } from '../model/errors.ts'

/** A program of ours that runs in the background: known by pid and start time, so that a reused pid is never taken for it. */
const record = z.object({ pid: z.number().int().positive(), startedAs: z.string() })

export interface BackgroundProgram {
  readonly name: 'server' | 'router'
  /** Folder of its pid file and log. */
  readonly folder: string
}

const POLL_MS = 15
const LOG_LINES = 15

/** Pid of the running program, or null. */
export async function runningPid(program: BackgroundProgram): Promise<number | null> {
  return (await runningProcess(program))?.pid ?? null
}

/** Written by the program itself when it begins, so that whoever starts it (a person, systemd, `fairway up`) is known alike. */
export async function recordRunning(program: BackgroundProgram): Promise<void> {
  await writeAtomically(pidFile(program), JSON.stringify(await identify(process.pid)), {
    durable: false,
  })
}

export interface StartOptions {
  readonly node: string
  /** Flags of Node, then the script. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly timeoutMs: number
  /** True once it answers. */
  readonly answers: () => Promise<boolean>
}

/** Starts it detached and waits until it answers. @throws FairwayError TIMEOUT or CONFLICT with the last lines of its log */
export async function startInBackground(
  program: BackgroundProgram,
  options: StartOptions,
): Promise<void> {
  const log = openSync(logFile(program), 'a', 0o600)
  const child = await start(options.node, options.args, {
    env: options.env,
    stdio: ['ignore', log, log],
    detached: true,
  }).finally(() => closeSync(log))
  const ended: { how: string | null } = { how: null }
  child.once('exit', (code, signal) => {
    ended.how = code === null ? `killed by ${String(signal)}` : `exit code ${String(code)}`
  })
  child.unref()
  const deadline = Date.now() + options.timeoutMs
  while (!(await options.answers())) {
    if (ended.how !== null)
      throw await failed(program, `the ${program.name} ended at once: ${ended.how}`, 'CONFLICT')
    if (Date.now() > deadline)
      throw await failed(program, `the ${program.name} does not answer`, 'TIMEOUT')
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** TERM, then waits for its end, then KILL. False where it did not run. */
export async function stopInBackground(
  program: BackgroundProgram,
  timeoutMs: number,
): Promise<boolean> {
  const running = await runningProcess(program)
  if (running === null) return false
  await signalProcess(running, 'SIGTERM')
  const deadline = Date.now() + timeoutMs
  while (await isAlive(running)) {
    if (Date.now() > deadline) await signalProcess(running, 'SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  await rm(pidFile(program), { force: true })
  return true
}

async function runningProcess(program: BackgroundProgram): Promise<ProcessIdentity | null> {
  const text = await readIfExists(pidFile(program))
  if (text === null) return null
  const parsed = record.safeParse(parseJson(text))
  return parsed.success && (await isAlive(parsed.data)) ? parsed.data : null
}

function pidFile(program: BackgroundProgram): string {
  return join(program.folder, `${program.name}.pid`)
}

export function logFile(program: BackgroundProgram): string {
  return join(program.folder, `${program.name}.log`)
}

async function failed(
  program: BackgroundProgram,
  message: string,
  code: 'CONFLICT' | 'TIMEOUT',
): Promise<FairwayError> {
  const text = (await readIfExists(logFile(program))) ?? ''
  const lines = text.trimEnd().split('\n').slice(-LOG_LINES).join('\n')
  return new FairwayError(code, `${message}\n${lines}`, { hint: `Its log is ${logFile(program)}.` })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
