import type { AppRef, EnvironmentName } from '../model/names.ts'
import { isName, parseAppName } from '../model/names.ts'
import { namespaceOf } from './labels.ts'

/** Clouds have hosts of their own below these. */
const OTHERS = new Set(['google', 'ec2', 'compute', 'docker', 'kubernetes', 'containers'])

/**
 * `<process>.<app>.internal` and `<app>.internal` in a value, as the names under which a cluster knows these processes: a Service in the namespace of
 * that app in the caller's own environment. Names that code makes up at run time are not seen here, so they do not resolve on a cluster.
 */
export function withClusterNames(value: string, ref: AppRef, clusterDomain: string): string {
  return value.replace(
    /(?<![\w.-])(?:([a-z][a-z0-9-]*)\.)?([a-z][a-z0-9-]*)\.internal(?![\w-]|\.\w)/g,
    (found, process: string | undefined, app: string) => {
      if (OTHERS.has(app) || !isName(app) || (process !== undefined && !isName(process)))
        return found
      return serviceHost(process ?? 'web', app, ref.environment, clusterDomain)
    },
  )
}

function serviceHost(
  process: string,
  app: string,
  environment: EnvironmentName,
  clusterDomain: string,
): string {
  return `${process}.${namespaceOf({ app: parseAppName(app), environment })}.svc.${clusterDomain}`
}
