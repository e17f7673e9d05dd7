import type { Installer } from '../model/installer.ts'
import type { Targets } from '../model/targets.ts'
import { route, type Routes } from './route.ts'

type TargetRoutes = Pick<
  Routes,
  | 'listTargets'
  | 'putTarget'
  | 'removeTarget'
  | 'checkTarget'
  | 'installPlatform'
  | 'uninstallPlatform'
>

export function targetRoutes(targets: Targets, installer: Installer): TargetRoutes {
  return {
    listTargets: route('listTargets', async () => ({
      targets: (await targets.list()).map((target) => ({ ...target, apps: [...target.apps] })),
    })),
    putTarget: route('putTarget', async ({ params, body }) => {
      const target = await targets.add({ name: params.target, ...body })
      return { ...target, apps: [...target.apps] }
    }),
    removeTarget: route('removeTarget', ({ params }) => targets.remove(params.target)),
    checkTarget: route('checkTarget', async ({ params }) => ({
      checks: [...(await targets.check(params.target))],
    })),
    installPlatform: route('installPlatform', async ({ params, body, signal }) => {
      const done = await installer.install({ target: params.target, ...body }, signal)
      return { ...done, notes: [...done.notes] }
    }),
    uninstallPlatform: route('uninstallPlatform', async ({ params, body }) => {
      const done = await installer.uninstall({ target: params.target, ...body })
      return { removed: [...done.removed], stays: [...done.stays] }
    }),
  }
}
