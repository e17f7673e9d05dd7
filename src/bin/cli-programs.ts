import type { CliPrograms } from '../cli/programs.ts'
import { packageVersion } from './version.ts'

/** What the CLI needs of this machine. Everything heavy is loaded when a command asks for it: most commands only speak HTTP. */
export const programs: CliPrograms = {
  version: packageVersion(),
  doctor: async () => (await import('./doctor.ts')).hostDoctor(),
  platform: {
    up: async (options, say) =>
      (await import('./platform-programs.ts')).platformPrograms.up(options, say),
    down: async (options, say) =>
      (await import('./platform-programs.ts')).platformPrograms.down(options, say),
    status: async (options) =>
      (await import('./platform-programs.ts')).platformPrograms.status(options),
  },
  openBrowser: async (url) => (await import('./browser.ts')).openBrowser(url),
}
