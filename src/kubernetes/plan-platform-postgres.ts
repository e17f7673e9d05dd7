import type { KubeObject } from './object.ts'
import {
  CONTAINER_SECURITY_CONTEXT,
  base64,
  object,
  platformLabels,
  podBasics,
  selector,
  type PlatformPlan,
} from './plan-platform.ts'

export const POSTGRES = 'fairway-postgres'
const PORT = 5432
const DISK = '/var/lib/postgresql'
const PASSWORD_FILE = '/etc/fairway-postgres/password'

/** URL of the database that `planPlatformPostgres` makes, as its namespace reaches it. */
export function ownDatabaseUrl(password: string): string {
  return `postgres://fairway:${password}@${POSTGRES}:${String(PORT)}/postgres`
}

/** One PostgreSQL on one disk: while it moves to another node nothing is decided; apps go on. Nobody else can reach it. */
export function planPlatformPostgres(
  plan: PlatformPlan,
  own: { readonly image: string; readonly password: string },
): readonly KubeObject[] {
  return [
    object(plan, 'v1', 'Secret', POSTGRES, {
      type: 'Opaque',
      data: { password: base64(own.password) },
    }),
    object(plan, 'networking.k8s.io/v1', 'NetworkPolicy', POSTGRES, {
      spec: {
        podSelector: { matchLabels: selector('postgres') },
        policyTypes: ['Ingress', 'Egress'],
        ingress: [
          {
            from: [{ podSelector: { matchLabels: selector('server') } }],
            ports: [{ protocol: 'TCP', port: PORT }],
          },
        ],
        egress: [],
      },
    }),
    object(plan, 'v1', 'Service', POSTGRES, {
      spec: {
        selector: selector('postgres'),
        ports: [{ name: 'postgres', port: PORT, targetPort: 'postgres', protocol: 'TCP' }],
      },
    }),
    object(plan, 'apps/v1', 'StatefulSet', POSTGRES, {
      spec: {
        replicas: 1,
        serviceName: POSTGRES,
        selector: { matchLabels: selector('postgres') },
        template: {
          metadata: { labels: { ...platformLabels(plan), ...selector('postgres') } },
          spec: {
            ...podBasics(plan, 'postgres'),
            terminationGracePeriodSeconds: 60,
            containers: [container(own.image)],
            volumes: [
              { name: 'password', secret: { secretName: POSTGRES, defaultMode: 0o440 } },
              { name: 'tmp', emptyDir: { sizeLimit: '1Gi' } },
              { name: 'shm', emptyDir: { medium: 'Memory', sizeLimit: '64Mi' } },
            ],
          },
        },
        volumeClaimTemplates: [
          {
            metadata: { name: 'disk' },
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '10Gi' } } },
          },
        ],
      },
    }),
  ]
}

// Private

/**
 * Makes the database once. A folder counts from when `<folder>.ok` is beside it: one that initdb was killed in is left, and the next number is taken. Only what the shell
 * itself can do is used, for the image has no other programs.
 */
const START = `n=1
while [ -e "$DISK/$n" ] && [ ! -e "$DISK/$n.ok" ]; do n=$((n + 1)); done
if [ ! -e "$DISK/$n.ok" ]; then
  initdb -D "$DISK/$n" -U fairway --encoding=UTF8 --locale=C --auth=scram-sha-256 --pwfile="$PASSWORD_FILE"
  echo 'host all all all scram-sha-256' >> "$DISK/$n/pg_hba.conf"
  : > "$DISK/$n.ok"
fi
exec postgres -D "$DISK/$n" -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections=50 -c shared_buffers=32MB -c jit=off`

function container(image: string): unknown {
  return {
    name: 'postgres',
    image,
    imagePullPolicy: 'IfNotPresent',
    // Kubernetes fills in $(NAME): $$ is a plain $.
    command: ['sh', '-ec', START.replaceAll('$', '$$$$')],
    env: [
      { name: 'DISK', value: DISK },
      { name: 'PASSWORD_FILE', value: PASSWORD_FILE },
    ],
    ports: [{ name: 'postgres', containerPort: PORT, protocol: 'TCP' }],
    resources: {
      requests: { cpu: '50m', memory: '96Mi' },
      limits: { cpu: '1', memory: '512Mi', 'ephemeral-storage': '2Gi' },
    },
    securityContext: CONTAINER_SECURITY_CONTEXT,
    startupProbe: { ...ready(), periodSeconds: 1, failureThreshold: 120 },
    readinessProbe: { ...ready(), periodSeconds: 5 },
    livenessProbe: {
      tcpSocket: { port: 'postgres' },
      periodSeconds: 10,
      failureThreshold: 6,
    },
    volumeMounts: [
      { name: 'disk', mountPath: DISK },
      { name: 'password', mountPath: '/etc/fairway-postgres', readOnly: true },
      { name: 'tmp', mountPath: '/tmp' },
      { name: 'shm', mountPath: '/dev/shm' },
    ],
    terminationMessagePolicy: 'FallbackToLogsOnError',
  }
}

function ready(): Readonly<Record<string, unknown>> {
  return { exec: { command: ['pg_isready', '-h', '/tmp', '-U', 'fairway'] }, timeoutSeconds: 5 }
}
