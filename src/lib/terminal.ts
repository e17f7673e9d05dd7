import { readProc } from './process-identity.ts'
import { runToEnd, start } from './process.ts'

type ChildProcess = Awaited<ReturnType<typeof start>>

/**
 * Starts a program in a new terminal, whose bytes are the child's stdin and stdout. script(1), part of every Debian and of macOS,
 * makes the terminal: node cannot.
 * @throws ProgramError where script cannot be started
 */
export async function startInTerminal(
  program: string,
  args: readonly string[],
  options: { readonly env: Readonly<Record<string, string>>; readonly cwd?: string },
): Promise<ChildProcess> {
  const command = terminalCommand(process.platform, [program, ...args])
  return await start('script', command.args, {
    env: { TERM: 'xterm', ...options.env, SHELL: '/bin/sh', ...command.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
}

/**
 * Arguments and variables for script(1). That of Linux hands its command to a shell: it is constant text, and what varies travels in variables, which a
 * shell does not read as commands when quoted. That of macOS and the BSDs takes the words as they are.
 */
export function terminalCommand(
  platform: NodeJS.Platform,
  words: readonly string[],
): { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  if (platform !== 'linux') return { args: ['-q', '/dev/null', ...words], env: {} }
  const names = words.map((_, index) => `FAIRWAY_WORD_${String(index)}`)
  const command = `exec ${names.map((name) => `"$${name}"`).join(' ')}`
  return {
    args: ['-q', '-e', '-f', '-c', command, '/dev/null'],
    env: Object.fromEntries(words.map((word, index) => [names[index] ?? '', word])),
  }
}

/** Gives the terminal of `startInTerminal` another size; the kernel tells the program in it by SIGWINCH. */
export async function resizeTerminal(
  pid: number | undefined,
  columns: number,
  rows: number,
): Promise<void> {
  if (pid === undefined) return
  const children = (await readProc(pid, `task/${String(pid)}/children`)) ?? ''
  const child = children.trim().split(' ')[0] ?? ''
  if (child === '') return
  const size = ['rows', String(rows), 'cols', String(columns)]
  await runToEnd('stty', ['-F', `/proc/${child}/fd/0`, ...size])
}
