import { FairwayError } from './errors.ts'

declare const brand: unique symbol
type Name<Kind extends string> = string & { readonly [brand]: Kind }

/** Lower-case DNS label of at most 40 characters; names of apps, environments, processes and targets are safe in paths, hosts and labels. */
export type AppName = Name<'app'>
export type EnvironmentName = Name<'environment'>
export type ProcessName = Name<'process'>
export type TargetName = Name<'target'>

/** One app in one environment: the scope of nearly every question, so no query can be asked without it. */
export interface AppRef {
  readonly app: AppName
  readonly environment: EnvironmentName
}

export const NAME_PATTERN = /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/

export function isName(text: string): boolean {
  return NAME_PATTERN.test(text) && !text.includes('--')
}

/** @throws FairwayError INVALID_NAME */
export function parseAppName(text: string): AppName {
  return checked(text, 'app') as AppName
}

/** @throws FairwayError INVALID_NAME */
export function parseEnvironmentName(text: string): EnvironmentName {
  return checked(text, 'environment') as EnvironmentName
}

/** @throws FairwayError INVALID_NAME */
export function parseProcessName(text: string): ProcessName {
  return checked(text, 'process') as ProcessName
}

/** @throws FairwayError INVALID_NAME */
export function parseTargetName(text: string): TargetName {
  return checked(text, 'target') as TargetName
}

/** `app/environment`: the key of an AppRef in maps, paths and logs. */
export function refKey(ref: AppRef): string {
  return `${ref.app}/${ref.environment}`
}

function checked(text: string, kind: string): string {
  if (isName(text)) return text
  throw new FairwayError(
    'INVALID_NAME',
    `${JSON.stringify(text.slice(0, 80))} is not a valid ${kind} name`,
  )
}
