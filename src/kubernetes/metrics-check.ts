import { FairwayError } from '../model/errors.ts'
import { METRICS_CHECK, type HostCheck } from '../model/host.ts'
import type { MetricsSource } from './metrics-source.ts'

/** Whether a target's source of metrics answers with the credentials that it was given. Never throws. */
export async function checkMetrics(
  source: Pick<MetricsSource, 'query' | 'url'>,
): Promise<HostCheck> {
  try {
    await source.query('vector(1)')
    const message = `${source.url} answers: canaries are judged by it`
    return { name: METRICS_CHECK, status: 'ok', message, fix: null }
  } catch (error) {
    if (!(error instanceof FairwayError)) throw error
    return { name: METRICS_CHECK, status: 'fail', message: error.message, fix: error.hint }
  }
}
