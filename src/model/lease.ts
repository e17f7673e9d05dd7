/** Who may act now, and the number that proves it. */
export interface LeaseHold {
  readonly holder: string
  /**
   * Fencing token: grows with every `acquire` that succeeds. Whoever acts for the lease passes it on, and what sees a smaller one than it saw
   * before refuses it: a holder that slept past its time cannot undo the work of the next.
   */
  readonly token: number
}

/**
 * One thing that only one of several processes may do at a time, for as long as it says so. Times to live are lengths in milliseconds, measured
 * by one clock for all (the database's, the cluster's), so it does not matter what the clocks of the contenders show. A holder measures its own
 * time by how long ago it *called* `acquire` or `renew`, and stops by itself when that is over.
 */
export interface Lease {
  /**
   * Takes it where it is free, expired, or already this holder's (with a new token); null while another has it.
   * @param holder names who wants it: somebody who lives once at a time, so that after a crash it gets back at once what it had
   * @throws FairwayError STORE_UNAVAILABLE: nobody knows whether it was taken; it is free again at the latest after `ttlMs`
   */
  acquire(holder: string, ttlMs: number): Promise<LeaseHold | null>
  /** Starts its time anew. False where it was released or another took it since: the holder must stop. @throws as `acquire` */
  renew(hold: LeaseHold, ttlMs: number): Promise<boolean>
  /** Frees it at once; nothing where it is another's by now. */
  release(hold: LeaseHold): Promise<void>
  /** Who has it now; null where it is free or expired. */
  current(): Promise<LeaseHold | null>
  /** Lets go of connections, not of the lease. */
  close(): Promise<void>
}
