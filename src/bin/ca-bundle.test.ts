import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { rootCertificates } from 'node:tls'
import { minimalEnv, run } from '../lib/process.ts'
import { LocalAuthority } from '../router/local-authority.ts'

test('the bundle has public authorities beside that of NODE_EXTRA_CA_CERTS', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fairway-bundle-'))
  try {
    const company = await LocalAuthority.open(folder, () => Date.now())
    const module = JSON.stringify(join(import.meta.dirname, 'ca-bundle.ts'))
    // Node reads the variable at its start alone.
    const script = `console.log(await (await import(${module})).writeCaBundle(${JSON.stringify(folder)}))`
    const env = { ...minimalEnv(), NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') }
    const path = await run(process.execPath, ['--input-type=module', '-e', script], { env })
    const bundle = await readFile(path.trim(), 'utf8')
    assert.ok(bundle.includes(company.certificatePem.trim()))
    assert.equal(bundle.split('BEGIN CERTIFICATE').length - 1, rootCertificates.length + 1)
  } finally {
    await rm(folder, { recursive: true })
  }
})
