import type { Recognition } from '../model/build-plan.ts'

/** The file that `fairway init` writes: what was recognised, as a short valid app file with comments. */
export function writeAppFile(recognition: Recognition, name: string): string {
  const { plan, evidence, processes = {}, env = {} } = recognition
  const command = 'command' in plan ? plan.command : null
  const lines = [
    `# ${oneLine(evidence)}. Every key is described in docs/app-file.md.`,
    'version: 1',
    `name: ${inline(name)}`,
  ]
  if (plan.kind === 'image') lines.push(`build: { image: ${inline(plan.reference)} }`)
  if (Object.keys(env).length > 0)
    lines.push(
      'env:',
      ...Object.entries(env).map(([key, value]) => `  ${inline(key)}: ${inline(value)}`),
    )
  lines.push('processes:', '  web:')
  if (command !== null) lines.push(`    command: ${inline(command)}`)
  lines.push(
    '    # port: 8080              # default: the app reads PORT',
    '    health: {}                # ready: /healthz asks a path instead of connecting',
    '    resources: { cpu: 1, memory: 512Mi }',
    '    scale: { min: 1 }',
  )
  for (const [process, argv] of Object.entries(processes))
    lines.push(`  ${inline(process)}:`, `    command: ${inline(argv)}`)
  lines.push(
    '# release: { command: …, timeout: 10m }   # runs once per deploy, before the new version starts',
    '',
  )
  return lines.join('\n')
}

/** JSON is YAML; what is certainly a text needs no quotes. */
function inline(value: string | readonly string[]): string {
  return typeof value === 'string' ? scalar(value) : `[${value.map(scalar).join(', ')}]`
}

function scalar(value: string): string {
  const plain = /^[A-Za-z./][\w./@+-]*$/.test(value) && !/^(?:true|false|null)$|^\.\d/i.test(value)
  return plain && !value.startsWith('.inf') && !value.startsWith('.nan')
    ? value
    : JSON.stringify(value)
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ')
}
