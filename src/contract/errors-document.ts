import { ERRORS } from '../model/errors.ts'

/** Text of docs/errors.md: the table of `model/errors.ts` for people. */
export function errorsDocument(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { status, exit, hint }]) => `| \`${code}\` | ${status} | ${exit} | ${hint} |`,
  )
  return `${HEAD}\n${rows.join('\n')}\n`
}

const HEAD = `# Errors

Every failure that Fairway reports on purpose has a stable code; scripts may match on it. The API answers with the HTTP status and the body
\`{"error":{"code","message","hint","details"}}\`, the CLI ends with the exit code and prints the same with \`--json\`. The message names the thing
that is wrong, the hint says what to do; where more is known, a better hint replaces the one below. Codes are added, never reused.

This page is written by \`npm run docs\` from \`src/model/errors.ts\`.

| code | HTTP status | exit code | hint |
|---|---|---|---|`
