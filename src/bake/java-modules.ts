import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { readIfExists, writeAtomically } from '../lib/atomic-file.ts'
import { FairwayError } from '../model/errors.ts'
import { baseLayer } from './base-layer.ts'
import type { BakeJob } from './bake-job.ts'
import { withWorkFolder } from './build-step.ts'
import { hasNestedJars, jarNames } from './jar-file.ts'
import { JAVA_MAJOR, jdkTools } from './java-runtime.ts'
import { runToolStep } from './tool-step.ts'

/** Found by name or service at run time, so that no scan of classes sees that they are needed. */
const ALWAYS = [
  'java.base',
  'java.instrument',
  'java.logging',
  'java.management',
  'java.naming',
  'java.xml',
  'jdk.crypto.ec',
  'jdk.unsupported',
  'jdk.zipfs',
]

/** What servers use; for jars whose classes cannot be scanned. */
const BROAD = [
  ...ALWAYS,
  'java.compiler',
  'java.datatransfer',
  'java.desktop',
  'java.management.rmi',
  'java.net.http',
  'java.prefs',
  'java.rmi',
  'java.scripting',
  'java.security.jgss',
  'java.security.sasl',
  'java.sql',
  'java.sql.rowset',
  'java.transaction.xa',
  'java.xml.crypto',
  'jdk.charsets',
  'jdk.httpserver',
  'jdk.jfr',
  'jdk.management',
  'jdk.management.agent',
  'jdk.naming.dns',
  'jdk.net',
  'jdk.security.auth',
  'jdk.xml.dom',
]

/**
 * The modules of Java that a jar needs, sorted: as jdeps finds them, or a broad set where jars lie within jars. Remembered per jar.
 * @param digest of the jar's content
 */
export async function javaModules(
  job: BakeJob,
  jar: {
    readonly file: string
    readonly name: string
    readonly digest: string
    readonly wars: number
  },
): Promise<readonly string[]> {
  if (jar.wars > 0) return [...BROAD].sort()
  const record = join(job.kitchen.cacheDir, 'java-modules', jar.digest.replace(':', '-'))
  const known = await readIfExists(record)
  if (known !== null) return known.trim().split(',')
  const nested = hasNestedJars(await jarNames(jar.file, jar.name))
  const modules = nested ? BROAD : [...ALWAYS, ...(await scannedModules(job, jar.file))]
  const sorted = [...new Set(modules)].sort()
  await mkdir(join(job.kitchen.cacheDir, 'java-modules'), { recursive: true })
  await writeAtomically(record, sorted.join(','))
  return sorted
}

/** A jar that jdeps does not understand may still run: then the broad set. */
async function scannedModules(job: BakeJob, jar: string): Promise<readonly string[]> {
  const { tools, path } = await jdkTools(job)
  const base = await baseLayer(
    { ...job, step: () => undefined },
    {
      name: 'static',
      whole: [],
      libraries: [],
      roots: () => Promise.resolve([]),
    },
  )
  const said: string[] = []
  return withWorkFolder(job, async (folder) => {
    await mkdir(join(folder, 'app'), { recursive: true, mode: 0o755 })
    await copyFile(jar, join(folder, 'app', 'app.jar'))
    try {
      await runToolStep(
        { ...job, output: (text) => said.push(text) },
        {
          name: 'jdeps',
          failure: 'BAKE_FAILED',
          folder,
          tools,
          layers: [base],
          path,
          argv: [
            'jdeps',
            '-q',
            '--print-module-deps',
            '--ignore-missing-deps',
            '--multi-release',
            String(JAVA_MAJOR),
            'app.jar',
          ],
          network: false,
        },
      )
    } catch (error) {
      if (!(error instanceof FairwayError) || error.code !== 'BAKE_FAILED') throw error
      job.step('runtime: jdeps does not understand the jar, taking a broad set of Java modules')
      return BROAD
    }
    const line = said.join('').trim().split('\n').at(-1) ?? ''
    return /^[a-z][a-z0-9.]*(?:,[a-z][a-z0-9.]*)*$/.test(line) ? line.split(',') : BROAD
  })
}
