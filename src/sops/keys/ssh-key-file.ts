import { createPrivateKey, type KeyObject } from 'node:crypto'
import { SopsError } from '../sops-error.ts'
import { lockedPkcs8, lockedRsaPem } from './encrypted-pem.ts'
import { openSshKey } from './openssh-key.ts'
import { otherType, rsaPrivateKey, type LockedSshKey, type SshPrivateKey } from './ssh-key.ts'
import { malformed } from './ssh-wire.ts'

/** The longest RSA key that OpenSSH makes takes a fifth of it. */
const MAX_FILE = 1 << 16
const BLOCK = /-----BEGIN ([A-Z]+ )?PRIVATE KEY-----\s([\s\S]+?)-----END \1PRIVATE KEY-----/

/**
 * A private key file of OpenSSH: its own format, or an RSA key as PEM.
 * @throws SopsError INVALID_KEY, UNSUPPORTED for another type of key or another way to encrypt it; neither shows the key
 */
export function readSshKey(text: string): SshPrivateKey | LockedSshKey {
  if (text.length > MAX_FILE) throw malformed('the file is too long for a private key')
  const [block, label = '', body = ''] = BLOCK.exec(text) ?? []
  if (block === undefined) throw malformed('it is no private key of OpenSSH')
  switch (label) {
    case 'OPENSSH ':
      return openSshKey(Buffer.from(body, 'base64'))
    case 'ENCRYPTED ':
      return lockedPkcs8(Buffer.from(body, 'base64'))
    case 'RSA ':
      return body.includes('ENCRYPTED') ? lockedRsaPem(block, body) : rsaPrivateKey(readPem(block))
    case '':
      return rsaPrivateKey(readPem(block))
    default:
      throw otherType(`${label}PRIVATE KEY`)
  }
}

function readPem(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    throw new SopsError('INVALID_KEY', 'the private key cannot be read', cause)
  }
}
