/** Twenty requests a second, whatever becomes of them. */
export function startRepeating(send: () => Promise<unknown>): { stop(): Promise<void> } {
  const sent: Promise<unknown>[] = []
  const timer = setInterval(() => sent.push(send().catch(() => undefined)), 50)
  return {
    stop: async () => {
      clearInterval(timer)
      await Promise.all(sent)
    },
  }
}
