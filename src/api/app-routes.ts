import { FairwayError } from '../model/errors.ts'
import type { Action, Identity, Subject } from '../model/identity.ts'
import type { AppRef } from '../model/names.ts'
import type { Actor, Platform } from '../model/platform.ts'
import type { Rollout } from '../model/release.ts'
import type { SourceStore } from '../model/source.ts'
import { commandLines } from './command-lines.ts'
import { route, type Call, type Routes } from './route.ts'
import { receiveDeploy } from './source-routes.ts'
import {
  logLineView,
  planView,
  releaseView,
  rolloutEventView,
  rolloutView,
  statusView,
} from './view.ts'

const DEFAULT_LIST = 20
const DEFAULT_LOG_LINES = 100

type AppRoutes = Pick<
  Routes,
  | 'listApps'
  | 'getApp'
  | 'watchApp'
  | 'destroyApp'
  | 'scaleApp'
  | 'getConfig'
  | 'setConfig'
  | 'logs'
  | 'runCommand'
  | 'exec'
  | 'collect'
>
type RolloutRoutes = Pick<
  Routes,
  | 'planApp'
  | 'deployApp'
  | 'rollbackApp'
  | 'judgeRollout'
  | 'listRollouts'
  | 'getRollout'
  | 'rolloutEvents'
  | 'listReleases'
>

export function appRoutes(platform: Platform, identity: Identity): AppRoutes {
  return {
    listApps: route('listApps', async ({ subject }) => {
      const asker = subject()
      const sees = (ref: AppRef): boolean =>
        identity.decide(asker, 'app:read', ref, ref.environment).allowed
      return { apps: (await platform.list(sees)).map(statusView) }
    }),
    getApp: route('getApp', async ({ params }) => statusView(await platform.status(params))),
    watchApp: route('watchApp', ({ params, signal }) =>
      Promise.resolve(mapped(platform.watch(params, signal), statusView)),
    ),
    destroyApp: route('destroyApp', async ({ params, subject }) => {
      await platform.destroy(params, asker(identity, subject(), 'app:destroy', params))
    }),
    scaleApp: route('scaleApp', async ({ params, body, subject }) => {
      const by = asker(identity, subject(), 'app:scale', params)
      const { scale } = await platform.scale(params, body.changes, by)
      return { scale: { ...scale } }
    }),
    getConfig: route('getConfig', async ({ params, decide }) => {
      const { record } = await platform.status(params)
      const may = await decide('config:read')
      return {
        version: record.configVersion,
        names: Object.keys(record.config).sort(),
        values: may.allowed ? { ...record.config } : null,
      }
    }),
    setConfig: route('setConfig', async ({ params, body, subject }) => {
      const by = asker(identity, subject(), 'config:write', params)
      const rollout = await platform.setConfig(params, body.changes, by)
      return { rollout: rollout === null ? null : rolloutView(rollout) }
    }),
    logs: route('logs', ({ params, query, signal }) => {
      const { limit = DEFAULT_LOG_LINES, follow = false, ...rest } = query
      return Promise.resolve(
        mapped(platform.logs(params, { ...rest, limit, follow }, signal), logLineView),
      )
    }),
    runCommand: route('runCommand', ({ params, body, signal }) =>
      Promise.resolve(
        commandLines((onLine, stop) => platform.run(params, body, onLine, stop), signal),
      ),
    ),
    exec: route('exec', ({ params }) =>
      Promise.resolve((request) => platform.exec(params, params.instance, request)),
    ),
    collect: route('collect', () => platform.collect()),
  }
}

export function rolloutRoutes({ platform, sources, identity }: RolloutParts): RolloutRoutes {
  return {
    planApp: route('planApp', async ({ params, body }) =>
      planView(await platform.plan(params, await receiveDeploy(sources, body))),
    ),
    deployApp: route('deployApp', async (call) => {
      const input = await receiveDeploy(sources, call.body)
      const by = asker(identity, call.subject(), 'app:deploy', call.params)
      return follow(platform, call, await platform.deploy(call.params, input, by))
    }),
    rollbackApp: route('rollbackApp', async (call) => {
      const { params, body, subject } = call
      const by = asker(identity, subject(), 'app:rollback', params)
      return follow(platform, call, await platform.rollback(params, body.to, by))
    }),
    judgeRollout: route('judgeRollout', async ({ params, body, subject }) => {
      const { id, name, kind } = subject()
      if (kind !== 'user') {
        throw new FairwayError('FORBIDDEN', 'a service does not approve: only people do', {
          hint: 'Log in, or use a token made with --person.',
        })
      }
      return rolloutView(await platform.judge(params, params.rollout, body.verdict, { id, name }))
    }),
    listRollouts: route('listRollouts', async ({ params, query }) => {
      const rollouts = await platform.rollouts(params, query.limit ?? DEFAULT_LIST)
      return { rollouts: rollouts.map(rolloutView) }
    }),
    getRollout: route('getRollout', async ({ params }) =>
      rolloutView(await platform.rollout(params, params.rollout)),
    ),
    rolloutEvents: route('rolloutEvents', async ({ params, signal }) => {
      await platform.rollout(params, params.rollout)
      return mapped(platform.events(params, params.rollout, signal), rolloutEventView)
    }),
    listReleases: route('listReleases', async ({ params, query }) => {
      const releases = await platform.releases(params, query.limit ?? DEFAULT_LIST)
      return { releases: releases.map(releaseView) }
    }),
  }
}

/** The accepted rollout, then its events. */
async function* follow(
  platform: Platform,
  { params, signal }: Pick<Call<'deployApp'>, 'params' | 'signal'>,
  rollout: Rollout,
) {
  yield { type: 'rollout' as const, rollout: rolloutView(rollout) }
  yield* mapped(platform.events(params, rollout.id, signal), rolloutEventView)
}

interface RolloutParts {
  readonly platform: Platform
  readonly sources: SourceStore
  readonly identity: Identity
}

/** Who asks, and whether what they ask for waits for a second person. */
export function asker(identity: Identity, subject: Subject, action: Action, ref: AppRef): Actor {
  const { id, name } = subject
  return { id, name, waitsMs: identity.waitsMs(subject, action, ref) }
}

async function* mapped<A, B>(items: AsyncIterable<A>, change: (item: A) => B): AsyncGenerator<B> {
  for await (const item of items) yield change(item)
}
