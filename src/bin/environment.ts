/** The environment of this program; `config.ts` gives its variables types. A file of its own, so that the CLI need not load schemas for it. */
export type Environment = Readonly<Record<string, string | undefined>>

export const environment: Environment = process.env
