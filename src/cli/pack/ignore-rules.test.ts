import assert from 'node:assert/strict'
import fc from 'fast-check'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { ProgramError, run, runToEnd } from '../../lib/process.ts'
import { dockerIgnoreRules, gitIgnoreRules, type IgnoreRules } from './ignore-rules.ts'

const folder = mkdtempSync(join(tmpdir(), 'fairway-ignore-'))
after(() => {
  rmSync(folder, { recursive: true, force: true })
})

const git = await run('git', ['init', '-q', folder]).then(
  () => null,
  (error: unknown) => {
    if (error instanceof ProgramError && error.result === null) return 'needs git'
    throw error
  },
)

/** As the walk asks: parents first, nothing below an ignored folder. Paths are of files. */
function leftOut(rules: IgnoreRules, path: string): boolean {
  const parts = path.split('/')
  for (let depth = 1; depth < parts.length && rules.prunes; depth++) {
    if (rules.ignores(parts.slice(0, depth).join('/'), true)) return true
  }
  return rules.ignores(path, false)
}

async function ignoredByGit(text: string, paths: readonly string[]): Promise<Set<string>> {
  writeFileSync(join(folder, '.gitignore'), text)
  const result = await runToEnd(
    'git',
    ['-C', folder, '-c', 'core.excludesFile=', 'check-ignore', '-z', '--no-index', '--stdin'],
    { input: paths.map((path) => `${path}\0`).join('') },
  )
  assert.ok(result.code === 0 || result.code === 1, result.stderr)
  return new Set(result.stdout.split('\0').filter((path) => path !== ''))
}

/** Names that patterns like to trip over, up to three levels. ASCII only: git compares bytes, so that its ? is half an ä. */
const NAMES = ['a', 'b', 'ab', 'a.b', '.a', 'A', '-', ']', '#a', '!b', 'a b', 'a\\b', 'x*y']
const PATHS = NAMES.flatMap((one) => [
  one,
  ...NAMES.slice(0, 6).flatMap((two) => [`d${one}/${two}`, `d${one}/e/${two}`]),
])

const piece = fc.constantFrom(
  ...['a', 'b', 'ab', '.a', 'd', 'da', 'e', 'A', 'x', 'y', ' ', '\\ ', '\\', '#', '!'],
  ...['*', '**', '?', '/', '/**/', '**/', '/**', '[ab]', '[!a]', '[^b]', '[a-z]', '[[:upper:]]'],
  ...['[]a]', '[!]a]', '[a', '[]', '[z-a]', '[a-]', '[\\]]', '[[:nope:]]', '\\*', '\\a', '.', '-'],
)
const pattern = fc
  .tuple(
    fc.constantFrom('', '', '', '!', '\\!', '\\#', '/'),
    fc.array(piece, { minLength: 1, maxLength: 5 }),
    fc.constantFrom('', '', '/', ' ', '\\ ', '\r'),
  )
  .map(([before, pieces, behind]) => before + pieces.join('') + behind)
  // gitignore(5): `**` beside anything but a slash is a regular asterisk. Git itself takes `x**/` for `x` and `**/` all the same.
  .filter((text) => !/[^/]\*\*\/|\*\*[^/]*\*/.test(text.replace(/^!/, '')))

test('.gitignore patterns match what git matches', { skip: git ?? false }, async () => {
  for (const path of PATHS) {
    mkdirSync(join(folder, path, '..'), { recursive: true })
    writeFileSync(join(folder, path), '')
  }
  await fc.assert(
    fc.asyncProperty(fc.array(pattern, { minLength: 1, maxLength: 4 }), async (patterns) => {
      const text = `${patterns.join('\n')}\n`
      const rules = gitIgnoreRules(text)
      const ours = PATHS.filter((path) => leftOut(rules, path))
      const theirs = await ignoredByGit(text, PATHS)
      assert.deepEqual(
        ours,
        PATHS.filter((path) => theirs.has(path)),
      )
    }),
    { numRuns: 300 },
  )
})

for (const [text, ignored, kept] of [
  ['node_modules', ['node_modules/a', 'x/node_modules/a'], ['node_modules.txt']],
  ['/dist', ['dist/a'], ['x/dist/a']],
  ['*.log\n!keep.log', ['a.log', 'x/b.log'], ['keep.log', 'x/keep.log']],
  ['logs/\n!logs/keep', ['logs/keep'], ['logs.txt']],
  ['a/**/z', ['a/z', 'a/b/c/z'], ['z', 'b/a/z']],
  ['\ufeff# comment\n\n  x', ['  x'], ['x', 'comment']],
] as const) {
  test(`.gitignore ${JSON.stringify(text)}`, () => {
    const rules = gitIgnoreRules(text)
    for (const path of ignored) assert.equal(leftOut(rules, path), true, path)
    for (const path of kept) assert.equal(leftOut(rules, path), false, path)
  })
}

// Examples of the reference of `docker build`, section .dockerignore file.
for (const [text, ignored, kept] of [
  ['*/temp*', ['somedir/temporary.txt', 'somedir/temp'], ['temp', 'a/b/temp']],
  ['*/*/temp*', ['somedir/subdir/temporary.txt'], ['somedir/temp']],
  ['temp?', ['tempa', 'tempb/x'], ['temp', 'x/tempa']],
  ['**/*.go', ['a.go', 'x/y/a.go'], ['a.god']],
  ['*.md\n!README.md', ['a.md'], ['README.md', 'x/a.md']],
  ['*.md\n!README*.md\nREADME-secret.md', ['README-secret.md'], ['README.md', 'README-x.md']],
  ['*\n!target/*.jar', ['src/a', 'target/a.class'], ['target/app.jar']],
  ['/node_modules/', ['node_modules/a'], ['x/node_modules/a']],
  ['./a//b', ['a/b/c'], ['a/c']],
] as const) {
  test(`.dockerignore ${JSON.stringify(text)}`, () => {
    const rules = dockerIgnoreRules(text)
    for (const path of ignored) assert.equal(leftOut(rules, path), true, path)
    for (const path of kept) assert.equal(leftOut(rules, path), false, path)
  })
}
