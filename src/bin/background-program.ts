import { closeSync, openSync } from 'node:fs'
import { readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import { start } from '../lib/process.ts'
import { identify, isAlive, signalProcess, type ProcessIdentity } from '../lib/process-identity.ts'
import { FairwayError } from '../model/errors.ts'
import { findProgram, sameFolder } from './find-program.ts'
import { failureInLog } from './program-failure.ts'
import { packageVersion } from './version.ts'

/** A program of ours that runs in the background: known by pid and start time, so that a reused pid is never taken for it. */
const record = z.object({
  pid: z.number().int().positive(),
  startedAs: z.string(),
  urls: z.array(z.string()).default([]),
  runner: z.string().nullable().default(null),
  version: z.string().nullable().default(null),
})

/** What a program tells about itself once it serves. */
export interface RunningFacts {
  readonly urls: readonly string[]
  /** Name of the runner in use; null for the router. */
  readonly runner: string | null
}

export interface RunningProgram extends RunningFacts {
  readonly pid: number
  /** Of the package that it was started from; null where it did not say. */
  readonly version: string | null
}

export interface BackgroundProgram {
  readonly name: 'server' | 'router'
  /** Folder of its pid file and log. */
  readonly folder: string
}

const POLL_MS = 15
const LOG_LINES = 15

/** The program that runs now, as it described itself; null where none runs. */
export async function runningProgram(program: BackgroundProgram): Promise<RunningProgram | null> {
  return runningProcess(program)
}

/** Written by the program itself when it begins, so that whoever starts it (a person, systemd, `fairway up`) is known alike. */
export async function recordRunning(
  program: BackgroundProgram,
  facts: RunningFacts,
): Promise<void> {
  const version = packageVersion()
  const text = JSON.stringify({ ...(await identify(process.pid)), ...facts, version })
  await writeAtomically(pidFile(program), text, { durable: false })
}

/** How a program is started; its output is added to the file `log`. */
export interface Command {
  readonly program: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly log: string
}

export interface Started {
  /** How it ended; null while it runs. */
  ended(): Promise<string | null>
}

export interface StartOptions extends Omit<Command, 'log'> {
  readonly timeoutMs: number
  /** `startDetached`, or somebody else who starts it. */
  readonly start: (command: Command) => Promise<Started>
  /** True once it answers. */
  readonly answers: () => Promise<boolean>
}

/** Starts it and waits until it answers. @throws FairwayError what the program says of its failure; else TIMEOUT or CONFLICT with the last lines of its log */
export async function startInBackground(
  program: BackgroundProgram,
  options: StartOptions,
): Promise<void> {
  const log = logFile(program)
  const logged = await stat(log).then(
    ({ size }) => size,
    () => 0,
  )
  const { program: executable, args, env } = options
  const started = await options.start({ program: executable, args, env, log })
  const deadline = performance.now() + options.timeoutMs
  while (!(await options.answers())) {
    const how = await started.ended()
    if (how !== null) throw await failed(program, logged, `ended at once: ${how}`, 'CONFLICT')
    if (performance.now() > deadline)
      throw await failed(program, logged, 'does not answer', 'TIMEOUT')
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** A child of ours that outlives us. @throws ProgramError where it cannot be started */
export async function startDetached({ program, args, env, log }: Command): Promise<Started> {
  const output = openSync(log, 'a', 0o600)
  const child = await start(program, args, {
    env,
    stdio: ['ignore', output, output],
    detached: true,
  }).finally(() => closeSync(output))
  const end: { how: string | null } = { how: null }
  child.once('exit', (code, signal) => {
    end.how = code === null ? `killed by ${String(signal)}` : `exit code ${String(code)}`
  })
  child.unref()
  return { ended: () => Promise.resolve(end.how) }
}

/** What somebody else started for us. */
export async function watchStarted(pid: number): Promise<Started> {
  const identity = await identify(pid)
  return {
    ended: async () =>
      identity !== null && (await isAlive(identity)) ? null : 'its exit code is not known',
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
  const deadline = performance.now() + timeoutMs
  while (await isAlive(running)) {
    if (performance.now() > deadline) await signalProcess(running, 'SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  await rm(pidFile(program), { force: true })
  return true
}

async function runningProcess(
  program: BackgroundProgram,
): Promise<(ProcessIdentity & RunningProgram) | null> {
  const text = await readIfExists(pidFile(program))
  const parsed = record.safeParse(parseJson(text ?? ''))
  if (parsed.success && (await isAlive(parsed.data))) {
    if ((await sameFolder(parsed.data.pid, program)) !== false) return parsed.data
  } else if (parsed.success) return null
  // Lost, damaged, or of another data folder that was copied here.
  const found = await findProgram(program)
  return found === null ? null : { ...found, urls: [], runner: null, version: null }
}

function pidFile(program: BackgroundProgram): string {
  return join(program.folder, `${program.name}.pid`)
}

export function logFile(program: BackgroundProgram): string {
  return join(program.folder, `${program.name}.log`)
}

async function failed(
  program: BackgroundProgram,
  logged: number,
  how: string,
  code: 'CONFLICT' | 'TIMEOUT',
): Promise<FairwayError> {
  const path = logFile(program)
  const text = (await readFile(path)).subarray(logged).toString('utf8')
  const failure = failureInLog(text)
  if (failure !== null) {
    return new FairwayError(failure.code, `the ${program.name} cannot start: ${failure.message}`, {
      hint: `${failure.hint} Its log is ${path}.`,
    })
  }
  const lines = text.trimEnd().split('\n').slice(-LOG_LINES).join('\n')
  return new FairwayError(code, `the ${program.name} ${how}\n${lines}`, {
    hint: `Its log is ${path}.`,
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
