import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { minimalEnv, run, start } from '../../src/lib/process.ts'

/** The host's npm with a home of its own; `registry` is its only one. */
export interface NpmClient {
  /** `npm adduser`, answering its questions as a person would. */
  readonly addUser: (name: string, password: string) => Promise<void>
  /** @returns standard output @throws ProgramError */
  readonly npm: (args: readonly string[], cwd: string) => Promise<string>
}

/** Not every resolver knows what RFC 6761 says of `*.localhost`, which browsers do know. */
const LOCALHOST = `const dns = require('node:dns')
const lookup = dns.lookup
dns.lookup = (name, ...rest) => lookup(/\\.localhost$/.test(name) ? 'localhost' : name, ...rest)
`

export async function npmClient(home: string, registry: string): Promise<NpmClient> {
  const preload = join(home, 'localhost.cjs')
  await writeFile(preload, LOCALHOST)
  const env = {
    ...minimalEnv(),
    HOME: home,
    NODE_OPTIONS: `--require=${preload}`,
    npm_config_userconfig: join(home, '.npmrc'),
    npm_config_cache: join(home, 'npm-cache'),
    npm_config_registry: registry,
    npm_config_update_notifier: 'false',
  }
  const addUser: NpmClient['addUser'] = async (name, password) => {
    const child = await start('npm', ['adduser', '--auth-type=legacy'], {
      env,
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const answers: [RegExp, string][] = [
      [/Username:[^\n]*$/i, name],
      [/Password:[^\n]*$/i, password],
      [/Email[^\n]*:[^\n]*$/i, `${name}@example.com`],
    ]
    let said = ''
    const answer = (chunk: Buffer): void => {
      said += chunk.toString('utf8')
      const [question, text] = answers[0] ?? []
      if (question?.test(said) !== true) return
      answers.shift()
      said += '\n'
      child.stdin?.write(`${text ?? ''}\n`)
    }
    child.stdout?.on('data', answer)
    child.stderr?.on('data', answer)
    const limit = setTimeout(() => child.kill('SIGKILL'), 240_000)
    const code = await new Promise((resolve) => child.once('close', resolve))
    clearTimeout(limit)
    if (code !== 0) throw new Error(`npm adduser: exit ${String(code)}\n${said}`)
  }
  return {
    addUser,
    npm: (args, cwd) => run('npm', args, { env, cwd, timeoutMs: 400_000 }),
  }
}
