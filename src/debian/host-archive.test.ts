/** Against the archives this host is configured for; skipped by name where there are none or they cannot be reached. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { ProgramError, runToEnd } from '../lib/process.ts'
import { baseFiles, caBundle, osRelease } from './bases.ts'
import { elfClosure } from './closure.ts'
import type { DebFile } from './deb-file.ts'
import { DebianArchive } from './debian-archive.ts'
import { DebianError } from './debian-error.ts'
import { mergeUsr } from './merged-usr.ts'

const folder = mkdtempSync(join(tmpdir(), 'host-archive-'))
const cacheDir = join(folder, 'cache')
const start = performance.now()
let archive: DebianArchive | null = null
let skip: string | false = false
try {
  archive = await DebianArchive.open({ cacheDir })
  await archive.refresh()
} catch (error) {
  if (!(error instanceof DebianError)) throw error
  if (error.code !== 'SOURCES_MISSING' && error.code !== 'ARCHIVE_UNREACHABLE') throw error
  skip = `needs reachable apt sources: ${error.message}`
}
const refreshMs = performance.now() - start

const took = (ms: number): string => `${ms.toFixed(1)} ms`
const opened = (): DebianArchive => {
  assert.ok(archive !== null)
  return archive
}

describe("the host's archives", { skip }, () => {
  after(() => {
    archive?.close()
    rmSync(folder, { recursive: true })
  })

  for (const names of [
    ['libstdc++6'],
    ['openjdk-17-jre-headless'],
    ['python3-minimal', 'python3'],
    ['git'],
  ]) {
    test(`the closure of ${names.join(' and ')} is the one apt would install`, async (context) => {
      const simulated = await simulate(names)
      if (simulated === null) {
        context.skip('apt-get cannot simulate an installation here')
        return
      }
      const ours = (await opened().resolve(names)).map(({ name }) => name)
      assert.deepEqual([...ours].sort(), simulated)
    })
  }

  test('a cache of today opens and resolves without the network', async (context) => {
    const offline = (): Promise<Response> => Promise.reject(new Error('no network in this test'))
    const from = performance.now()
    const warm = await DebianArchive.open({ cacheDir, fetch: offline })
    await warm.ensureFresh(86_400_000)
    const packages = await warm.resolve(['libstdc++6'])
    context.diagnostic(`cold refresh ${took(refreshMs)}`)
    context.diagnostic(`warm open and resolve ${took(performance.now() - from)}`)
    warm.close()
    assert.ok(packages.length >= 3)
  })

  test('a program runs in a root made of its closure alone', async (context) => {
    if (process.getuid?.() !== 0) {
      context.skip('needs root for chroot')
      return
    }
    const packages = await opened().resolve(['libstdc++6', 'base-files', 'ca-certificates'], {
      exclude: ['awk', 'debconf', 'openssl'],
    })
    await opened().fetchPackages(packages)
    const provide = (await Promise.all(packages.map((pkg) => opened().files(pkg)))).flat()
    const program = { path: '/usr/local/bin/node', file: process.execPath }
    const closure = await elfClosure({ roots: [program], provide })
    const own = [...baseFiles(), ...osRelease(provide), await caBundle(provide)]
    const root = join(folder, 'root')
    await layOut(root, mergeUsr([...closure, ...own]))
    await mkdir(join(root, 'usr/local/bin'), { recursive: true })
    await copyFile(program.file, join(root, program.path))
    const script =
      'const fs = require("fs"); console.log(process.arch, fs.readdirSync("/").length > 3,' +
      'fs.readFileSync("/etc/os-release", "utf8").includes("ID="),' +
      'fs.readFileSync("/etc/ssl/certs/ca-certificates.crt", "utf8").split("BEGIN").length > 50)'
    const result = await runToEnd('chroot', [root, program.path, '-e', script])
    assert.equal(result.stdout, `${process.arch} true true true\n`, result.stderr)
    const metadata = await Promise.all(packages.map((pkg) => opened().metadata(pkg)))
    for (const { status, md5sums } of metadata) {
      assert.match(status, /^Package: \S+\nStatus: install ok installed\n[^]*^Version: /m)
      assert.match(md5sums, /^[0-9a-f]{32} {2}\S/)
    }
  })
})

/** Sorted names of what apt would install on a system without any package; null where apt has no lists or does not exist. */
async function simulate(names: readonly string[]): Promise<string[] | null> {
  const empty = ['-o', 'Dir::State::status=/dev/null', '--no-install-recommends']
  try {
    const result = await runToEnd('apt-get', ['-s', '-q', ...empty, 'install', ...names])
    if (result.code !== 0) return null
    return [...result.stdout.matchAll(/^Inst (\S+)/gm)].map((match) => match[1] ?? '').sort()
  } catch (error) {
    if (error instanceof ProgramError) return null
    throw error
  }
}

async function layOut(root: string, files: readonly DebFile[]): Promise<void> {
  for (const file of files) {
    const path = join(root, file.path)
    await mkdir(dirname(path), { recursive: true })
    if (file.type === 'folder') await mkdir(path, { recursive: true })
    else if (file.type === 'symlink') await symlink(file.target, path)
    else if (file.type === 'file' && 'bytes' in file.content) {
      await writeFile(path, file.content.bytes, { mode: file.mode })
    } else if (file.type === 'file' && 'file' in file.content) {
      await copyFile(file.content.file, path)
      await chmod(path, file.mode)
    }
  }
}
