import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { ENDPOINTS, type EndpointName, type Endpoints } from '../contract/endpoints.ts'
import type { Endpoint } from '../contract/endpoint.ts'
import { FairwayError } from '../model/errors.ts'
import type { AuditFacts } from '../model/audit.ts'
import type { Action, Decision, Subject } from '../model/identity.ts'
import type { ExecRequest, ExecSession } from '../model/runner.ts'
import { factsOf } from './audit-facts.ts'
import { parseInput } from './input.ts'

/** A request after all checks. */
export interface Call<N extends EndpointName> {
  readonly params: z.output<Endpoints[N]['params']>
  readonly query: z.output<Endpoints[N]['query']>
  readonly body: ParsedBody<N>
  /** @throws FairwayError INTERNAL on an endpoint that is open to anybody */
  readonly subject: () => Subject
  /**
   * May the subject do this too, to the app of the path? A yes is recorded as used, as the audit's rules say.
   * @throws FairwayError AUDIT_UNAVAILABLE where it must be recorded and cannot
   */
  readonly decide: (action: Action) => Promise<Decision>
  /** Aborts when the client is gone or the server closes: ends what observes, never a rollout. */
  readonly signal: AbortSignal
  readonly request: FastifyRequest
}

type ParsedBody<N extends EndpointName> = Endpoints[N]['body'] extends z.ZodType
  ? z.output<Endpoints[N]['body']>
  : null

/** What the contract takes as an answer: the input side of its schema. */
type Answer<N extends EndpointName> = Endpoints[N]['response'] extends z.ZodType
  ? z.input<Endpoints[N]['response']>
  : // eslint-disable-next-line @typescript-eslint/no-invalid-void-type -- an answer of 204 is a handler that returns nothing
    void

/** What an upgrade endpoint answers with: called once the client has said what to run. */
export type ExecOpener = (request: ExecRequest) => Promise<ExecSession>

type Result<N extends EndpointName> = Endpoints[N]['stream'] extends 'ndjson'
  ? AsyncIterable<Answer<N>>
  : Endpoints[N]['stream'] extends 'upgrade'
    ? ExecOpener
    : Answer<N>

export interface RawCall {
  readonly request: FastifyRequest
  readonly subject: Subject | null
  readonly signal: AbortSignal
  readonly decide: (action: Action) => Promise<Decision>
  /** Called once the inputs are parsed, before anything is done. */
  readonly begin: (facts: AuditFacts) => Promise<void>
}

/** One endpoint with what answers it. */
export interface Route {
  readonly name: EndpointName
  readonly endpoint: Endpoint
  /** Parses, then answers: a JSON value, undefined for 204, an AsyncIterable of lines, or an ExecOpener. */
  readonly handle: (call: RawCall) => Promise<unknown>
}

/** Every endpoint of the table; a missing one is a type error. */
export type Routes = { readonly [N in EndpointName]: Route & { readonly name: N } }

/**
 * Binds a handler to its endpoint: what it is given and what it must answer with follow from the contract.
 * @param known what the audit is told beside the inputs' facts: of something that goes, what it was
 */
export function route<N extends EndpointName>(
  name: N,
  handler: (call: Call<N>) => Promise<Result<N>>,
  known?: (call: Pick<Call<N>, 'params' | 'subject'>) => Promise<AuditFacts>,
): Route & { readonly name: N } {
  const endpoint: Endpoints[N] = ENDPOINTS[name]
  return {
    name,
    endpoint,
    handle: async ({ request, subject, signal, decide, begin }) => {
      const inputs = {
        params: parseText(name, 'params', request.params),
        query: parseText(name, 'query', request.query),
        body: parseBody(name, request.body),
      }
      const by = (): Subject => {
        if (subject !== null) return subject
        throw new FairwayError('INTERNAL', `${name} has no subject`)
      }
      const more = await known?.({ params: inputs.params, subject: by })
      await begin({ ...factsOf(name, inputs), ...more })
      return await handler({
        ...inputs,
        subject: by,
        decide,
        signal,
        request,
      })
    },
  }
}

/** Parser boundary: the schema that the type is made from has judged the value. */
function parseText<N extends EndpointName, P extends 'params' | 'query'>(
  name: N,
  part: P,
  value: unknown,
): z.output<Endpoints[N][P]> {
  const schema: z.ZodType = ENDPOINTS[name][part]
  return parseInput(schema, value, part === 'params' ? 'path' : part) as z.output<Endpoints[N][P]>
}

/** Parser boundary, as above. */
function parseBody<N extends EndpointName>(name: N, body: unknown): ParsedBody<N> {
  const schema: unknown = ENDPOINTS[name].body
  const parsed = schema instanceof z.ZodType ? parseInput(schema, body, 'body') : null
  return parsed as ParsedBody<N>
}
