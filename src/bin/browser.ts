import { start } from '../lib/process.ts'
import { environment } from './environment.ts'

/** Shows a URL with the desktop's own opener; false where there is no desktop. */
export async function openBrowser(url: string): Promise<boolean> {
  const opener = process.platform === 'darwin' ? 'open' : 'xdg-open'
  const { DISPLAY, WAYLAND_DISPLAY, PATH = '', HOME = '' } = environment
  if (process.platform !== 'darwin' && DISPLAY === undefined && WAYLAND_DISPLAY === undefined)
    return false
  try {
    const env = Object.fromEntries(
      Object.entries({ DISPLAY, WAYLAND_DISPLAY, PATH, HOME }).flatMap(([key, value]) =>
        value === undefined ? [] : [[key, value]],
      ),
    )
    const child = await start(opener, [url], { env, stdio: 'ignore', detached: true })
    child.unref()
    return true
  } catch {
    return false
  }
}
