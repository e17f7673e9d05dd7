import { z } from 'zod'
import { BYTES, COMMON_ERRORS, NDJSON, type Endpoint } from './endpoint.ts'
import { ENDPOINTS } from './endpoints.ts'
import { ERRORS } from '../model/errors.ts'
import { problem } from './problem.ts'

/** The OpenAPI 3.1 document of `ENDPOINTS`; docs/api.json is its text. */
export function openApiDocument(): { openapi: string; [key: string]: unknown } {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Fairway',
      version: '1',
      description:
        'Answers of type application/x-ndjson hold one JSON value of the schema per line.',
    },
    security: [{ token: [] }],
    paths: paths(),
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: jsonSchema(problem) },
    },
  }
}

function paths(): Record<string, Record<string, unknown>> {
  const found: Record<string, Record<string, unknown>> = {}
  for (const [name, endpoint] of Object.entries(ENDPOINTS)) {
    const path = endpoint.path.replaceAll(/:([a-z]+)/gi, '{$1}')
    found[path] = { ...found[path], [endpoint.method.toLowerCase()]: operation(name, endpoint) }
  }
  return found
}

function operation(name: string, endpoint: Endpoint): Record<string, unknown> {
  const { summary, action, body } = endpoint
  return {
    operationId: name,
    summary,
    ...(action === null ? { security: [] } : { 'x-action': action }),
    parameters: [...parameters(endpoint.params, 'path'), ...parameters(endpoint.query, 'query')],
    ...(body === null ? {} : { requestBody: { required: true, content: bodyContent(body) } }),
    responses: { ...success(endpoint), ...failures(endpoint) },
  }
}

function bodyContent(body: z.ZodType | typeof BYTES): Record<string, unknown> {
  return body === BYTES ? { [BYTES]: {} } : { 'application/json': { schema: jsonSchema(body) } }
}

function success({ response, stream }: Endpoint): Record<string, unknown> {
  if (stream === 'upgrade') return { '101': { description: 'The connection is a WebSocket now' } }
  if (response === null) return { '204': { description: 'Done' } }
  const type = stream === 'ndjson' ? NDJSON : 'application/json'
  return { '200': { description: 'Done', content: { [type]: { schema: jsonSchema(response) } } } }
}

function failures({ errors, action }: Endpoint): Record<string, unknown> {
  const common = COMMON_ERRORS.filter((code) => action !== null || code !== 'FORBIDDEN')
  const byStatus = new Map<number, string[]>()
  for (const code of [...common, ...errors]) {
    const { status } = ERRORS[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  const content = { 'application/json': { schema: { $ref: '#/components/schemas/Problem' } } }
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      String(status),
      { description: codes.join(', '), content },
    ]),
  )
}

function parameters(schema: z.ZodType, where: 'path' | 'query'): Record<string, unknown>[] {
  const { properties = {}, required = [] } = jsonSchema(schema)
  return Object.entries(properties).map(([name, value]) => ({
    name,
    in: where,
    required: required.includes(name),
    schema: value,
  }))
}

/** What is sent: the input side of the schema, so that transforms do not show. */
function jsonSchema(schema: z.ZodType): z.core.JSONSchema.BaseSchema {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io: 'input' })
  return $schema === undefined ? rest : rest
}
