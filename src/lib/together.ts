/**
 * As `Promise.all`, but a failure is told only once all of the work has ended: whoever cleans up after it must not meet what is still being made.
 */
export async function together<T extends readonly unknown[] | []>(
  work: T,
): Promise<{ -readonly [P in keyof T]: Awaited<T[P]> }> {
  await Promise.allSettled(work)
  return await Promise.all(work)
}
