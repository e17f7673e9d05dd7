import { join } from 'node:path'
import { start } from '../../src/lib/process.ts'
import { ScriptedBrowser } from '../scripted-browser.ts'

const cli = join(import.meta.dirname, '../../bin/fairway')

/** `fairway login --device` as a program of its own, and somebody who types its code in at the provider. @returns all that it printed; rejects where it fails */
export async function loginByDevice(
  server: string,
  name: string,
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const program = await start(cli, ['login', server, '--device'], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  let confirming: Promise<void> | null = null
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const listen = (chunk: Buffer): void => {
    said += chunk.toString()
    const url = /any device: (\S+)\n/.exec(said)?.[1]
    if (url === undefined || confirming !== null) return
    confirming = confirm(url, name)
    confirming.catch((error: unknown) => {
      program.kill('SIGKILL')
      reject(error instanceof Error ? error : new Error(String(error)))
    })
  }
  program.stdout?.on('data', listen)
  program.stderr?.on('data', listen)
  program.on('close', (code) => {
    if (code === 0) resolve(said)
    else reject(new Error(`login --device: exit ${String(code)}\n${said}`))
  })
  return promise
}

async function confirm(url: string, name: string): Promise<void> {
  const browser = new ScriptedBrowser()
  const page = await browser.submit(await browser.open(url))
  const consent = await browser.submit(await browser.submit(page), { login: name, password: 'any' })
  await browser.submit(consent)
}
