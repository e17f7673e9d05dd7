import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cronProblem, isTimeZone } from './cron-schedule.ts'

test('schedules that a cluster takes are fine', () => {
  for (const text of [
    '0 3 * * *',
    '*/5 * * * *',
    '0 7 * * 1-5',
    '0,30 0-12/3 1 JAN,jul mon-fri',
    '5/10 * 31 12 0',
  ])
    assert.equal(cronProblem(text), null, text)
})

test('the wrong field is named', () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['60 * * * *', /"60" is no minute: 0 to 59/],
    ['0 24 * * *', /hour/],
    ['0 0 0 * *', /day of the month/],
    ['0 0 1 13 *', /month/],
    ['0 0 * * 7', /"7" is no day of the week: 0 to 6/],
    ['*/0 * * * *', /minute/],
    ['5-1 * * * *', /minute/],
    ['*-5 * * * *', /minute/],
    ['0 0 * *', /has 4/],
  ]
  for (const [text, message] of wrong) assert.match(cronProblem(text) ?? '', message, text)
})

test('time zones are those of IANA', () => {
  assert.deepEqual(['UTC', 'Europe/Berlin', 'Berlin', 'Mars/Base'].map(isTimeZone), [
    true,
    true,
    false,
    false,
  ])
})
