import { z } from 'zod'
import {
  isName,
  parseAppName,
  parseEnvironmentName,
  parseProcessName,
  parseTargetName,
} from '../model/names.ts'
import type { Digest } from '../model/release.ts'

const NAME_RULE = 'expected 1 to 40 of a-z, 0-9 and single -, starting with a letter'
const name = z
  .string()
  .max(40, NAME_RULE)
  .regex(/^[a-z](?:[a-z0-9-]*[a-z0-9])?$/, NAME_RULE)
  .refine(isName, NAME_RULE)

export const appName = name.transform(parseAppName)
export const environmentName = name.transform(parseEnvironmentName)
export const processName = name.transform(parseProcessName)
/** A plain text: teams have no type of their own. */
export const teamName = name
export const targetName = name.transform(parseTargetName)

export const digest = z
  .string()
  .regex(/^sha256:[0-9a-f]{64}$/, 'expected sha256: and 64 hex digits')
  .transform((text) => text as Digest)

/** Ids that the server hands out: rollouts, tokens, instances. */
export const id = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/, 'expected an id as the server prints it')

export const appRef = z.object({ app: appName, environment: environmentName })

/** Milliseconds since the epoch. */
export const time = z.number().int().min(0)

export const releaseNumber = z.number().int().min(1).max(2_147_483_647)

/** One line of text for people, such as the name of a token. */
export const label = z
  .string()
  .min(1, 'expected 1 to 60 characters')
  .max(60, 'expected 1 to 60 characters')
  .regex(/^[\p{L}\p{N}][\p{L}\p{N} ._@+:-]*$/u, 'expected letters, digits, spaces and ._@+:-')
