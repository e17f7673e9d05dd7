import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FairwayError } from '../model/errors.ts'
import { baseLayer } from './base-layer.ts'
import type { BakeJob, PlacedLayer } from './bake-job.ts'
import { withWorkFolder } from './build-step.ts'
import { folderTree } from './folder-tree.ts'
import { keyedLayer } from './keyed-layer.ts'
import { layerKey } from './layer-key.ts'
import { runToolStep } from './tool-step.ts'
import { toolTree } from './tool-tree.ts'
import { javaTrustStore } from './trust-store.ts'

/** Debian 12's Java. */
export const JAVA_MAJOR = 17

const JAVA_HOME = 'usr/lib/jvm/jre'
const JDK_BIN = `/usr/lib/jvm/java-${String(JAVA_MAJOR)}-openjdk-amd64/bin`

/**
 * A Java runtime of these modules, linked from Debian's JDK, on the Debian libraries that it loads; one per set of modules.
 * @throws FairwayError PACKAGE_UNAVAILABLE for a version that Debian does not have
 */
export async function javaRuntime(
  job: BakeJob,
  version: number | null,
  modules: readonly string[],
): Promise<readonly PlacedLayer[]> {
  if (version !== null && version > JAVA_MAJOR) {
    throw new FairwayError(
      'PACKAGE_UNAVAILABLE',
      `the jar needs Java ${String(version)}, and Debian 12 has Java ${String(JAVA_MAJOR)}`,
      {
        hint: `Compile it for Java ${String(JAVA_MAJOR)} (javac --release ${String(JAVA_MAJOR)}), or deploy an image that brings its own Java.`,
      },
    )
  }
  const below = await plainBase(job)
  const key = layerKey('java', {
    major: JAVA_MAJOR,
    modules,
    tools: below.layer.diffId,
    architecture: job.kitchen.architecture,
  })
  const runtime = await keyedLayer(job, key, 'small', (add) =>
    withWorkFolder(job, async (folder) => {
      await link(job, folder, below, modules)
      const root = join(folder, 'app', 'jre')
      const entries = await folderTree(root, {
        root: JAVA_HOME,
        handOver: true,
        choose: (path) => !UNWANTED.test(path),
      })
      const store = javaTrustStore(await trustedCertificates(job, below))
      return add([
        ...entries.filter(({ path }) => path !== TRUST_STORE),
        { type: 'file', path: TRUST_STORE, mode: 0o644, content: { bytes: store } },
        { type: 'symlink', path: 'usr/bin/java', target: '../lib/jvm/jre/bin/java' },
      ])
    }),
  )
  job.step(
    `runtime: Java ${String(JAVA_MAJOR)}, ${String(modules.length)} modules${runtime.created ? '' : ' (cached)'}`,
  )
  return [await javaBase(job, runtime, modules), runtime]
}

/** Base of steps that run the JDK, and the source of certificates. */
function plainBase(job: BakeJob): Promise<PlacedLayer> {
  return baseLayer(
    { ...job, step: () => undefined },
    {
      name: 'static',
      whole: [],
      libraries: [],
      roots: () => Promise.resolve([]),
    },
  )
}

const TRUST_STORE = `${JAVA_HOME}/lib/security/cacerts`
/** Parts for a screen and for sound, which servers do not have. */
const UNWANTED = /^lib\/(?:libawt_xawt|libjawt|libsplashscreen|libjsound)\.so$/

/** Folder with a JDK that a step mounts; the host's own where steps run there. */
export async function jdkTools(
  job: BakeJob,
): Promise<{ readonly tools: readonly string[]; readonly path: readonly string[] }> {
  if (job.kitchen.sandbox.flavour === 'host') return { tools: [], path: [] }
  const packages = [`openjdk-${String(JAVA_MAJOR)}-jdk-headless`, 'binutils']
  const tree = await toolTree(job, 'jdk', packages, [
    'ca-certificates-java',
    'java-common',
    'debconf',
    'dpkg',
    'perl',
    'base-files',
    'openssl',
    'ca-certificates',
  ])
  return { tools: [tree], path: [JDK_BIN.replace('amd64', job.kitchen.architecture)] }
}

async function link(
  job: BakeJob,
  folder: string,
  base: PlacedLayer,
  modules: readonly string[],
): Promise<void> {
  const { tools, path } = await jdkTools(job)
  await runToolStep(job, {
    name: 'jlink',
    failure: 'BAKE_FAILED',
    folder,
    tools,
    layers: [base],
    path,
    argv: [
      'jlink',
      '--add-modules',
      modules.join(','),
      '--strip-debug',
      '--compress=2',
      '--no-header-files',
      '--no-man-pages',
      '--output',
      'jre',
    ],
    network: false,
  })
}

async function trustedCertificates(job: BakeJob, base: PlacedLayer): Promise<string> {
  const [tree = ''] = await layerTrees(job, base)
  return readFile(join(tree, 'etc/ssl/certs/ca-certificates.crt'), 'utf8')
}

/** Debian's libraries for everything native in the runtime. */
function javaBase(
  job: BakeJob,
  runtime: PlacedLayer,
  modules: readonly string[],
): Promise<PlacedLayer> {
  return baseLayer(job, {
    name: `java${String(JAVA_MAJOR)}-${layerKey('modules', { modules }).slice(-12)}`,
    whole: [],
    libraries: [
      'libc6',
      'zlib1g',
      'libstdc++6',
      'libgcc-s1',
      'libfreetype6',
      'libjpeg62-turbo',
      'liblcms2-2',
      'libharfbuzz0b',
      'libasound2',
      'libpcsclite1',
      'libgif7',
      'libpng16-16',
    ],
    roots: async () => {
      const [tree = ''] = await layerTrees(job, runtime)
      const files = await folderTree(tree, {
        root: 'jre',
        boundary: 'jre',
        choose: (path) => !path.startsWith('usr/bin'),
      })
      return files.flatMap((entry) =>
        entry.type === 'file' && 'file' in entry.content && NATIVE.test(entry.path)
          ? [{ path: `/${entry.path.slice('jre/'.length)}`, file: entry.content.file }]
          : [],
      )
    },
  })
}

const NATIVE = /\.so$|\/bin\/[a-z]+$|\/jspawnhelper$/

async function layerTrees(job: BakeJob, layer: PlacedLayer): Promise<readonly string[]> {
  const { images, architecture } = job.kitchen
  const digest = await images.addImage({ layers: [layer.layer], config: { architecture } })
  return images.lowerDirs(digest)
}
