import { closeSync, openSync, readSync } from 'node:fs'
import { gitIgnoreRules, type IgnoreRules } from './ignore-rules.ts'

/** Lockfiles from which dependencies are installed again: `node_modules` beside or below one does not travel. */
export const NODE_LOCKFILES = [
  'package-lock.json',
  'npm-shrinkwrap.json',
  'yarn.lock',
  'pnpm-lock.yaml',
] as const

/** What no app needs; a `!` line in .fairwayignore brings any of it back. */
export const DEFAULT_PATTERNS = `
.DS_Store
Thumbs.db
*~
*.swp
__pycache__/
*.pyc
.pytest_cache/
.mypy_cache/
.ruff_cache/
.tox/
.nox/
.fairwayignore
.dockerignore
`

const VERSION_CONTROL = new Set(['.git', '.hg', '.svn', '.bzr', '.jj'])
const SECRET_FOLDERS = new Set(['.ssh', '.gnupg', '.aws', '.kube', '.azure', '.gcloud'])
const SECRET_FILES = new Set([
  '.netrc',
  '_netrc',
  '.git-credentials',
  '.pgpass',
  '.pypirc',
  '.my.cnf',
])
const ENV_EXAMPLE = /^\.env\.(?:.*\.)?(?:example|sample|template|dist|defaults)$/
const KEY_NAME = /^id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?$|\.(?:p12|pfx|ppk)$/
const MAYBE_KEY = /\.(?:pem|key|asc|gpg)$|^id_[a-z0-9_]+$/
const PRIVATE_KEY = /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----/
const SNIFFED = 64 * 1024

export const defaultRules: IgnoreRules = gitIgnoreRules(DEFAULT_PATTERNS)

/** Version control and folders of credentials: never sent, whatever the ignore file says. */
export function neverEntered(name: string): 'version control' | 'secret' | null {
  if (VERSION_CONTROL.has(name)) return 'version control'
  return SECRET_FOLDERS.has(name) ? 'secret' : null
}

/**
 * Whether a file holds secrets that must not reach an image: `.env` files, private keys, stored credentials. Only files whose name
 * makes it likely are opened. `file` is its absolute path.
 */
export function isSecretFile(name: string, file: string): boolean {
  if (name === '.env' || (name.startsWith('.env.') && !ENV_EXAMPLE.test(name))) return true
  if (SECRET_FILES.has(name) || KEY_NAME.test(name)) return true
  if (MAYBE_KEY.test(name)) return PRIVATE_KEY.test(beginning(file))
  // A token written out, as opposed to one taken from the environment (${NPM_TOKEN}).
  if (name === '.npmrc') return /(?:_authToken|_password|_auth)\s*=\s*[^\s$]/.test(beginning(file))
  return false
}

function beginning(file: string): string {
  const handle = openSync(file, 'r')
  try {
    const buffer = Buffer.alloc(SNIFFED)
    return buffer.toString('latin1', 0, readSync(handle, buffer))
  } finally {
    closeSync(handle)
  }
}
