/** Needs PyPI and a JDK beside npm and Debian. */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { openBoxedKitchen, type BoxedKitchen } from '../../test/boxed-kitchen.ts'
import { containerProblem } from '../../test/container-harness.ts'
import { FolderSource } from '../../test/fakes/folder-source.ts'
import type { TestKitchen } from '../../test/fakes/test-kitchen.ts'
import { run, runToEnd } from '../lib/process.ts'
import type { BakeResult, BuildPlan } from '../model/build-plan.ts'

const problem = await containerProblem()
const hasJdk = (await runToEnd('javac', ['-version']).catch(() => null))?.code === 0
const boxed = { timeout: 300_000, ...(problem === null ? {} : { skip: problem }) }
const root = mkdtempSync(join(tmpdir(), 'fairway-bake-all-'))
let boxedKitchen: BoxedKitchen | null = null
let kitchen: TestKitchen

before(async () => {
  if (problem !== null) return
  boxedKitchen = await openBoxedKitchen()
  kitchen = boxedKitchen.kitchen
})

after(async () => {
  await boxedKitchen?.close()
  rmSync(root, { recursive: true, force: true })
})

/** Runs a program in the image's root file system, with /proc, which Java needs to find itself. */
async function inImage(
  result: BakeResult,
  env: Record<string, string>,
  argv: readonly string[],
): Promise<string> {
  const target = mkdtempSync(join(root, 'root-'))
  for (const tree of [...(await kitchen.images.lowerDirs(result.image.digest))].reverse()) {
    cpSync(tree, target, { recursive: true, verbatimSymlinks: true, force: true })
  }
  mkdirSync(join(target, 'proc'), { recursive: true })
  return run(
    'unshare',
    ['--mount', '--pid', '--fork', `--root=${target}`, '--wd=/app', '--mount-proc', ...argv],
    { env },
  )
}

test('a Python app with packages of PyPI', boxed, async () => {
  const source = join(root, 'python')
  mkdirSync(source)
  writeFileSync(join(source, 'requirements.txt'), 'flask==3.0.3\n-r more.txt\n')
  writeFileSync(join(source, 'more.txt'), 'markupsafe==2.1.5\n')
  writeFileSync(
    join(source, 'app.py'),
    'import ssl, sqlite3, ctypes, flask, markupsafe._speedups\nprint(flask.__name__, len(ssl.create_default_context().get_ca_certs()) > 50)\n',
  )
  const plan: BuildPlan = {
    kind: 'python',
    requirements: ['requirements.txt'],
    command: ['app.py'],
  }
  const first = await kitchen.bake(plan, new FolderSource(source))
  assert.match(first.summary, /^3 layers, 3 new/)
  assert.deepEqual(first.image.command, ['python3', 'app.py'])
  assert.equal(
    await inImage(first, { ...first.image.env }, ['/usr/bin/python3', 'app.py']),
    'flask True\n',
  )
  writeFileSync(join(source, 'app.py'), 'print(1)\n')
  assert.match((await kitchen.bake(plan, new FolderSource(source))).summary, /^3 layers, 1 new/)
  writeFileSync(join(source, 'more.txt'), 'markupsafe==2.1.4\n')
  assert.match((await kitchen.bake(plan, new FolderSource(source))).summary, /^3 layers, 2 new/)
})

test(
  'a jar gets a Java runtime of the modules it needs',
  hasJdk ? boxed : { skip: 'needs a JDK (javac, jar)' },
  async () => {
    const source = join(root, 'java')
    mkdirSync(join(source, 'app'), { recursive: true })
    const code =
      'public class Hello { public static void main(String[] a) throws Exception { var t = javax.net.ssl.TrustManagerFactory.getInstance("PKIX"); t.init((java.security.KeyStore) null); System.out.println("hello from " + Runtime.version().feature() + " " + (((javax.net.ssl.X509TrustManager) t.getTrustManagers()[0]).getAcceptedIssuers().length > 50)); } }'
    writeFileSync(join(source, 'Hello.java'), code)
    writeFileSync(join(source, 'manifest'), 'Main-Class: Hello\n')
    await run('javac', ['--release', '17', '-d', join(source, 'out'), join(source, 'Hello.java')])
    await run('jar', [
      'cfm',
      join(source, 'app/hello.jar'),
      join(source, 'manifest'),
      '-C',
      join(source, 'out'),
      '.',
    ])
    const plan: BuildPlan = {
      kind: 'jar',
      jar: 'hello.jar',
      wars: [],
      version: null,
      command: ['java', '-jar', 'hello.jar'],
    }
    const result = await kitchen.bake(plan, new FolderSource(join(source, 'app')))
    assert.deepEqual(result.image.command, ['java', '-XX:MaxRAMPercentage=75', '-jar', 'hello.jar'])
    assert(result.image.sizeBytes < 40_000_000, String(result.image.sizeBytes))
    assert.equal(
      await inImage(result, {}, ['/usr/bin/java', '-jar', '/app/hello.jar']),
      'hello from 17 true\n',
    )
    const again = kitchen.bake({ ...plan, version: 99 }, new FolderSource(join(source, 'app')))
    await assert.rejects(again, /needs Java 99, and Debian 12 has Java 17/)
  },
)
