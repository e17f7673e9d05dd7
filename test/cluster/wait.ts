/** Asks every 100 ms until it is so. @throws Error naming `what` after `limitMs` */
export async function waitUntil(
  what: string,
  limitMs: number,
  isSo: () => Promise<boolean> | boolean,
): Promise<void> {
  await waitFor(what, limitMs, async () => ((await isSo()) ? true : null))
}

/** Asks every 100 ms until the answer is not null. @throws Error naming `what` after `limitMs` */
export async function waitFor<T>(
  what: string,
  limitMs: number,
  ask: () => Promise<T | null>,
): Promise<T> {
  const end = Date.now() + limitMs
  for (;;) {
    const answer = await ask()
    if (answer !== null) return answer
    if (Date.now() > end) throw new Error(`${what}: not within ${String(limitMs / 1000)} s`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}
