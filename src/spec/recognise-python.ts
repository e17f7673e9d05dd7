import { FairwayError } from '../model/errors.ts'
import type { Detector } from './recognise.ts'
import type { SourceView } from './source-view.ts'

const REQUIREMENTS = ['requirements.txt', 'requirements/production.txt', 'requirements/prod.txt']
const MODULES = [
  'wsgi.py',
  'asgi.py',
  'app.py',
  'main.py',
  'server.py',
  'api.py',
  'app/main.py',
  'app/__init__.py',
  'src/main.py',
]

export const recognisePython: Detector = {
  kind: 'python',
  looksFor: `requirements.txt or pyproject.toml with an app in ${MODULES.slice(0, 4).join(', ')}, manage.py or a Procfile`,
  async detect({ view, command }) {
    const requirements = await findRequirements(view)
    const paths = new Set(view.paths())
    const hasCode = paths.has('manage.py') || MODULES.some((path) => paths.has(path))
    if (requirements.length === 0 && !hasCode) return null
    const manifest =
      requirements[0] === '.'
        ? 'pyproject.toml'
        : (requirements[0] ?? 'Python without dependencies')
    if (command !== null) {
      const python = /^(?:python|gunicorn|uvicorn|flask|hypercorn|waitress)/.test(command[0] ?? '')
      if (requirements.length === 0 && !python) return null
      return { plan: { kind: 'python', requirements, command }, evidence: manifest }
    }
    const app = await findApp(view)
    if (app === null) return nothingToStart(requirements, view)
    const dependencies = await dependencyText(view, requirements)
    return {
      plan: { kind: 'python', requirements, command: serverCommand(app, dependencies) },
      evidence: `${manifest}, ${app.framework} app ${app.target}`,
    }
  },
}

async function findRequirements(view: SourceView): Promise<readonly string[]> {
  const paths = new Set(view.paths())
  const file = REQUIREMENTS.find((path) => paths.has(path))
  if (file !== undefined) return [file]
  const project = await view.readText('pyproject.toml')
  return project !== null && /^\[(?:project|tool\.poetry)\]/m.test(project) ? ['.'] : []
}

function nothingToStart(requirements: readonly string[], view: SourceView): null {
  const paths = view.paths()
  const other = paths.includes('package.json') || paths.some((path) => path.endsWith('.jar'))
  if (requirements.length === 0 || other) return null
  throw new FairwayError(
    'UNRECOGNISED_SOURCE',
    `a Python project (${requirements[0] === '.' ? 'pyproject.toml' : requirements.join(', ')}) without an app to start: looked for Flask, FastAPI, Starlette, Quart, Django or \`application\` in ${MODULES.join(', ')} and manage.py`,
    { hint: 'Say what runs, with a Procfile: "web: gunicorn package.module:app".' },
  )
}

interface PythonApp {
  /** 'app:app' as gunicorn and uvicorn take it. */
  readonly target: string
  readonly framework: string
  readonly protocol: 'wsgi' | 'asgi'
}

const FRAMEWORKS: readonly (readonly [RegExp, string, PythonApp['protocol']])[] = [
  [/^(\w+)(?:\s*:\s*[\w.]+)?\s*=\s*(?:fastapi\.)?FastAPI\(/m, 'FastAPI', 'asgi'],
  [
    /^(\w+)(?:\s*:\s*[\w.]+)?\s*=\s*(?:[\w.]+\.)?(?:Starlette|Litestar|Quart|Sanic)\(/m,
    'ASGI',
    'asgi',
  ],
  [/^(\w+)\s*=\s*get_asgi_application\(/m, 'Django', 'asgi'],
  [/^(\w+)(?:\s*:\s*[\w.]+)?\s*=\s*(?:flask\.)?Flask\(/m, 'Flask', 'wsgi'],
  [
    /^(\w+)\s*=\s*(?:falcon\.App|bottle\.default_app|bottle\.Bottle|Bottle|get_wsgi_application)\(/m,
    'WSGI',
    'wsgi',
  ],
  [/^async\s+def\s+(app|application)\s*\(\s*scope\b/m, 'ASGI', 'asgi'],
  [/^def\s+(app|application)\s*\(\s*environ\b/m, 'WSGI', 'wsgi'],
  [/^(application)\s*=/m, 'WSGI', 'wsgi'],
  [/^from\s+\S+\s+import\s+(?:.*\bas\s+)?(app|application)\s*(?:#.*)?$/m, 'WSGI', 'wsgi'],
]

async function findApp(view: SourceView): Promise<PythonApp | null> {
  const paths = view.paths()
  const django = paths.includes('manage.py') ? await djangoApp(view) : null
  if (django !== null) return django
  for (const path of MODULES.filter((each) => paths.includes(each))) {
    const text = (await view.readText(path)) ?? ''
    for (const [pattern, framework, protocol] of FRAMEWORKS) {
      const name = pattern.exec(text)?.[1]
      if (name === undefined) continue
      const asgi = protocol === 'asgi' || path === 'asgi.py'
      return { target: `${moduleName(path)}:${name}`, framework, protocol: asgi ? 'asgi' : 'wsgi' }
    }
  }
  return null
}

/** The package whose settings manage.py names has wsgi.py beside its settings. */
async function djangoApp(view: SourceView): Promise<PythonApp | null> {
  const manage = (await view.readText('manage.py')) ?? ''
  const settings = /DJANGO_SETTINGS_MODULE['"]\s*,\s*['"]([\w.]+)\.settings/.exec(manage)?.[1]
  const file = view
    .paths()
    .find((path) =>
      settings === undefined
        ? /^[^/]+\/wsgi\.py$/.test(path)
        : path === `${settings.replaceAll('.', '/')}/wsgi.py`,
    )
  if (file === undefined) return null
  return { target: `${moduleName(file)}:application`, framework: 'Django', protocol: 'wsgi' }
}

function moduleName(path: string): string {
  return path
    .replace(/\.py$/, '')
    .replace(/\/__init__$/, '')
    .replaceAll('/', '.')
}

async function dependencyText(view: SourceView, requirements: readonly string[]): Promise<string> {
  const files = requirements.map((file) => (file === '.' ? 'pyproject.toml' : file))
  const texts = await Promise.all(files.map((file) => view.readText(file)))
  return texts.join('\n').toLowerCase()
}

/** The server that the app itself depends on; for WSGI, Python's own where it has none. */
function serverCommand(app: PythonApp, dependencies: string): readonly string[] {
  const has = (name: string): boolean =>
    new RegExp(`(?:^|["'\\s])${name}(?![\\w-])`, 'm').test(dependencies)
  const bind = '0.0.0.0:$PORT'
  if (app.protocol === 'asgi') {
    if (has('uvicorn') || has('fastapi\\[standard\\]') || has('fastapi\\[all\\]'))
      return ['python3', '-m', 'uvicorn', app.target, '--host', '0.0.0.0', '--port', '$PORT']
    if (has('hypercorn')) return ['python3', '-m', 'hypercorn', app.target, '--bind', bind]
    throw new FairwayError(
      'UNRECOGNISED_SOURCE',
      `${app.target} is an ASGI app, and neither uvicorn nor hypercorn is among its dependencies`,
      { hint: 'Add a line "uvicorn" to requirements.txt.' },
    )
  }
  if (has('gunicorn')) return ['python3', '-m', 'gunicorn', app.target, '--bind', bind]
  if (has('waitress')) return ['python3', '-m', 'waitress', '--listen', bind, app.target]
  return ['python3', '-c', WSGIREF, app.target, '$PORT']
}

/** Threads, so that one slow request does not hold up the others. */
const WSGIREF = [
  'import importlib, socketserver, sys',
  'from wsgiref.simple_server import WSGIServer, make_server',
  'class Server(socketserver.ThreadingMixIn, WSGIServer): daemon_threads = True',
  "sys.path.insert(0, '')",
  "module, name = sys.argv[1].split(':')",
  'app = getattr(importlib.import_module(module), name)',
  "make_server('0.0.0.0', int(sys.argv[2]), app, server_class=Server).serve_forever()",
].join('\n')
