/**
 * `courier.ts wait|unpack|watch|pack …`: brings a build step of a cluster its inputs and takes away what it made, on both sides of it. Runs in the step's pod, from the control plane's own
 * image; it has no token and no network, the server speaks to it by exec.
 */
import { access, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { READY_FILE, TOO_MUCH } from '../kubernetes/plan-build-step.ts'
import { folderSize } from '../lib/folder-size.ts'
import { packFolders, unpackFolders } from '../oci/folder-archive.ts'

const LOOK_MS = 200
/** The server counts as well, and knows how much may come. */
const LIMITS = { maxEntries: 2_000_000, maxBytes: Number.MAX_SAFE_INTEGER }

const [command = '', ...args] = process.argv.slice(2)
const root = args.at(-1) ?? ''
// As pid 1 it would take no signal that it does not handle.
process.once('SIGTERM', () => process.exit(0))

if (command === 'wait') await untilReady()
else if (command === 'unpack') await unpack(args.slice(0, -1))
else if (command === 'watch') await watch(Number(args[0]))
else if (command === 'pack') await pack(args.slice(0, -1))
else throw new TypeError(`unknown command ${command}`)

async function untilReady(): Promise<void> {
  const ready = join(root, READY_FILE)
  while (!(await access(ready).then(yes, no))) await sleep(LOOK_MS)
}

/** @param folders that must be there, also where nothing is sent for them */
async function unpack(folders: readonly string[]): Promise<void> {
  await unpackFolders(process.stdin, root, LIMITS)
  for (const name of folders) await mkdir(join(root, name), { recursive: true })
  await writeFile(join(root, READY_FILE), '')
}

/** Until it is ended with the pod, or the step has written more than `bytes`. */
async function watch(bytes: number): Promise<void> {
  while ((await folderSize(root).catch(() => 0)) <= bytes) await sleep(LOOK_MS * 2)
  process.exitCode = TOO_MUCH
}

/** @param folders `work`, and `cache-0:LIMIT` = only where it has at most so many bytes */
async function pack(folders: readonly string[]): Promise<void> {
  const chosen: Record<string, string> = {}
  for (const text of folders) {
    const [name = '', limit] = text.split(':')
    const place = join(root, name)
    if (limit === undefined || (await folderSize(place)) <= Number(limit)) chosen[name] = place
  }
  for await (const chunk of packFolders(chosen))
    if (!process.stdout.write(chunk))
      await new Promise((resolve) => process.stdout.once('drain', resolve))
}

function yes(): boolean {
  return true
}

function no(): boolean {
  return false
}
