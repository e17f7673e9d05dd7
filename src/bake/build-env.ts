import type { SandboxRequest } from '../model/sandbox.ts'
import type { BakeJob } from './bake-job.ts'
import { seenAt } from './build-step.ts'

/** Where Debian's programs look for the certificates that they trust. */
const CA_BUNDLE = '/etc/ssl/certs/ca-certificates.crt'

/** The host's CA bundle inside a build step: a company's mirror is often behind its own authority. */
export function caFiles(job: BakeJob): SandboxRequest['readOnly'] {
  const { caBundle } = job.kitchen.sources
  if (caBundle === null || job.kitchen.sandbox.flavour === 'host') return []
  return [{ file: caBundle, mount: CA_BUNDLE }]
}

/** Environment of every build step: package sources, CA bundle, home, locale. No credentials. */
export function buildEnv(job: BakeJob, home: string): Record<string, string> {
  const { caBundle, env } = job.kitchen.sources
  const bundle = caBundle === null ? null : seenAt(job, caBundle, CA_BUNDLE)
  return {
    ...env,
    ...(bundle === null
      ? {}
      : {
          npm_config_cafile: bundle,
          NODE_EXTRA_CA_CERTS: bundle,
          PIP_CERT: bundle,
          SSL_CERT_FILE: bundle,
        }),
    CI: 'true',
    HOME: home,
    LANG: 'C.UTF-8',
  }
}
