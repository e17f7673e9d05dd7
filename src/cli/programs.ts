import type { HostDoctor } from '../model/host.ts'

/** What the composition root injects: the parts of a command that are programs of this machine and not HTTP calls. */
export interface CliPrograms {
  /** Version of the installed package, as printed by `fairway version`. */
  readonly version: string
  /** The host checks behind `fairway doctor`; loaded only when asked for. */
  doctor(): Promise<HostDoctor>
  readonly platform: PlatformPrograms
  /** Shows a URL in the user's browser. False where there is none (a server, no display): the URL is then only printed. */
  openBrowser(url: string): Promise<boolean>
}

/** Starts and stops server and router on this machine. */
export interface PlatformPrograms {
  /**
   * Starts what does not run yet and returns once both answer; what already runs is left alone. `say` gets one line per step
   * for people.
   * @throws FairwayError RUNNER_UNAVAILABLE, TIMEOUT (with the last lines of the program's log), CONFLICT (port taken)
   */
  up(options: UpOptions, say: (line: string) => void): Promise<RunningPlatform>
  /** Stops server and router; instances of apps go on unless `apps` is set. Nothing running: `stopped` is empty. */
  down(options: DownOptions, say: (line: string) => void): Promise<StoppedPlatform>
  status(options: DataDirOption): Promise<PlatformState>
}

export interface DataDirOption {
  /** Data directory; undefined = the default of this user. */
  readonly dataDir: string | undefined
}

export interface UpOptions extends DataDirOption {
  /** undefined = the configuration's, else `auto`: container where it works, else process. */
  readonly runner: 'auto' | 'container' | 'process' | undefined
  /** Port of the API on loopback; undefined = the configuration's. */
  readonly port: number | undefined
  /** Port of the router for plain HTTP; undefined = the configuration's. */
  readonly httpPort: number | undefined
  /** Replaces what runs, the router without losing a request. What runs from another version is replaced anyway. */
  readonly restart: boolean
}

export interface DownOptions extends DataDirOption {
  /** Stops the server alone: requests go on. */
  readonly keepRouter: boolean
  readonly apps: boolean
}

export interface RunningPlatform {
  /** Base URL of the server: 'http://127.0.0.1:7070'. */
  readonly url: string
  /** Base URLs under which the router serves apps, for people: 'http://localhost:8080'. */
  readonly routerUrls: readonly string[]
  /** Certificate of the authority that signs for the router's hosts, for clients to trust; null without https or where certificates were given. */
  readonly caFile: string | null
  /**
   * The one-time claim secret, read from the file of mode 0600 that an unclaimed server leaves in its data directory: who can
   * read that file is the machine's owner and is logged in without a link. Null once claimed, or where the file is not ours.
   */
  readonly claim: string | null
  /** The link that lets a person claim the server from a browser; null once claimed. */
  readonly claimUrl: string | null
  readonly dataDir: string
  readonly runner: string
  /** Which of the programs this call started; empty = all were running. */
  readonly started: readonly ('server' | 'router')[]
}

export interface StoppedPlatform {
  readonly stopped: readonly ('server' | 'router')[]
}

export interface PlatformState {
  readonly server: ProgramState
  readonly router: ProgramState
  readonly dataDir: string
}

export interface ProgramState {
  readonly state: 'running' | 'stopped' | 'failing'
  readonly pid: number | null
  /** Base URL, or null where it does not run. */
  readonly url: string | null
  /** One line for people: 'since 09:12, 48 MiB', 'port 8080 is taken by another program'. */
  readonly detail: string
}
