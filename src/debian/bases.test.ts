import assert from 'node:assert/strict'
import { test } from 'node:test'
import { baseFiles, caBundle, osRelease } from './bases.ts'
import type { DebFile } from './deb-file.ts'
import { DebianError } from './debian-error.ts'

const file = (path: string, text = ''): DebFile => ({
  ...{ path, mode: 0o644, uid: 0, gid: 0, package: 'p', type: 'file' },
  content: { bytes: Buffer.from(text) },
})
const textOf = (found: DebFile | undefined): string => {
  assert.ok(found?.type === 'file' && 'bytes' in found.content)
  return Buffer.from(found.content.bytes).toString('utf8')
}

test('accounts, name lookup and folders, parents first', () => {
  const files = baseFiles()
  const find = (path: string) => files.find((one) => one.path === path)
  assert.match(textOf(find('/etc/passwd')), /^app:x:65532:65532:app:\/home\/app:\/sbin\/nologin$/m)
  assert.match(textOf(find('/etc/group')), /^root:x:0:\n/)
  assert.match(textOf(find('/etc/nsswitch.conf')), /^hosts: files dns$/m)
  assert.match(textOf(find('/etc/hosts')), /^127\.0\.0\.1 localhost$/m)
  assert.equal(find('/tmp')?.mode, 0o1777)
  assert.equal(find('/home/app')?.uid, 65532)
  const seen = new Set(['/'])
  for (const { path } of files) {
    assert.ok(seen.has(path.slice(0, path.lastIndexOf('/')) || '/'), path)
    seen.add(path)
  }
  const own = baseFiles({ user: { name: 'web', uid: 7, home: '/srv' } })
  assert.equal(own.find(({ path }) => path === '/srv')?.gid, 7)
})

test('one bundle of all certificates, the same for any order of the files', async () => {
  const pem = (name: string) => `-----BEGIN CERTIFICATE-----\n${name}\n-----END CERTIFICATE-----`
  const at = '/usr/share/ca-certificates/mozilla'
  const files = [
    file(`${at}/b.crt`, `${pem('b')}\n\n`),
    file(`${at}/a.crt`, pem('a')),
    file(`${at}/Ä.crt`, pem('c')),
    file(`${at}/readme.txt`, pem('no')),
    file(`${at}/empty.crt`, ''),
    file('/usr/share/doc/x.crt', pem('no')),
  ]
  const bundle = await caBundle(files)
  assert.equal(bundle.path, '/etc/ssl/certs/ca-certificates.crt')
  assert.equal(textOf(bundle), `${pem('a')}\n${pem('b')}\n${pem('c')}\n`)
  assert.deepEqual(await caBundle(files.toReversed()), bundle)
  await assert.rejects(caBundle([]), DebianError)
})

test('os-release comes from the files of base-files', () => {
  const files = [
    file('/usr/lib/os-release', 'ID=debian'),
    file('/etc/os-release'),
    file('/etc/issue'),
  ]
  assert.deepEqual(osRelease(files), files.slice(0, 2))
  assert.throws(() => osRelease([]), /base-files/)
})
