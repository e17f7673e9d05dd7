import { runToEnd } from './process.ts'

/** One process as ps(1) tells of it, on systems without /proc. */
export interface ProcessRow {
  readonly pid: number
  readonly group: number
  readonly memoryBytes: number
  readonly cpuSeconds: number
}

/** Every process of the host but those that only wait for their parent; empty where ps cannot be run. */
export async function processTable(): Promise<readonly ProcessRow[]> {
  const result = await runToEnd('ps', ['-axo', 'pid=,pgid=,rss=,time=,stat='], {
    maxOutput: 8 << 20,
  }).catch(() => null)
  return result?.code === 0 ? parseProcessTable(result.stdout) : []
}

/** @param text lines of `ps -axo pid=,pgid=,rss=,time=,stat=`; rss counts KiB (ps(1) of macOS, the BSDs and procps) */
export function parseProcessTable(text: string): readonly ProcessRow[] {
  return text.split('\n').flatMap((line) => {
    const [pid, group, rss, time = '', state = ''] = line.trim().split(/\s+/)
    const cpuSeconds = parseCpuTime(time)
    const row = { pid: Number(pid), group: Number(group), memoryBytes: Number(rss) * 1024 }
    const whole = Object.values(row).every(Number.isSafeInteger) && row.pid > 0
    return whole && cpuSeconds !== null && !state.startsWith('Z') ? [{ ...row, cpuSeconds }] : []
  })
}

/** `[[days-]hours:]minutes:seconds[.hundredths]`: procps writes days and hours, macOS minutes without end and hundredths. Null where it is none. */
export function parseCpuTime(text: string): number | null {
  const match = /^(?:(?:(\d+)-)?(\d+):)?(\d+):(\d+(?:\.\d+)?)$/.exec(text)
  if (match === null) return null
  const [, days = '0', hours = '0', minutes = '0', seconds = '0'] = match
  return ((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds)
}
