import { createReadStream } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { run as runProgram, runToEnd } from '../src/lib/process.ts'
import type { BuildPlan } from '../src/model/build-plan.ts'
import { FolderSource } from '../test/fakes/folder-source.ts'
import { TestKitchen } from '../test/fakes/test-kitchen.ts'
import { row, type Bench, type BenchOptions, type BenchResult, type BenchRow } from './result.ts'

const MB = 1e6

/** One hello world: how it is made, and the file whose compressed size is the least an image can have. */
interface Sample {
  readonly metric: string
  readonly plan: BuildPlan
  readonly files: Readonly<Record<string, string>>
  /** Turns the files into what is deployed; null where a toolchain is missing. */
  make(folder: string): Promise<string | null>
  /** In the image; what is compared with. */
  readonly kernel: { readonly path: string; readonly name: string } | null
}

const SAMPLES: readonly Sample[] = [
  {
    metric: 'Node hello world',
    plan: { kind: 'node', version: null, lockfile: null, command: ['node', 'server.js'] },
    files: {
      'server.js':
        "require('node:http').createServer((q, s) => s.end('hello\\n')).listen(process.env.PORT)\n",
    },
    make: (folder) => Promise.resolve(folder),
    kernel: { path: 'usr/local/bin/node', name: 'gzip -6 of the node binary alone' },
  },
  {
    metric: 'Java hello world',
    plan: {
      kind: 'jar',
      jar: 'hello.jar',
      wars: [],
      version: null,
      command: ['java', '-jar', 'hello.jar'],
    },
    files: {
      'Hello.java':
        'import com.sun.net.httpserver.*; public class Hello { public static void main(String[] a) throws Exception { var s = HttpServer.create(new java.net.InetSocketAddress(Integer.parseInt(System.getenv("PORT"))), 0); s.createContext("/", x -> { x.sendResponseHeaders(200, 6); x.getResponseBody().write("hello\\n".getBytes()); x.close(); }); s.start(); } }',
      manifest: 'Main-Class: Hello\n',
    },
    make: makeJar,
    kernel: null,
  },
  {
    metric: 'Go hello world',
    plan: { kind: 'binary', binary: 'hello', command: ['./hello'] },
    files: {
      'go.mod': 'module hello\n\ngo 1.19\n',
      'main.go':
        'package main\n\nimport (\n\t"io"\n\t"net/http"\n\t"os"\n)\n\nfunc main() {\n\thttp.ListenAndServe(":"+os.Getenv("PORT"), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello\\n") }))\n}\n',
    },
    make: makeGo,
    kernel: { path: 'app/hello', name: 'gzip -6 of the binary alone' },
  },
]

async function run(options: BenchOptions): Promise<BenchResult> {
  const root = await mkdtemp(join(tmpdir(), 'fairway-bench-size-'))
  const kitchen = await TestKitchen.open()
  const notes = [
    'compressed size of all layers, config and manifest; Debian base with certificates, time zones and package metadata',
  ]
  const results: BenchRow[] = []
  try {
    for (const sample of SAMPLES) {
      const folder = join(root, sample.plan.kind)
      await mkdir(folder)
      for (const [name, text] of Object.entries(sample.files))
        await writeFile(join(folder, name), text)
      const made = await sample.make(folder)
      if (made === null) {
        notes.push(`${sample.metric}: skipped, its toolchain is not installed`)
        continue
      }
      const { image } = await kitchen.bake(sample.plan, new FolderSource(made))
      options.say(`${sample.metric}: ${(image.sizeBytes / MB).toFixed(1)} MB`)
      if (sample.kernel === null) results.push(row(sample.metric, 'MB', image.sizeBytes / MB))
      else {
        const alone = await kernelSize(kitchen, image.digest, sample.kernel.path)
        results.push(
          row(sample.metric, 'MB', image.sizeBytes / MB, {
            theirs: alone / MB,
            against: sample.kernel.name,
          }),
        )
        notes.push(
          `${sample.metric}: ${((image.sizeBytes - alone) / MB).toFixed(2)} MB more than ${sample.kernel.name}`,
        )
      }
    }
    return { name: 'image-size', results, notes }
  } finally {
    await kitchen.close()
    await rm(root, { recursive: true, force: true })
  }
}

async function kernelSize(
  kitchen: TestKitchen,
  digest: `sha256:${string}`,
  path: string,
): Promise<number> {
  for (const tree of await kitchen.images.lowerDirs(digest)) {
    const gzip = createGzip({ level: 6 })
    let bytes = 0
    gzip.on('data', (chunk: Buffer) => (bytes += chunk.length))
    const done = await pipeline(createReadStream(join(tree, path)), gzip).then(
      () => true,
      () => false,
    )
    if (done) return bytes
  }
  throw new Error(`${path} is not in the image`)
}

async function makeJar(folder: string): Promise<string | null> {
  const javac = await runToEnd('javac', [
    '--release',
    '17',
    '-d',
    join(folder, 'classes'),
    join(folder, 'Hello.java'),
  ]).catch(() => null)
  if (javac === null) return null
  await mkdir(join(folder, 'app'))
  await runProgram('jar', [
    'cfm',
    join(folder, 'app/hello.jar'),
    join(folder, 'manifest'),
    '-C',
    join(folder, 'classes'),
    '.',
  ])
  return join(folder, 'app')
}

async function makeGo(folder: string): Promise<string | null> {
  const { PATH = '', HOME = '' } = process.env
  const env = { PATH, HOME, CGO_ENABLED: '0', GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local' }
  const args = ['build', '-trimpath', '-ldflags=-s -w', '-o', 'app/hello', '.']
  const go = await runToEnd('go', args, { cwd: folder, env }).catch(() => null)
  if (go === null) return null
  if (go.code !== 0) throw new Error(`go build: ${go.stderr}`)
  return join(folder, 'app')
}

export const bench: Bench = {
  name: 'image-size',
  summary: 'compressed size of hello world in Node, Java and Go',
  needs: 'npm, Debian packages; a JDK and Go for their rows',
  run,
}
