import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { TestIo, testPrograms } from '../../test/fakes/cli-io.ts'
import { cliPage } from './cli-page.ts'
import { COMMANDS, SYNONYMS } from './commands.ts'
import { main } from './main.ts'
import { textWidth } from './text-width.ts'

const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()))
const page = readFileSync(resolve(import.meta.dirname, '../../docs/cli.md'), 'utf8')

test('docs/cli.md is up to date: npm run docs', () => {
  assert.equal(page, cliPage(commands))
})

test('the table names every command as it names itself', () => {
  assert.deepEqual(
    Object.keys(COMMANDS),
    commands.map(({ name }) => name),
  )
  for (const [word, name] of Object.entries(SYNONYMS)) {
    assert.ok(name in COMMANDS, name)
    assert.ok(!(word in COMMANDS), `${word} is a command itself`)
  }
})

for (const command of commands) {
  test(`${command.name} --help has an example and is what docs/cli.md shows`, async () => {
    const io = new TestIo()
    assert.equal(await main([command.name, '--help'], io, testPrograms()), 0)
    assert.ok(command.examples.length > 0)
    assert.ok(command.examples.every((example) => example.includes(`fairway ${command.name}`)))
    const [before = '', after = ''] = io.out.split(/\n\nOptions of every command:\n[^]*?\n\n/)
    assert.ok(page.includes(`\`\`\`\n${before}\n\n${after.trimEnd()}\n\`\`\``), io.out)
    for (const line of before.split('\n')) assert.ok(textWidth(line) <= 80, line)
    const asked = new TestIo()
    assert.equal(await main(['help', command.name], asked, testPrograms()), 0)
    assert.equal(asked.out, io.out)
  })
}
