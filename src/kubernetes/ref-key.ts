import { parseAppName, parseEnvironmentName, type AppRef } from '../model/names.ts'

/** The AppRef of `app/environment`, as `refKey` writes it. @throws FairwayError INVALID_NAME */
export function refOfKey(key: string): AppRef {
  const [app = '', environment = ''] = key.split('/')
  return { app: parseAppName(app), environment: parseEnvironmentName(environment) }
}

/** Names a process of a release. */
export function releaseKey(process: string, release: number): string {
  return `${process}@${String(release)}`
}
