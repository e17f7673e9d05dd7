/** The fields of a schedule, in order, with what a cluster's CronJob takes: names in any case, Sunday is 0. */
const FIELDS = [
  { name: 'minute', least: 0, most: 59, words: [] },
  { name: 'hour', least: 0, most: 23, words: [] },
  { name: 'day of the month', least: 1, most: 31, words: [] },
  {
    name: 'month',
    least: 1,
    most: 12,
    words: ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'],
  },
  {
    name: 'day of the week',
    least: 0,
    most: 6,
    words: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'],
  },
] as const

type Field = (typeof FIELDS)[number]

/** What is wrong with a schedule of five fields, in words; null where it is fine. */
export function cronProblem(text: string): string | null {
  const fields = text.trim().split(/\s+/)
  if (fields.length !== FIELDS.length)
    return `a schedule has five fields, this one has ${fields.length}`
  for (const [i, field] of FIELDS.entries()) {
    const value = fields[i] ?? ''
    if (!value.split(',').every((part) => isPart(part, field)))
      return `${JSON.stringify(value)} is no ${field.name}: ${field.least} to ${field.most}, *, a range such as ${field.least}-${field.least + 2} or a step such as */2`
  }
  return null
}

/** `*`, `3`, `1-5`, each perhaps with a step; robfig/cron, which Kubernetes uses, reads `3/5` as "from 3 on". */
function isPart(text: string, field: Field): boolean {
  const match = /^(\*|\w+)(?:-(\w+))?(?:\/(\d{1,3}))?$/.exec(text)
  if (match === null) return false
  const [, start = '', end, step] = match
  if (step !== undefined && Number(step) < 1) return false
  if (start === '*') return end === undefined
  const from = numberOf(start, field)
  const to = end === undefined ? from : numberOf(end, field)
  return from !== null && to !== null && from <= to
}

function numberOf(text: string, { least, most, words }: Field): number | null {
  const index = (words as readonly string[]).indexOf(text.toLowerCase())
  const value = index >= 0 ? index + least : /^\d{1,2}$/.test(text) ? Number(text) : null
  return value !== null && value >= least && value <= most ? value : null
}

export function isTimeZone(text: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text })
    return true
  } catch {
    return false
  }
}
