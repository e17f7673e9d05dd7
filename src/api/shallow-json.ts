import type { FastifyInstance } from 'fastify'
import { nestsDeeper } from '../lib/json-depth.ts'
import { FairwayError } from '../model/errors.ts'

/** Far more than the contract's own bodies need. */
const MAX_DEPTH = 32

/** Fastify's own parser of JSON bodies, behind a look at how deep the text is nested: parsing costs far more per level than receiving it. */
export function parseShallowJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, bytes, done) => {
    const body = utf8(bytes)
    if (body === null) {
      done(new FairwayError('INVALID_REQUEST', 'the body is not UTF-8'))
      return
    }
    if (!nestsDeeper(body, MAX_DEPTH)) {
      void parse(request, body, done)
      return
    }
    done(new FairwayError('INVALID_REQUEST', `the body is nested deeper than ${MAX_DEPTH} levels`))
  })
}

/** RFC 8259 8.1. Null where it is none: a lenient reader would store another text than was sent. */
function utf8(bytes: string | Buffer): string | null {
  if (typeof bytes === 'string') return bytes
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return null
  }
}
