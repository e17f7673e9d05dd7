/**
 * Loaded in front of the real server program (`node --import …`): kills it with SIGKILL at one write to the store. `FAIRWAY_TEST_DEATH` names a file
 * that holds a `Death`, looked at before and after every write, so that a running server can be told when to die; beside it, in
 * `<file>.trace`, stands one line per write since.
 */
import { appendFileSync, readFileSync } from 'node:fs'
import { KyselyStore } from '../../src/store/kysely-store.ts'

/** Where to die: at the `at`-th write (from 1) after this was told. */
export interface Death {
  /** Tells one telling from the next. */
  readonly id: string
  readonly at: number
  readonly when: 'before' | 'after'
  /** Lives on this long: in the middle of what follows the write. */
  readonly delayMs?: number
}

const WRITES = [
  'ensureApp',
  'setActive',
  'setConfig',
  'setScale',
  'setDeleting',
  'deleteApp',
  'addRelease',
  'setReleaseStatus',
  'addRollout',
  'saveRollout',
] as const

const file = process.env['FAIRWAY_TEST_DEATH']
if (file !== undefined) makeMortal(file)

function makeMortal(path: string): void {
  let told = ''
  let count = 0
  const dieWhere = (when: Death['when'], death: Death | null): void => {
    if (death?.at !== count || death.when !== when) return
    const end = (): boolean => process.kill(process.pid, 'SIGKILL')
    if (death.delayMs === undefined) end()
    else setTimeout(end, death.delayMs)
  }
  for (const name of WRITES) {
    const write: unknown = Reflect.get(KyselyStore.prototype, name)
    if (typeof write !== 'function') throw new TypeError(`the store has no ${name}`)
    const mortal = async function (this: unknown, ...args: unknown[]): Promise<unknown> {
      const death = readDeath(path)
      if (death !== null && death.id !== told) {
        told = death.id
        count = 0
      }
      count += 1
      appendFileSync(`${path}.trace`, `${told} ${label(name, args)}\n`)
      dieWhere('before', death)
      const result: unknown = await Reflect.apply(write, this, args)
      dieWhere('after', death)
      return result
    }
    Reflect.set(KyselyStore.prototype, name, mortal)
  }
}

function readDeath(path: string): Death | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Death
  } catch {
    return null
  }
}

interface Written {
  readonly status?: unknown
  readonly steps?: readonly { readonly name: string; readonly status: string }[]
}

/** 'saveRollout running switch:done', 'setReleaseStatus active'. */
function label(name: string, args: readonly unknown[]): string {
  const written = args.find((arg): arg is Written => typeof arg === 'object' && arg !== null)
  const last = written?.steps?.at(-1)
  const words = args.filter((arg) => typeof arg === 'string')
  return [
    name,
    ...(name.endsWith('Rollout') ? [String(written?.status)] : []),
    ...(last === undefined ? [] : [`${last.name}:${last.status}`]),
    ...words,
  ].join(' ')
}
