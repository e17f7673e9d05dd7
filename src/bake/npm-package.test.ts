import assert from 'node:assert/strict'
import { test } from 'node:test'
import { npmComplaint } from './npm-package.ts'

test('of what npm prints, the reason is told', () => {
  const npm9 = `npm ERR! code SELF_SIGNED_CERT_IN_CHAIN
npm ERR! errno SELF_SIGNED_CERT_IN_CHAIN
npm ERR! request to https://registry.example/npm failed, reason: self-signed certificate in certificate chain

npm ERR! A complete log of this run can be found in:
npm ERR!     /home/ann/.npm/_logs/2026-11-29T01_26_09_007Z-debug-0.log`
  assert.equal(
    npmComplaint(npm9),
    'request to https://registry.example/npm failed, reason: self-signed certificate in certificate chain',
  )
  const npm11 = `npm error code E404
npm error 404 Not Found - GET https://registry.example/nothing - Not found
npm error A complete log of this run can be found in: /home/ann/.npm/_logs/2026-debug-0.log`
  assert.equal(
    npmComplaint(npm11),
    '404 Not Found - GET https://registry.example/nothing - Not found',
  )
  assert.equal(npmComplaint('Killed'), '')
})
