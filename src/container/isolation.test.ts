/** What an app that means harm must not be able to do: to the host, to another app, to the limits of its own. */
import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import { after, before, describe, it } from 'node:test'
import {
  containerProblem,
  makeContainerHarness,
  type ContainerHarness,
} from '../../test/container-harness.ts'
import {
  ask,
  eventually,
  loggedLines,
  MEBIBYTE,
  runIn,
  sampleSpec,
  WEB,
} from '../../test/runner-suite.ts'
import type { Address, InstanceSpec } from '../model/instance.ts'

const skip = await containerProblem()

describe('isolation of containers', { skip: skip ?? false }, () => {
  let harness: ContainerHarness
  let attacker: InstanceSpec
  let victim: Address
  before(async () => {
    harness = await makeContainerHarness('')
    const { runner, image } = harness
    attacker = sampleSpec(image, ['sleep', '1000'])
    const web = sampleSpec(image, ['node', '-e', WEB], { listens: true, env: { NAME: 'victim' } })
    const [found] = await Promise.all([runner.start(web), runner.start(attacker)])
    assert.ok(found.address)
    victim = found.address
    await eventually(() => ask(victim.host, victim.port), 'the victim answers')
  })
  after(() => harness.close())

  const shell = (script: string) => runIn(harness.runner, attacker.id, ['sh', '-c', script])
  /** 'open', 'refused' or 'silent', tried from inside. */
  const reach = async (host: string, port: number, patienceMs = 700): Promise<string> => {
    const script = `const s = require('net').connect({ host: '${host}', port: ${String(port)} });
      const end = (t) => { console.log(t); process.exit() };
      s.on('connect', () => end('open')); s.on('error', () => end('refused')); setTimeout(() => end('silent'), ${String(patienceMs)})`
    return (await runIn(harness.runner, attacker.id, ['node', '-e', script])).stdout.trim()
  }
  const gateway = (): string => harness.runner.network.gateway

  it('reaches no other instance', async () => {
    assert.equal(await ask(victim.host, victim.port), 'hello from victim', 'the host can')
    assert.notEqual(await reach(victim.host, victim.port), 'open')
  })

  it('reaches the gateway at the ports of router and DNS alone, and no other address of the host', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined).end('host'))
    await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve))
    const router = createServer((socket) => socket.on('error', () => undefined).end('router'))
    await new Promise<void>((resolve) => router.listen(80, gateway(), resolve))
    try {
      const address = server.address()
      assert.ok(address !== null && typeof address === 'object')
      const own = Object.values(networkInterfaces())
        .flat()
        .filter((entry) => entry !== undefined)
        .filter((entry) => entry.family === 'IPv4')
      for (const entry of own) {
        assert.notEqual(await reach(entry.address, address.port), 'open', entry.address)
      }
      assert.equal(await reach(gateway(), 80, 10_000), 'open')
    } finally {
      server.close()
      router.close()
    }
  })

  it('reaches no metadata service of a cloud', async () => {
    assert.notEqual(await reach('169.254.169.254', 80), 'open')
  })

  it('has no way to mount, to trace, to make namespaces or to open raw sockets', async () => {
    const mount = await shell('mount -t tmpfs none /tmp 2>&1; echo $?')
    assert.doesNotMatch(mount.stdout, /^0$/m)
    const calls = `
      const fs = require('fs'); const refused = [];
      for (const path of ['/proc/kcore', '/proc/sysrq-trigger', '/proc/sys/kernel/core_pattern', '/sys/fs/cgroup/memory/memory.limit_in_bytes', '/dev/mem', '/dev/vda']) {
        try { fs.openSync(path, 'r+'); console.log('opened ' + path) } catch { refused.push(path) }
      }
      console.log(refused.length)`
    const result = await runIn(harness.runner, attacker.id, ['node', '-e', calls])
    assert.equal(result.stdout.trim(), '6')
    const status = (await shell('cat /proc/self/status')).stdout
    for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
      assert.match(status, new RegExp(`${name}:\\s+0+$`, 'm'))
    }
    assert.match(status, /NoNewPrivs:\s+1/)
    assert.match(status, /Seccomp:\s+2/)
  })

  it('is refused the system calls that lead out', async (context) => {
    if (process.arch !== 'x64') {
      context.skip('knows the numbers of x64 only')
      return
    }
    // mount, ptrace, unshare(user), setns, io_uring_setup, bpf, keyctl, socket(packet), socket(vsock), clone(user)
    const calls = [
      '165, 0, 0, 0, 0, 0',
      '101, 0, 0, 0, 0',
      '272, 0x10000000',
      '308, 0, 0',
      '425, 8, 0',
      '321, 0, 0, 0',
      '250, 0, 0',
      '41, 17, 3, 0',
      '41, 40, 1, 0',
      '56, 0x10000011, 0, 0, 0, 0',
    ]
    const lines = calls.map((call) => `print syscall(${call}), ":", $! + 0, "\\n";`)
    const { stdout, stderr } = await runIn(harness.runner, attacker.id, [
      'perl',
      '-e',
      lines.join(''),
    ])
    const results = stdout.trim().split('\n')
    assert.equal(results.length, calls.length, stderr)
    for (const [index, line] of results.entries()) assert.match(line, /^-1:(?:1|38)$/, calls[index])
    const control = await runIn(harness.runner, attacker.id, ['perl', '-e', 'print syscall(39)'])
    assert.match(control.stdout, /^[1-9]/, 'an allowed call works')
  })

  it('writes nowhere but to /tmp, /run and shared memory', async () => {
    const script =
      'for f in / /app /bin /etc /usr /lib /proc /sys /dev; do touch $f/x 2>/dev/null && echo $f; done; touch /tmp/x && echo tmp; echo evil >> /etc/hosts || echo no'
    const { stdout } = await shell(script)
    // /dev is a small folder in memory of its own.
    assert.deepEqual(
      stdout.split('\n').filter((line) => line !== '' && line !== '/dev'),
      ['tmp', 'no'],
    )
  })

  it('is nobody outside, even as root inside', async (context) => {
    if (harness.host.ownerOffset === 0) {
      context.skip('no user namespaces here')
      return
    }
    assert.match((await shell('cat /proc/self/uid_map')).stdout, /^\s*0\s+100000\s+65536$/m)
    assert.match((await shell('id -u')).stdout, /^0$/m)
  })

  it('sees no process but its own', async () => {
    const { stdout } = await shell('ls /proc')
    assert.ok(stdout.split('\n').filter((name) => /^\d+$/.test(name)).length < 8, stdout)
  })

  it('contains a fork bomb, while another app answers and new ones start', async () => {
    const { runner, image } = harness
    const script =
      "const { spawn } = require('child_process'); setInterval(() => { for (let i = 0; i < 20; i++) spawn('sleep', ['1000']).on('error', () => {}) }, 1)"
    const bomb = sampleSpec(image, ['node', '-e', script])
    await runner.start(bomb)
    await eventually(async () => ((await runner.usage(bomb.id))?.pids ?? 0) > 32, 'many processes')
    assert.equal(await ask(victim.host, victim.port), 'hello from victim')
    const usage = await runner.usage(bomb.id)
    assert.ok(usage !== null && usage.pids <= 64, `${String(usage?.pids)} processes`)
    const next = sampleSpec(image, ['sleep', '100'])
    await runner.start(next)
    await Promise.all([runner.remove(bomb.id), runner.remove(next.id)])
  })

  it('ends a memory hog, and a hog of shared files, and says that it was memory', async () => {
    const { runner, image } = harness
    const hogs = [
      ['node', '-e', 'const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))'],
      [
        'sh',
        '-c',
        'cat /dev/zero > /dev/shm/a & cat /dev/zero > /tmp/a; cat /tmp/a /dev/shm/a | node -e "const a = []; process.stdin.on(\'data\', (d) => a.push(Buffer.from(d)))"; exit $?',
      ],
    ]
    for (const argv of hogs) {
      const hog = sampleSpec(image, argv)
      await runner.start(hog)
      const exit = await runner.waitForExit(hog.id, AbortSignal.timeout(30_000))
      assert.equal(exit?.reason, 'oom', argv.join(' '))
      await runner.remove(hog.id)
    }
    assert.equal(await ask(victim.host, victim.port), 'hello from victim')
  })

  it('holds the limits of memory and processors', async () => {
    const { runner, image } = harness
    const busy = sampleSpec(image, ['sh', '-c', 'while :; do :; done & while :; do :; done'], {
      resources: { cpu: 0.2, memory: 64 * MEBIBYTE, pids: 16 },
    })
    await runner.start(busy)
    // From before the first look until after the second: what delays a look does not count as use.
    const started = performance.now()
    const first = await runner.usage(busy.id)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const second = await runner.usage(busy.id)
    const seconds = (performance.now() - started) / 1000
    assert.ok(first && second)
    const cores = (second.cpuSeconds - first.cpuSeconds) / seconds
    assert.ok(cores < 0.3, `${String(cores)} cores`)
    assert.equal(second.memoryLimitBytes, 64 * MEBIBYTE)
    await runner.remove(busy.id)
  })

  it('refuses images and commands that would lead out', async () => {
    const { runner, image } = harness
    for (const workingDir of ['/proc/self/fd/7', '/../proc/1/cwd', 'relative/../../proc']) {
      const spec = sampleSpec({ ...image, workingDir }, ['sleep', '1'])
      await assert.rejects(runner.start(spec), { code: 'INSTANCE_FAILED' }, workingDir)
    }
    for (const user of ['nobody-knows', '70000', '-1', '0:99999999']) {
      const spec = sampleSpec({ ...image, user }, ['sleep', '1'])
      await assert.rejects(runner.start(spec), { code: 'INSTANCE_FAILED' }, user)
    }
    const numbered = sampleSpec({ ...image, user: '1000:1001' }, ['id'])
    await runner.start(numbered)
    await runner.waitForExit(numbered.id)
    await eventually(
      async () =>
        (await loggedLines(harness.logDir, numbered)).some((line) =>
          line.startsWith('uid=1000 gid=1001'),
        ),
      'the user of the image',
    )
    await runner.remove(numbered.id)
  })
})
