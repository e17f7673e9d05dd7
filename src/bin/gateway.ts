/** First address of the instances' subnet: where they find DNS and other apps. */
export function gatewayOf(subnet: string): string {
  const [network = ''] = subnet.split('/')
  const parts = network.split('.')
  return [...parts.slice(0, 3), String(Number(parts[3] ?? 0) + 1)].join('.')
}
