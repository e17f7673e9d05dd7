import { decide, rulesOf, type Rules } from '../src/identity/decide.ts'
import { ACTIONS, EVERYTHING, ROLES, type Grant, type Subject } from '../src/model/identity.ts'
import { median, row, type Bench, type BenchResult } from './result.ts'

const APPS = 1000
const GRANTS = 100
const TEAMS = 50
const SUBJECTS = 100
const RUN_MS = 1000
const RUNS = 5

export const bench: Bench = {
  name: 'authorize',
  summary: 'decisions per second of one core over 1,000 apps and subjects of 100 roles each',
  needs: 'nothing',
  run: ({ say }) => Promise.resolve(run(say)),
}

interface Question {
  readonly subject: Subject
  readonly action: (typeof ACTIONS)[number]
  readonly app: string
  readonly environment: string
}

function run(say: (line: string) => void): BenchResult {
  const apps = Array.from({ length: APPS }, (_, n) => `app-${n}`)
  const rules = rulesOver(apps)
  const questions = questionsOf(apps)
  let allowed = 0
  const rates = Array.from({ length: RUNS + 1 }, (_, n) => {
    const measured = rateOf(rules, questions)
    if (n === RUNS) allowed = measured.allowed
    return measured.perSecond
  }).slice(1)
  const share = Math.round((100 * allowed) / questions.length)
  say(`${share} % of the questions were allowed`)
  return {
    name: 'authorize',
    results: [row('decisions', '/s per core', median(rates))],
    notes: [
      `median of ${RUNS} runs of ${RUN_MS / 1000} s of processor time after one that warms up; goal 500,000`,
      `${questions.length} different questions of ${SUBJECTS} subjects with ${GRANTS} grants each, ${share} % allowed`,
    ],
  }
}

function rulesOver(apps: readonly string[]): Rules {
  const teams = Array.from({ length: TEAMS }, (_, team) => {
    const members = apps.filter((_, n) => n % TEAMS === team)
    return [`team-${team}`, new Set(members)] as const
  })
  return rulesOf(new Map(teams), new Set(['production']))
}

/** Grants of every shape, none over everything: that one would end every search at once. */
function grantOf(seed: number): Grant {
  const environment = seed % 3 === 0 ? null : seed % 3 === 1 ? 'production' : 'staging'
  const place =
    seed % 2 === 0 ? { app: `app-${(seed * 37) % APPS}` } : { team: `team-${(seed * 13) % TEAMS}` }
  const role = ROLES[seed % ROLES.length] ?? 'viewer'
  const actions = seed % 5 === 0 ? ACTIONS.filter((_, n) => n % 3 === 0) : null
  return { ...EVERYTHING, role, environment, actions, ...place }
}

function questionsOf(apps: readonly string[]): readonly Question[] {
  const subjects = Array.from({ length: SUBJECTS }, (_, n): Subject => {
    const grants = Array.from({ length: GRANTS }, (_, g) => grantOf(n * GRANTS + g))
    return { id: `s${n}`, name: `s${n}`, kind: 'user', groups: [], grants }
  })
  return Array.from({ length: 20_000 }, (_, n) => ({
    subject: subjects[(n * 7) % SUBJECTS] ?? {
      ...subjects[0],
      id: '',
      name: '',
      kind: 'user',
      groups: [],
      grants: [],
    },
    action: ACTIONS[(n * 11) % ACTIONS.length] ?? 'app:read',
    app: apps[(n * 31) % APPS] ?? '',
    environment: n % 2 === 0 ? 'production' : 'staging',
  }))
}

function rateOf(
  rules: Rules,
  questions: readonly Question[],
): { readonly perSecond: number; readonly allowed: number } {
  // Processor time: a core that others use meanwhile is not ours to count.
  const start = process.cpuUsage()
  const spentMs = (): number => process.cpuUsage(start).user / 1000
  let decisions = 0
  let allowed = 0
  while (spentMs() < RUN_MS) {
    allowed = 0
    for (const { subject, action, app, environment } of questions) {
      if (decide(rules, subject, action, { app }, environment).allowed) allowed += 1
    }
    decisions += questions.length
  }
  return { perSecond: (decisions * 1000) / spentMs(), allowed }
}
