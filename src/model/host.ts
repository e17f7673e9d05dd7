/** What `fairway doctor` finds on this machine. */
export interface HostCheck {
  /** 'container runtime', 'cgroups', 'disk space'. */
  readonly name: string
  readonly status: 'ok' | 'warn' | 'fail'
  /** One line: 'runc 1.1.5 starts containers here (crun refuses hybrid cgroups)'. */
  readonly message: string
  /** What --fix would do: 'apt-get install runc conmon containernetworking-plugins'; null where only a person can. */
  readonly fix: string | null
}

/** Name of the finding on a target's source of metrics. */
export const METRICS_CHECK = 'traffic metrics'

export interface HostDoctor {
  check(): Promise<readonly HostCheck[]>
  /** Repairs what it can, saying each step before it is done. Never throws for a step that fails: it says why in one line. */
  fix(say: (line: string) => void): Promise<readonly HostCheck[]>
}
