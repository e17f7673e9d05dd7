import { chmodSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { FairwayError } from '../../model/errors.ts'
import { parseEnvironmentName } from '../../model/names.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import {
  credentialOf,
  execCredential,
  execVersion,
  readToken,
  tokenFile,
  type CachedToken,
  type ExecVersion,
} from '../kube-token-cache.ts'
import { singleFlight } from '../single-flight.ts'
import { TARGET_OPTION, targetOf } from '../target-option.ts'

export const kubeToken: Command = {
  name: 'kube-token',
  summary: 'give kubectl a token for one cluster (it calls this itself)',
  usage: '',
  details: [
    'The exec plugin that `fairway kubeconfig` names: prints an ExecCredential of client.authentication.k8s.io, v1 or v1beta1 as KUBERNETES_EXEC_INFO asks. The token is good for five minutes and for this cluster alone; it is cached, readable by you alone, and told to kubectl as ending 45 seconds earlier. Of several kubectl at once one fetches it.',
  ],
  examples: ['fairway kube-token --target prod'],
  options: [TARGET_OPTION],
  positionals: { min: 0, max: 0 },
  run,
}

async function run(context: Context): Promise<number> {
  const { io } = context
  const version = versionOf(io.env['KUBERNETES_EXEC_INFO'])
  const client = context.client()
  const target = targetOf(context)
  const given = context.args.value('env')
  const environment = given === undefined ? null : parseEnvironmentName(given)
  const credential = credentialOf(client.server, io)
  const make = async (): Promise<CachedToken> => client.issueClusterToken(target, { environment })
  // Without a login that has a name nothing says whose the cached token would be.
  const token =
    credential === null
      ? await make()
      : await cached(
          context,
          tokenFile({ server: client.server, target, environment }, credential, io),
          make,
        )
  io.stdout.write(execCredential(version, token))
  return 0
}

async function cached(
  { io }: Context,
  path: string,
  make: () => Promise<CachedToken>,
): Promise<CachedToken> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  chmodSync(dirname(path), 0o700)
  return singleFlight({
    lock: `${path}.lock`,
    clock: io.clock,
    find: () => readToken(path, io.clock.now()),
    make: async () => {
      const token = await make()
      const { writeAtomically } = await import('../../lib/atomic-file.ts')
      // Nothing is lost with it: it need not survive a loss of power.
      await writeAtomically(path, JSON.stringify(token), { mode: 0o600, durable: false })
      return token
    },
  })
}

function versionOf(info: string | undefined): ExecVersion {
  try {
    const version = execVersion(info)
    if (version !== null) return version
  } catch {
    // Not JSON: said below.
  }
  throw new FairwayError(
    'INVALID_REQUEST',
    'KUBERNETES_EXEC_INFO asks in a version that is not known',
    { hint: 'Known are client.authentication.k8s.io/v1 and v1beta1.' },
  )
}
