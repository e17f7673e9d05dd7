import type { Recognition } from '../model/build-plan.ts'
import type { Clues, Detector } from './recognise.ts'
import type { SourceView } from './source-view.ts'
import { readZip, readZipEntry, type ReadRange, type ZipEntry } from './zip.ts'

const FOLDERS = ['', 'target/', 'build/libs/']
const JETTY_RUNNER = 'org.eclipse.jetty.runner.Runner'

export const recogniseJar: Detector = {
  kind: 'jar',
  looksFor:
    'an executable .jar (Main-Class) here, in target/ or build/libs/; a .war beside jetty-runner.jar',
  async detect({ view, command }) {
    for (const folder of FOLDERS) {
      const jars = await executableJars(view, folder)
      if (jars.length === 0) continue
      return recognised(view, command, chooseJar(jars, command), jars)
    }
    return null
  },
}

interface Jar {
  readonly path: string
  readonly mainClass: string
  readonly springBoot: boolean
  /** Java version that the main class was compiled for, null where unknown. */
  readonly classVersion: number | null
}

async function executableJars(view: SourceView, folder: string): Promise<readonly Jar[]> {
  const paths = view
    .paths()
    .filter((path) => path.startsWith(folder) && !path.slice(folder.length).includes('/'))
    .filter((path) => path.endsWith('.jar') && !/-(?:sources|javadoc|tests|plain)\.jar$/.test(path))
  const jars: Jar[] = []
  for (const path of paths) {
    const jar = await readJar(view, path)
    if (jar !== null) jars.push(jar)
  }
  return jars
}

async function readJar(view: SourceView, path: string): Promise<Jar | null> {
  const read: ReadRange = (offset, length) => view.readBytes(path, offset, length)
  const entries = await readZip(view.size(path) ?? 0, read)
  const entry = entries?.get('META-INF/MANIFEST.MF')
  if (!entries || entry === undefined) return null
  const manifest = parseManifest((await readZipEntry(entry, read))?.toString('utf8') ?? '')
  const mainClass = manifest.get('main-class')
  if (mainClass === undefined) return null
  const springBoot = manifest.has('spring-boot-version') || manifest.has('start-class')
  return { path, mainClass, springBoot, classVersion: await classVersion(mainClass, entries, read) }
}

/** Attributes of the main section by lower-case name; lines that start with a space continue the one before (JAR specification). */
export function parseManifest(text: string): ReadonlyMap<string, string> {
  const section = text.replaceAll('\r\n', '\n').replaceAll('\r', '\n').replaceAll('\n ', '')
  const attributes = new Map<string, string>()
  for (const line of section.split('\n')) {
    if (line === '') break
    const colon = line.indexOf(':')
    if (colon > 0) attributes.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
  }
  return attributes
}

/** JVM specification 4.1: magic, minor, major; major 52 is Java 8. */
async function classVersion(
  mainClass: string,
  entries: ReadonlyMap<string, ZipEntry>,
  read: ReadRange,
): Promise<number | null> {
  const entry = entries.get(`${mainClass.replaceAll('.', '/')}.class`)
  const bytes = entry === undefined ? null : await readZipEntry(entry, read)
  if (bytes === null || bytes.length < 8 || bytes.readUInt32BE(0) !== 0xcafebabe) return null
  return bytes.readUInt16BE(6) - 44
}

function chooseJar(jars: readonly Jar[], command: Clues['command']): Jar {
  const named = jars.find(({ path }) => command?.includes(path))
  const runner = jars.find(({ mainClass }) => mainClass === JETTY_RUNNER)
  const [first] = jars
  if (first === undefined) throw new Error('there is at least one jar here')
  return named ?? runner ?? first
}

async function recognised(
  view: SourceView,
  command: Clues['command'],
  jar: Jar,
  jars: readonly Jar[],
): Promise<Recognition> {
  const wars =
    jar.mainClass === JETTY_RUNNER
      ? view.paths().filter((path) => path.endsWith('.war') && !path.includes('/'))
      : []
  const others = jars.filter((each) => each !== jar && !command?.includes(jar.path))
  const what = jar.springBoot ? 'Spring Boot jar' : 'executable jar'
  const compiled = jar.classVersion === null ? '' : `, compiled for Java ${jar.classVersion}`
  return {
    plan: {
      kind: 'jar',
      jar: jar.path,
      wars,
      version: (await wantedJava(view)) ?? newerThanDebian(jar.classVersion),
      command: command ?? javaCommand(jar, wars),
    },
    evidence: `${what} ${jar.path} (Main-Class: ${jar.mainClass}${compiled})`,
    ...(others.length === 0
      ? {}
      : {
          notes: [
            `more executable jars are here and not run: ${others.map(({ path }) => path).join(', ')}`,
          ],
        }),
  }
}

function javaCommand(jar: Jar, wars: readonly string[]): readonly string[] {
  if (jar.mainClass === JETTY_RUNNER)
    return ['java', '-jar', jar.path, '--port', '$PORT', ...jettyArguments(wars)]
  // Spring resolves the placeholder itself, so the port can be set without a shell.
  if (jar.springBoot) return ['java', '-Dserver.port=${PORT}', '-jar', jar.path]
  return ['java', '-jar', jar.path]
}

/** One war serves '/', several serve '/<name>'. */
function jettyArguments(wars: readonly string[]): readonly string[] {
  if (wars.length === 1) return wars
  return wars.flatMap((war) => ['--path', `/${war.replace(/\.war$/, '')}`, war])
}

/** `.java-version`, or `java.runtime.version` of Heroku's system.properties; null where nobody says. */
async function wantedJava(view: SourceView): Promise<number | null> {
  const plain = await view.readText('.java-version')
  const properties = await view.readText('system.properties')
  const text = plain ?? /^\s*java\.runtime\.version\s*=\s*(\S+)/m.exec(properties ?? '')?.[1]
  const match = /^\D*(?:1\.)?(\d{1,2})(?:\D|$)/.exec(text?.trim() ?? '')
  return match === null ? null : Number(match[1])
}

/** Older classes run on every later Java, so only a version above the long-term one of the platform's base is asked for. */
function newerThanDebian(version: number | null): number | null {
  return version !== null && version > 17 ? version : null
}
