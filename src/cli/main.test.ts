import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { RUNNING, TestIo, testPrograms } from '../../test/fakes/cli-io.ts'
import { INSTANCE } from '../../test/fakes/fake-platform.ts'
import { createTestApi, listen } from '../../test/fakes/test-api.ts'
import { EVERYTHING } from '../model/identity.ts'
import type { HostCheck } from '../model/host.ts'
import { main } from './main.ts'
import { configPath, readConfig } from './user-config.ts'

const home = mkdtempSync(join(tmpdir(), 'fairway-main-'))
const { api, tokens, platform, sources, claimCode } = await createTestApi()
const url = `http://127.0.0.1:${await listen(api)}`
for (let n = 1; n < 100; n++) platform.finish(`r${n}`)
after(async () => {
  await api.close()
  rmSync(home, { recursive: true, force: true })
})

interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
  readonly io: TestIo
  readonly asked: readonly string[]
}

async function fairway(
  line: string | readonly string[],
  options: {
    readonly isTTY?: boolean
    readonly env?: Record<string, string>
    readonly cwd?: string
    readonly stdin?: string
    readonly home?: string
    readonly programs?: Parameters<typeof testPrograms>[0]
  } = {},
): Promise<Ran> {
  const env = options.env ?? { FAIRWAY_SERVER: url, FAIRWAY_TOKEN: tokens.admin }
  const io = new TestIo({ home, ...options, env })
  if (options.stdin !== undefined) io.stdin.end(options.stdin)
  const programs = testPrograms(options.programs)
  const code = await main(typeof line === 'string' ? line.split(' ') : line, io, programs)
  assert.equal(io.listeners, 0, 'every listener was removed')
  return { code, out: io.out, err: io.err, io, asked: programs.asked }
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  return JSON.parse(text) as Readonly<Record<string, unknown>>
}

function folder(name: string, files: Readonly<Record<string, string>>): string {
  const path = join(home, name)
  mkdirSync(path, { recursive: true })
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text)
  return path
}

test('without a command the overview, with a wrong one a suggestion', async () => {
  const { code, out } = await fairway([])
  assert.equal(code, 0)
  assert.match(out, /^ {2}deploy +deploy a folder/m)
  for (const [line, hint] of [
    ['dploy', 'hint:  Did you mean `fairway deploy`?'],
    ['push', 'hint:  Did you mean `fairway deploy`?'],
    ['--json', ''],
    ['xyzzy', 'hint:  `fairway --help` lists the commands.'],
    ['env sett A=1', 'hint:  Did you mean `fairway env set`?'],
    ['logs --folow', 'hint:  Did you mean --follow?'],
  ] as const) {
    const ran = await fairway(line)
    assert.equal(ran.code, hint === '' ? 0 : 2, line)
    if (hint !== '') assert.ok(ran.err.endsWith(`${hint}\n`), ran.err)
  }
})

test('global options stand before the command too', async () => {
  const { code, out } = await fairway(`--json --server ${url} whoami`)
  assert.equal(code, 0)
  assert.deepEqual(parsed(out)['grants'], [EVERYTHING])
})

for (const [line, code, text] of [
  ['ps --app nope', 4, /there is no app nope\/production/],
  ['logs --app Nope!', 2, /"Nope!" is not a valid app name/],
  ['logs --since soon', 2, /--since must be a duration/],
  ['scale web', 2, /expected PROCESS=N/],
  ['scale web=-1', 2, /web must be a whole number/],
  ['rollback last --app shop', 2, /RELEASE must be a whole number/],
  ['env set', 2, /env set needs at least one name/],
  ['env set =1', 2, /expected NAME=VALUE/],
  ['env unset A=1', 2, /unset takes names only/],
  ['run --app shop', 2, /run needs a command after --/],
  ['exec --app shop', 2, /exec needs a command after --/],
  ['exec nothing --app shop -- ls', 4, /no instance or ready process nothing/],
  ['deploy ./nowhere', 2, /there is no file or folder .\/nowhere/],
  ['deploy nowhere.jar', 2, /there is no file or folder nowhere.jar/],
  ['deploy . --image x/y:1 --app shop', 2, /either --image or \., not both/],
  ['ps extra', 2, /unexpected "extra"/],
  ['ps -- ls', 2, /ps takes no command after --/],
  ['login nonsense', 2, /is not the URL of a server/],
  ['tokens create', 2, /tokens create needs one name/],
  ['tokens create x --role king', 2, /--role must be viewer, developer, operator, admin/],
  ['tokens revoke nobody', 4, /there is no token "nobody"/],
  ['up --runner vm', 2, /--runner must be auto, container, process/],
  ['up --port 70000', 2, /--port must be at most 65535/],
  ['completion fish', 2, /completion knows bash and zsh/],
  ['destroy --app shop', 2, /destroy asks first/],
  ['init nowhere', 2, /is not a folder/],
] as const) {
  test(`${line} ends with ${code}`, async () => {
    const ran = await fairway(line)
    assert.match(ran.err, text)
    assert.equal(ran.code, code)
    const json = await fairway([
      ...(line.split(' -- ')[0] ?? '').split(' '),
      '--json',
      ...rest(line),
    ])
    const problem: unknown = JSON.parse(json.err)
    assert.ok(typeof problem === 'object' && problem !== null && 'error' in problem)
    assert.equal(json.code, code)
    assert.equal(json.out, '')
  })
}

function rest(line: string): string[] {
  const [, command] = line.split(' -- ')
  return command === undefined ? [] : ['--', ...command.split(' ')]
}

test('no server known, none running, no token: each says what to do', async () => {
  const nobody = mkdtempSync(join(home, 'nobody-'))
  const unknown = await fairway('ps', { env: {}, home: nobody })
  assert.equal(unknown.code, 8)
  assert.match(unknown.err, /no server is known yet\nhint: {2}Start one here with `fairway up`/)
  const stopped = await fairway('ps --server http://127.0.0.1:1', { env: { FAIRWAY_TOKEN: 'x' } })
  assert.equal(stopped.code, 8)
  assert.match(stopped.err, /no server answers at http:\/\/127\.0\.0\.1:1\nhint: {2}.*`fairway up`/)
  const foreign = await fairway(`ps --server ${url}`, { env: {}, home: nobody })
  assert.equal(foreign.code, 3)
  assert.match(foreign.err, /not logged in to/)
  const wrong = await fairway('ps', { env: { FAIRWAY_SERVER: url, FAIRWAY_TOKEN: 'fwy_x' } })
  assert.equal(wrong.code, 3)
})

test('ps shows instance, state, memory and URL, also as JSON', async () => {
  const { out, code } = await fairway('ps')
  assert.equal(code, 0)
  assert.match(out, /^shop {2}production {2}release 1 {2}http:\/\/shop\.localhost\/\n/)
  assert.match(out, new RegExp(`^ {2}web {6}${INSTANCE} +1 +ready `, 'm'))
  const json = (await fairway('ps --json')).out
  assert.ok(Array.isArray(parsed(json)['apps']))
  assert.match(json, /"ref":\{"app":"shop"/)
})

test('ps keeps to the width of the terminal and has no colours with NO_COLOR', async () => {
  const env = { FAIRWAY_SERVER: url, FAIRWAY_TOKEN: tokens.viewer, NO_COLOR: '1' }
  const io = new TestIo({ home, env, isTTY: true })
  io.width = 40
  assert.equal(await main(['ps'], io, testPrograms()), 0)
  assert.doesNotMatch(io.out, /\x1b/)
  for (const line of io.out.split('\n').slice(1)) assert.ok(line.length <= 40, line)
})

test('ps -w goes on until Ctrl-C', async () => {
  const io = new TestIo({ home, env: { FAIRWAY_SERVER: url, FAIRWAY_TOKEN: tokens.viewer } })
  const running = main(['ps', '-w', '--app', 'shop'], io, testPrograms())
  while (io.out.split('PROCESS').length < 2) await new Promise(setImmediate)
  platform.change()
  while (io.out.split('PROCESS').length < 3) await new Promise(setImmediate)
  io.interrupt()
  assert.equal(await running, 0)
})

test('logs pass on what was asked', async () => {
  const line = 'logs --app shop -n 5 --grep a=b --process web --since 1h --instance web-1-abc123'
  const { out, code } = await fairway(line)
  assert.equal(code, 0)
  assert.match(out, /^\d\d:\d\d:\d\d\.\d{3} web-1-abc123 line 0\n/)
  assert.equal((await fairway('logs --app shop --raw')).out, 'line 0\nline 1\nline 2\n')
  const call = platform.calls.findLast((each) => each.includes('a=b')) ?? ''
  const query = parsed(call.replace(/^logs (.*) shop\/production$/, '$1'))
  assert.deepEqual(
    [query['limit'], query['grep'], query['process'], query['instance'], query['follow']],
    [5, 'a=b', 'web', 'web-1-abc123', false],
  )
  assert.ok(Math.abs(Number(query['since']) - (Date.now() - 3_600_000)) < 60_000)
})

test('a deploy sends what is new, once, and prints the URL', async () => {
  const cwd = folder('web-app', {
    'server.js': 'listen()',
    'fairway.yaml': 'version: 1\nname: shop',
  })
  const first = await fairway('deploy', { cwd })
  assert.equal(first.code, 0, first.err)
  assert.match(first.out, /^✓ pack {6}\d\.\d\d s {2}1 file, 8 B\n/)
  assert.match(first.out, /release 1 of shop is live after .*\nhttp:\/\/shop\.localhost\/\n$/)
  assert.equal(platform.inputs.at(-1)?.appFile?.text, 'version: 1\nname: shop')
  assert.equal(sources.contents.size, 1)
  const quiet = await fairway('deploy -q', { cwd })
  assert.equal(quiet.out, 'http://shop.localhost/\n')
  const events = (await fairway('deploy --json', { cwd })).out.trim().split('\n')
  const types = events.map((line) => parsed(line)['type'])
  assert.deepEqual(types, ['rollout', 'step', 'output', 'end'])
})

test('a large first deploy asks what is missing, and a server that lost it is given it again', async () => {
  const cwd = folder('large', { a: 'x'.repeat(5_000_000), b: 'y' })
  const first = await fairway('deploy --app shop', { cwd })
  assert.equal(first.code, 0, first.err)
  assert.match(first.out, /✓ send .* 2 files, 5\.0 MB/)
  sources.contents.clear()
  const again = await fairway('deploy --app shop', { cwd })
  assert.equal(again.code, 0, again.err)
  assert.match(again.out, /✓ send /)
  assert.equal(sources.contents.size, 2)
})

test('an artifact and an image', async () => {
  const cwd = folder('target', { 'shop-1.0.jar': 'PK' })
  assert.equal((await fairway('deploy shop-1.0.jar', { cwd })).code, 0)
  assert.equal(
    platform.calls.findLast((call) => call.startsWith('deploy')),
    'deploy by admin shop/production',
  )
  assert.equal((await fairway('deploy registry.example/team/shop:1.2', { cwd })).code, 0)
  assert.equal(platform.inputs.at(-1)?.image, 'registry.example/team/shop:1.2')
  assert.equal(platform.inputs.at(-1)?.source, null)
})

test('plan, releases, rollback, scale and env', async () => {
  const cwd = folder('plan', { 'server.js': 'listen()' })
  assert.match((await fairway('plan --app shop', { cwd })).out, /\+ process web/)
  assert.match(
    (await fairway('releases --app shop')).out,
    /^1 +active .* ada +deploy +1 B +aaaaaaaaaaaa$/m,
  )
  assert.match((await fairway('rollback 1 --app shop')).out, /release 1 of shop is live/)
  assert.equal(
    (await fairway('scale web=3 worker=auto --app shop')).out,
    'web: 3 instances\nworker: as the app file says\n',
  )
  const secret = await fairway('env set KEY=- --app shop', { stdin: 'hush\n' })
  assert.equal(secret.code, 0)
  assert.doesNotMatch(secret.out + secret.err, /hush/)
  assert.equal((await fairway('env list --app shop')).out, 'KEY\n')
  const viewer = { FAIRWAY_SERVER: url, FAIRWAY_TOKEN: tokens.viewer }
  assert.equal((await fairway('env list --values --app shop', { env: viewer })).code, 3)
})

test('run gives output and exit code of the command', async () => {
  const { code, out, err } = await fairway('run --app shop -- node x.js --flag')
  assert.equal(code, 7)
  assert.equal(out, 'line 0\nline 1\nline 2\n')
  assert.match(err, /the command failed/)
  assert.ok(platform.calls.includes('run node x.js --flag shop/production'))
})

test('exec joins standard input, output and error with the command', async () => {
  const piped = await fairway('exec --app shop -- echo', { stdin: 'hello' })
  assert.deepEqual([piped.code, piped.out, piped.err], [3, 'HELLO', 'bye'])
  assert.deepEqual(piped.io.raw, [])
})

test('exec on a terminal is raw, passes its size on, and puts it back', async () => {
  const env = { FAIRWAY_SERVER: url, FAIRWAY_TOKEN: tokens.admin }
  const io = new TestIo({ home, env, isTTY: true })
  const running = main(['exec', 'web', '--app', 'shop', '--', 'echo'], io, testPrograms())
  while (io.raw.length === 0) await new Promise(setImmediate)
  io.width = 100
  io.resize()
  while (!io.out.includes('100x24')) await new Promise(setImmediate)
  io.stdin.end('bye')
  assert.equal(await running, 3)
  assert.deepEqual(io.raw, [true, false])
  assert.match(io.out, /BYE/)
})

test('login without a server to log in to says what it needs', async () => {
  const ran = await fairway('login', { env: {}, home: mkdtempSync(join(home, 'nowhere-')) })
  assert.equal(ran.code, 2)
  assert.match(ran.err, /login needs the URL of a server/)
})

test('login by token and by claim link, whoami, tokens', async () => {
  const mine = mkdtempSync(join(home, 'login-'))
  const options = { env: {}, home: mine }
  const linked = await fairway(`login ${url}/claim#${claimCode} --name ada`, options)
  assert.equal(linked.out, `Logged in to ${url} as ada.\n`)
  assert.equal((await fairway(`login ${url} --claim ${claimCode}`, options)).code, 3)
  const who = await fairway('whoami', options)
  assert.ok(who.out.startsWith(`ada at ${url}\nmay     admin everywhere\n`), who.out)
  const made = await fairway('tokens create ci --role viewer --expires 90d', options)
  assert.match(made.out, /^fwy_\S+\n$/)
  assert.match(
    (await fairway('tokens list', options)).out,
    /^ci +viewer everywhere +\S+ ago +never +in 89d/m,
  )
  const read = await fairway(`login ${url} --token -`, { ...options, stdin: made.out })
  assert.equal(read.out, `Logged in to ${url} as ci.\n`)
  const path = configPath({ env: {}, home: mine })
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.equal(readConfig(path).current, url)
  assert.equal((await fairway('tokens revoke ci')).code, 0)
  const revoked = await fairway('whoami', options)
  assert.equal(revoked.code, 3)
  assert.doesNotMatch(revoked.err, /fwy_/)
})

test('up starts the platform and logs its owner in', async () => {
  const other = await createTestApi()
  const server = `http://127.0.0.1:${await listen(other.api)}`
  const mine = mkdtempSync(join(home, 'up-'))
  try {
    const platformPrograms = {
      ...testPrograms().platform,
      up: () => Promise.resolve({ ...RUNNING, url: server, claim: other.claimCode }),
    }
    const options = { env: {}, home: mine, programs: { platform: platformPrograms } }
    const ran = await fairway('up', options)
    assert.equal(ran.code, 0, ran.err)
    assert.match(ran.out, /login {4}you are \S+@\S+; this server is claimed now/)
    assert.match((await fairway('whoami', options)).out, /^may +admin everywhere$/m)
  } finally {
    await other.api.close()
  }
})

test('up goes on where the claim code has been used meanwhile', async () => {
  const other = await createTestApi()
  const server = `http://127.0.0.1:${await listen(other.api)}`
  const mine = mkdtempSync(join(home, 'used-'))
  try {
    const up = () => Promise.resolve({ ...RUNNING, url: server, claim: other.claimCode })
    const options = {
      env: {},
      home: mine,
      programs: { platform: { ...testPrograms().platform, up } },
    }
    assert.equal((await fairway('up', options)).code, 0)
    const again = await fairway('up', options)
    assert.equal(again.code, 0, again.err)
    assert.match(again.out, /login {4}you are \S+@\S+$/m)
  } finally {
    await other.api.close()
  }
})

test('up --no-claim shows the link and logs nobody in; down and status', async () => {
  const mine = mkdtempSync(join(home, 'noclaim-'))
  const claimUrl = 'http://127.0.0.1:7070/claim#c'
  const up = () => Promise.resolve({ ...RUNNING, claim: 'c', claimUrl, runner: 'process' })
  const programs = { platform: { ...testPrograms().platform, up } }
  const ran = await fairway('up --no-claim', { env: {}, home: mine, programs })
  assert.match(ran.out, /claim {4}http:\/\/127\.0\.0\.1:7070\/claim#c {2}\(works once\)/)
  assert.match(ran.err, /the process runner does not isolate/)
  assert.equal(readConfig(configPath({ env: {}, home: mine })).current, null)
  const asked = (await fairway('up --port 7071 --runner process --data /d')).asked
  assert.deepEqual(asked, ['up {"runner":"process","port":7071,"restart":false,"dataDir":"/d"}'])
  assert.equal((await fairway('down --apps')).out, 'Stopped: server, router.\n')
  const status = await fairway('status')
  assert.equal(status.code, 0)
  assert.match(status.out, /^server +running +http:\/\/127\.0\.0\.1:7070 +since 09:12$/m)
  assert.match(status.out, /in use .*runner process, as admin \(admin everywhere\)/)
  assert.equal((await fairway('status', { env: {}, home: mine })).code, 8)
})

test('doctor shows checks and fixes, and fails while something is wrong', async () => {
  const ok: HostCheck = { name: 'cgroups', status: 'ok', message: 'version 2', fix: null }
  const bad: HostCheck = {
    name: 'runtime',
    status: 'fail',
    message: 'no runc',
    fix: 'apt-get install runc',
  }
  const doctor = () =>
    Promise.resolve({
      check: () => Promise.resolve([ok, bad]),
      fix: (say: (line: string) => void) => {
        say('apt-get install runc')
        return Promise.resolve([ok, { ...bad, status: 'ok' as const }])
      },
    })
  const checked = await fairway('doctor', { programs: { doctor } })
  assert.equal(checked.code, 8)
  assert.match(
    checked.out,
    /✗ runtime {2}no runc\n.*fix: apt-get install runc\n`fairway doctor --fix`/,
  )
  const fixed = await fairway('doctor --fix --json', { programs: { doctor } })
  assert.equal(fixed.code, 0)
  assert.equal(parsed(fixed.out)['ok'], true)
})

test('init writes what was recognised, once', async () => {
  const cwd = folder('my-init', { 'server.js': 'createServer().listen(1)', '.env': 'A=1' })
  const ran = await fairway('init', { cwd })
  assert.equal(ran.code, 0, ran.err)
  const text = readFileSync(join(cwd, 'fairway.yaml'), 'utf8')
  assert.match(text, /^name: my-init$/m)
  assert.match(text, /command: \[node, server\.js\]/)
  assert.equal((await fairway('init', { cwd })).code, 5)
  assert.equal((await fairway('init --print', { cwd })).out, text)
})

test('open, gc, version, completion', async () => {
  const opened = await fairway('open --app shop')
  assert.equal(opened.out, 'http://shop.localhost/\n')
  assert.deepEqual(opened.asked, ['open http://shop.localhost/'])
  assert.equal((await fairway('gc')).out, '12 B freed: 1 image\n')
  assert.equal((await fairway('version')).out, 'fairway 1.2.3\n')
  assert.match((await fairway('version --remote')).out, /server {2}0\.0\.0 \(machine, process\)/)
  assert.match((await fairway('completion bash')).out, /complete -o default -F _fairway fairway\n$/)
  assert.match((await fairway('completion zsh')).out, /^#compdef fairway\n/)
})

test('destroy asks for the name, and --yes does not', async () => {
  const env = { FAIRWAY_SERVER: url, FAIRWAY_TOKEN: tokens.admin }
  const wrong = await fairway('destroy shop', { env, isTTY: true, stdin: 'shp\n' })
  assert.equal(wrong.code, 2)
  assert.match(wrong.err, /Type its name: .*nothing was removed/s)
  assert.ok(!platform.calls.includes('destroy shop/production'))
  assert.equal((await fairway('destroy nope', { isTTY: true, stdin: 'nope\n' })).code, 4)
  const right = await fairway('destroy shop', { env, isTTY: true, stdin: 'shop\n' })
  assert.equal(right.code, 0)
  assert.equal((await fairway('destroy shop -y')).code, 4)
  assert.match((await fairway('ps')).out, /No apps yet/)
})
