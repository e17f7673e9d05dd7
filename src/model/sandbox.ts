/** A build step in a box: no platform credentials, no root on the host, every resource limited. */
export interface SandboxRequest {
  /** Unpacked layers of the root filesystem, topmost first (overlayfs order); empty where the flavour is `host`. */
  readonly lowerDirs: readonly string[]
  /** Folder of the host that is writable inside at `workMount`; its content is what the step produces. */
  readonly workDir: string
  readonly workMount: string
  /** Shared caches (npm, pip): host folder -> mount point; writable, the caller holds a lock. */
  readonly caches: readonly { readonly dir: string; readonly mount: string }[]
  /** Files of the host's own configuration that the tool needs, read-only: CA bundle, pip.conf, npmrc without credentials. */
  readonly readOnly: readonly { readonly file: string; readonly mount: string }[]
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /** False = no network at all. */
  readonly network: boolean
  readonly limits: SandboxLimits
}

export interface SandboxLimits {
  readonly cpu: number
  readonly memory: number
  readonly pids: number
  /** Bytes that workDir and caches together may grow by. */
  readonly disk: number
  readonly timeoutMs: number
}

export interface SandboxResult {
  readonly code: number | null
  /** `exited` also for codes other than 0; the others say which limit ended it. */
  readonly reason: 'exited' | 'oom' | 'timeout' | 'disk' | 'aborted'
  readonly lastLines: readonly string[]
}

export interface Sandbox {
  readonly flavour: 'image' | 'host'
  /** Host uid that owns files which root inside creates; 0 = not mapped. */
  readonly ownerOffset: number
  /** Host uid that steps run as and that must own what they are to write; 0 = whoever owns it now. */
  readonly writer: number
  /** Runs to the end, leaves nothing behind but what is in workDir and caches. @throws FairwayError RUNNER_UNAVAILABLE */
  run(
    request: SandboxRequest,
    onOutput: (text: string) => void,
    signal: AbortSignal,
  ): Promise<SandboxResult>
}
