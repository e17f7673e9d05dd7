import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { hasNestedJars, jarNames } from './jar-file.ts'

const root = mkdtempSync(join(tmpdir(), 'fairway-jar-'))
after(() => rmSync(root, { recursive: true, force: true }))

/** A zip of empty, stored files (APPNOTE 4.3). */
function zip(names: readonly string[], comment = ''): Buffer {
  const locals: Buffer[] = []
  const central: Buffer[] = []
  let offset = 0
  for (const name of names) {
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50)
    local.writeUInt16LE(name.length, 26)
    const entry = Buffer.alloc(46)
    entry.writeUInt32LE(0x02014b50)
    entry.writeUInt16LE(name.length, 28)
    entry.writeUInt32LE(offset, 42)
    locals.push(local, Buffer.from(name))
    central.push(entry, Buffer.from(name))
    offset += 30 + name.length
  }
  const directory = Buffer.concat(central)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50)
  end.writeUInt16LE(names.length, 10)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(offset, 16)
  end.writeUInt16LE(comment.length, 20)
  return Buffer.concat([...locals, directory, end, Buffer.from(comment)])
}

function file(name: string, bytes: Uint8Array): string {
  const path = join(root, name)
  writeFileSync(path, bytes)
  return path
}

test('names are read from the end of a jar, past a comment and a script in front', async () => {
  const names = ['META-INF/MANIFEST.MF', 'BOOT-INF/lib/spring-core.jar']
  assert.deepEqual(await jarNames(file('a.jar', zip(names, 'a comment')), 'a.jar'), names)
  assert.equal(hasNestedJars(names), true)
  assert.equal(hasNestedJars(['Hello.class', 'jar/readme.txt']), false)
})

test('what is no jar is named', async () => {
  await assert.rejects(
    jarNames(file('b.jar', Buffer.from('no zip')), 'b.jar'),
    /b\.jar is not a jar/,
  )
  await assert.rejects(jarNames(file('c.jar', Buffer.alloc(0)), 'c.jar'), /c\.jar is not a jar/)
  const cut = zip(['x']).subarray(20)
  await assert.rejects(jarNames(file('d.jar', cut), 'd.jar'), /d\.jar is not a jar/)
})
