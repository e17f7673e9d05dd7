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
import { fingerprintOf } from './plan-platform-settings.ts'

export const REGISTRY = 'fairway-registry'
export const REGISTRY_PORT = 5000
export const REGISTRY_USER = 'fairway'

/**
 * A registry on a disk of its own, for apps' images: they outlive every server, and the nodes pull from it whichever server is active. Nodes reach it at their
 * own loopback, port `nodePort`, where container runtimes need no certificate.
 */
export function planPlatformRegistry(
  plan: PlatformPlan,
  own: { readonly nodePort: number; readonly password: string; readonly pullPassword: string },
): readonly KubeObject[] {
  const port = { name: 'registry', port: REGISTRY_PORT, targetPort: 'registry', protocol: 'TCP' }
  return [
    object(plan, 'v1', 'Secret', REGISTRY, {
      type: 'Opaque',
      data: {
        FAIRWAY_REGISTRY_PASSWORD: base64(own.password),
        FAIRWAY_REGISTRY_PULL_PASSWORD: base64(own.pullPassword),
      },
    }),
    object(plan, 'networking.k8s.io/v1', 'NetworkPolicy', REGISTRY, {
      spec: {
        podSelector: { matchLabels: selector('registry') },
        policyTypes: ['Ingress', 'Egress'],
        // Nodes have addresses that nobody knows here; who asks must know the password.
        ingress: [{ ports: [{ protocol: 'TCP', port: REGISTRY_PORT }] }],
        egress: [],
      },
    }),
    object(plan, 'v1', 'Service', REGISTRY, {
      spec: {
        type: 'NodePort',
        selector: selector('registry'),
        ports: [{ ...port, nodePort: own.nodePort }],
      },
    }),
    object(plan, 'apps/v1', 'StatefulSet', REGISTRY, {
      spec: {
        replicas: 1,
        serviceName: REGISTRY,
        selector: { matchLabels: selector('registry') },
        template: {
          metadata: {
            labels: { ...platformLabels(plan), ...selector('registry') },
            // What a container is told only at its start.
            annotations: {
              'fairway/settings': fingerprintOf(plan, [own.password, own.pullPassword]),
            },
          },
          spec: {
            ...podBasics(plan, 'registry'),
            terminationGracePeriodSeconds: 30,
            containers: [container(plan)],
            volumes: [{ name: 'tmp', emptyDir: { sizeLimit: '1Gi' } }],
          },
        },
        volumeClaimTemplates: [
          {
            metadata: { name: 'images' },
            spec: {
              accessModes: ['ReadWriteOnce'],
              resources: { requests: { storage: '20Gi' } },
            },
          },
        ],
      },
    }),
  ]
}

// Private

function container(plan: PlatformPlan): unknown {
  return {
    name: 'registry',
    image: plan.image,
    imagePullPolicy: 'IfNotPresent',
    command: ['node', 'src/bin/registry.ts'],
    ports: [{ name: 'registry', containerPort: REGISTRY_PORT, protocol: 'TCP' }],
    env: [
      { name: 'FAIRWAY_API_HOST', value: '0.0.0.0' },
      { name: 'FAIRWAY_API_PORT', value: String(REGISTRY_PORT) },
      { name: 'FAIRWAY_DATA_DIR', value: '/var/lib/fairway/data' },
      { name: 'NODE_COMPILE_CACHE', value: '/tmp/compile' },
    ],
    envFrom: [{ secretRef: { name: REGISTRY } }],
    resources: {
      requests: { cpu: '50m', memory: '96Mi' },
      limits: { cpu: '1', memory: '512Mi', 'ephemeral-storage': '2Gi' },
    },
    securityContext: CONTAINER_SECURITY_CONTEXT,
    startupProbe: { tcpSocket: { port: 'registry' }, periodSeconds: 1, failureThreshold: 120 },
    readinessProbe: { tcpSocket: { port: 'registry' }, periodSeconds: 5 },
    livenessProbe: { tcpSocket: { port: 'registry' }, periodSeconds: 10, failureThreshold: 6 },
    volumeMounts: [
      { name: 'images', mountPath: '/var/lib/fairway' },
      { name: 'tmp', mountPath: '/tmp' },
    ],
    terminationMessagePolicy: 'FallbackToLogsOnError',
  }
}
