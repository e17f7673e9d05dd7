import type { JobRequest } from '../model/engine.ts'
import { refKey } from '../model/names.ts'
import { jobName } from './plan-job.ts'

/** Runs that this server waits for: what is in the cluster for them is no orphan, and their pods are known. */
export class RunningJobs {
  readonly #jobs = new Set<JobRequest>()

  /** Known from before its first object is written until `task` has ended. */
  async run<T>(job: JobRequest, task: () => Promise<T>): Promise<T> {
    // The same request may be waited for twice.
    const own = { ...job }
    this.#jobs.add(own)
    try {
      return await task()
    } finally {
      this.#jobs.delete(own)
    }
  }

  /** Whether there is any for this app, `app/environment`. */
  has(app: string): boolean {
    return [...this.#jobs].some(({ ref }) => refKey(ref) === app)
  }

  /** The one whose Job has this name; null where nobody waits for it. */
  find(app: string, name: string): JobRequest | null {
    return [...this.#jobs].find((job) => refKey(job.ref) === app && jobName(job) === name) ?? null
  }
}
