import { z } from 'zod'
import { ERRORS } from '../model/errors.ts'
import { BYTES, COMMON_ERRORS, NDJSON, type Endpoint } from './endpoint.ts'
import { ENDPOINTS } from './endpoints.ts'
import { problem } from './problem.ts'

type Json = Record<string, unknown>

/** The OpenAPI 3.1 document of `ENDPOINTS`; docs/api.json is its text. */
export function openApiDocument(): { openapi: string; [key: string]: unknown } {
  return new Document().build()
}

class Document {
  /** Schemas that have an id; everything else stands where it is used. */
  readonly #schemas: Json = {}

  build(): { openapi: string; [key: string]: unknown } {
    const paths = this.#paths()
    this.#schema(problem)
    return {
      openapi: '3.1.0',
      info: {
        title: 'Fairway',
        version: '1',
        description:
          'Answers of type application/x-ndjson hold one JSON value of the schema per line.',
      },
      security: [{ token: [] }],
      paths,
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
        schemas: this.#schemas,
      },
    }
  }

  #paths(): Record<string, Json> {
    const found: Record<string, Json> = {}
    for (const [name, endpoint] of Object.entries(ENDPOINTS)) {
      const path = endpoint.path.replaceAll(/:([a-z]+)/gi, '{$1}')
      const method = endpoint.method.toLowerCase()
      found[path] = { ...found[path], [method]: this.#operation(name, endpoint) }
    }
    return found
  }

  #operation(name: string, endpoint: Endpoint): Json {
    const { summary, action, body, params, query } = endpoint
    return {
      operationId: name,
      summary,
      ...(action === null ? { security: [] } : { 'x-action': action }),
      parameters: [...this.#parameters(params, 'path'), ...this.#parameters(query, 'query')],
      ...(body === null ? {} : { requestBody: { required: true, content: this.#body(body) } }),
      responses: { ...this.#success(endpoint), ...failures(endpoint) },
    }
  }

  #parameters(schema: z.ZodType, where: 'path' | 'query'): Json[] {
    const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input' })
    return Object.entries(properties).map(([name, value]) => ({
      name,
      in: where,
      required: required.includes(name),
      schema: value,
    }))
  }

  #body(body: z.ZodType | typeof BYTES): Json {
    if (body === BYTES) return { [BYTES]: {} }
    return { 'application/json': { schema: this.#schema(body) } }
  }

  #success({ response, stream }: Endpoint): Json {
    if (stream === 'upgrade') return { '101': { description: 'The connection is a WebSocket now' } }
    if (response === null) return { '204': { description: 'Done' } }
    const type = stream === 'ndjson' ? NDJSON : 'application/json'
    const content = { [type]: { schema: this.#schema(response) } }
    return { '200': { description: 'Done', content } }
  }

  /** What is sent: the input side of the schema, so that transforms do not show. */
  #schema(schema: z.ZodType): Json {
    const { $defs = {}, ...rest } = relocated(z.toJSONSchema(schema, { io: 'input' }))
    Object.assign(this.#schemas, $defs)
    delete rest['$schema']
    return rest
  }
}

const REF = { $ref: '#/components/schemas/Problem' }

function failures({ errors, action }: Endpoint): Json {
  const common = COMMON_ERRORS.filter((code) => action !== null || code !== 'UNAUTHENTICATED')
  const byStatus = new Map<number, string[]>()
  for (const code of [...common, ...errors]) {
    const { status } = ERRORS[code]
    byStatus.set(status, [...(byStatus.get(status) ?? []), code])
  }
  const content = { 'application/json': { schema: REF } }
  return Object.fromEntries(
    [...byStatus].map(([status, codes]) => [
      String(status),
      { description: codes.join(', '), content },
    ]),
  )
}

const anyJson = z.looseObject({ $defs: z.record(z.string(), z.unknown()).optional() })

/** References point to the document's components instead of the schema's own `$defs`. */
function relocated(schema: Json): z.output<typeof anyJson> {
  const text = JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/')
  return anyJson.parse(JSON.parse(text))
}
