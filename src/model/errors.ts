/**
 * Every failure that Fairway reports on purpose. The code is stable: scripts may match on it. `status` is the HTTP status
 * that `api/` answers with, `exit` the exit code that `cli/` ends with; docs/errors.md lists the same codes.
 */
export const ERRORS = {
  INVALID_REQUEST: { status: 400, exit: 2, hint: 'Check the value against the command’s --help.' },
  INVALID_NAME: {
    status: 400,
    exit: 2,
    hint: 'Use 1 to 40 of a-z, 0-9 and -, starting with a letter.',
  },
  INVALID_APP_FILE: { status: 422, exit: 2, hint: 'docs/app-file.md describes every key.' },
  UNSUPPORTED_KEY: {
    status: 422,
    exit: 2,
    hint: 'Remove the key, or deploy to an engine that honours it.',
  },
  UNRECOGNISED_SOURCE: {
    status: 422,
    exit: 2,
    hint: 'Add a fairway.yaml with a `build` key, or a start command.',
  },
  INVALID_SOURCE: { status: 422, exit: 2, hint: 'Fix the named path and deploy again.' },
  SOURCE_INCOMPLETE: {
    status: 409,
    exit: 1,
    hint: 'Send the missing files first; the CLI does so by itself.',
  },
  INVALID_IMAGE: {
    status: 422,
    exit: 2,
    hint: 'The image does not follow the OCI image specification.',
  },
  DIGEST_MISMATCH: {
    status: 422,
    exit: 1,
    hint: 'The bytes do not have the promised digest; send them again.',
  },
  TOO_LARGE: {
    status: 413,
    exit: 2,
    hint: 'Make it smaller or raise the limit in the server’s configuration.',
  },
  UNAUTHENTICATED: { status: 401, exit: 3, hint: 'Log in with `fairway login URL --token TOKEN`.' },
  FORBIDDEN: { status: 403, exit: 3, hint: 'Ask for a token that allows this.' },
  CLAIM_USED: { status: 410, exit: 3, hint: 'Ask whoever claimed this server for a token.' },
  LOGIN_REFUSED: { status: 403, exit: 3, hint: 'Begin again with `fairway login`.' },
  LOGIN_UNAVAILABLE: {
    status: 503,
    exit: 8,
    hint: 'Use a token, or try again once the identity provider answers; docs/access.md.',
  },
  NOT_FOUND: { status: 404, exit: 4, hint: '`fairway ps` lists what there is.' },
  CONFLICT: { status: 409, exit: 5, hint: 'Look at the current state and try again.' },
  APPROVAL_EXPIRED: { status: 409, exit: 5, hint: 'Ask again: deploy once more.' },
  APPROVAL_REFUSED: { status: 409, exit: 5, hint: 'Ask whoever refused it why.' },
  SUPERSEDED: { status: 409, exit: 5, hint: 'A newer deploy of this app took over.' },
  BAKE_FAILED: { status: 422, exit: 6, hint: 'The output above is what the build printed.' },
  INSTALL_FAILED: {
    status: 422,
    exit: 6,
    hint: 'The output above is what the package manager printed.',
  },
  PACKAGE_UNAVAILABLE: { status: 502, exit: 6, hint: 'Check the package source and the network.' },
  SIGNATURE_INVALID: {
    status: 502,
    exit: 6,
    hint: 'The package source is not signed by a trusted key; do not use it.',
  },
  RELEASE_COMMAND_FAILED: {
    status: 422,
    exit: 7,
    hint: 'The old release keeps serving. Fix the release command.',
  },
  ROLLOUT_FAILED: {
    status: 422,
    exit: 7,
    hint: 'The old release keeps serving. The diagnosis above says why.',
  },
  INSTANCE_FAILED: { status: 422, exit: 7, hint: '`fairway logs` shows what it printed.' },
  COMMAND_FAILED: { status: 422, exit: 1, hint: 'The command’s own exit code and output say why.' },
  NOT_RUNNING: { status: 409, exit: 5, hint: '`fairway ps` shows the state of every instance.' },
  LIMIT_EXCEEDED: { status: 429, exit: 5, hint: 'Wait for what is running, or raise the limit.' },
  RUNNER_UNAVAILABLE: { status: 503, exit: 8, hint: '`fairway doctor` says what is missing.' },
  CLUSTER_UNREACHABLE: {
    status: 503,
    exit: 8,
    hint: '`fairway doctor --target NAME` tries it again and says what it sees.',
  },
  CLUSTER_UNAUTHORIZED: {
    status: 502,
    exit: 8,
    hint: 'Give the target a new kubeconfig with `fairway target add`.',
  },
  CLUSTER_FORBIDDEN: {
    status: 502,
    exit: 8,
    hint: '`fairway doctor --target NAME` lists every right that is missing.',
  },
  CLUSTER_CONFLICT: {
    status: 409,
    exit: 5,
    hint: 'Take the object over with `fairway adopt`, or leave it to the other manager.',
  },
  CLUSTER_REJECTED: {
    status: 422,
    exit: 7,
    hint: 'The cluster’s own rules refuse this; its answer says which.',
  },
  ROUTER_UNAVAILABLE: { status: 503, exit: 8, hint: 'Start it with `fairway up`.' },
  SERVER_UNREACHABLE: {
    status: 503,
    exit: 8,
    hint: 'Start it with `fairway up`, or check --server.',
  },
  STORE_UNAVAILABLE: {
    status: 503,
    exit: 8,
    hint: 'Apps go on serving. Look at the server’s database, then try again.',
  },
  AUDIT_UNAVAILABLE: {
    status: 503,
    exit: 8,
    hint: 'Nothing was done: this needs a record first. Look at the server’s disk and database.',
  },
  AUDIT_TAMPERED: {
    status: 409,
    exit: 6,
    hint: 'docs/audit.md says what each finding means and what to keep before anything else.',
  },
  REGISTRY_FAILED: {
    status: 502,
    exit: 6,
    hint: 'Check the reference, the network and the credentials.',
  },
  DISK_FULL: { status: 507, exit: 8, hint: 'Free space, or run `fairway gc`.' },
  SECRETS_INVALID: {
    status: 422,
    exit: 2,
    hint: 'docs/secrets.md says what such files and .sops.yaml may hold.',
  },
  SECRETS_CLOSED: {
    status: 403,
    exit: 3,
    hint: 'Give your key in SOPS_AGE_KEY_FILE, or ask a recipient to add you.',
  },
  SECRETS_TAMPERED: {
    status: 422,
    exit: 6,
    hint: 'Do not use it: take the last version from git that opens.',
  },
  VAULT_UNAVAILABLE: {
    status: 503,
    exit: 8,
    hint: 'Instances that run keep their values. Look at Vault and at FAIRWAY_VAULT_* of the server; docs/secrets.md.',
  },
  TIMEOUT: { status: 504, exit: 9, hint: 'It took longer than its limit.' },
  INTERNAL: {
    status: 500,
    exit: 70,
    hint: 'This is a bug in Fairway; the server’s log has the details.',
  },
} as const satisfies Record<string, ErrorKind>

export interface ErrorKind {
  readonly status: number
  readonly exit: number
  readonly hint: string
}

export type ErrorCode = keyof typeof ERRORS

export interface ErrorOptions {
  readonly cause?: unknown
  /** Replaces the table's hint where a better one is known. */
  readonly hint?: string
  /** Machine-readable facts: positions, names, numbers. Never a secret. */
  readonly details?: Readonly<Record<string, unknown>>
}

/** The only error class that domain code throws on purpose. */
export class FairwayError extends Error {
  override readonly name = 'FairwayError'
  readonly code: ErrorCode
  readonly hint: string
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.code = code
    this.hint = options.hint ?? ERRORS[code].hint
    this.details = options.details ?? {}
  }

  get status(): number {
    return ERRORS[this.code].status
  }

  get exit(): number {
    return ERRORS[this.code].exit
  }
}
