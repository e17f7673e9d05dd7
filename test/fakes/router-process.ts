/** A router in its own process, for tests that kill or measure it: arguments are its state folder, control socket and HTTP port. */
import { channelToPredecessor, inheritedSockets, startSuccessor } from '../../src/bin/successor.ts'
import { startRouter } from '../../src/router/router.ts'

const [stateDir = '', controlSocket = '', port = '0'] = process.argv.slice(2)
const router = await startRouter({
  stateDir,
  controlSocket,
  http: { host: '127.0.0.1', port: Number(port) },
  limits: { shutdownMs: 10_000 },
  inherited: inheritedSockets(process.argv) ?? new Map(),
  predecessor: channelToPredecessor(),
  startSuccessor,
})
const leave = (): void => void router.close().then(() => process.exit(0))
process.on('SIGTERM', leave)
void router.succeeded.then(leave)
process.stdout.write(`listening ${String(router.addresses.http.port)}\n`)
