/**
 * Serves a baked site: `node static-server.mjs site.json SITE_FOLDER`. Plain JavaScript of Node alone, because it runs inside images and
 * on the host's own Node. What exists, with types and ETags, stands in site.json: files have no useful times in an image, and
 * nothing outside of that table can be asked for.
 */
import { createReadStream, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'

const [table = 'site.json', folder = 'site'] = process.argv.slice(2)
/** @type {Map<string, { type: string, size: number, etag: string }>} URL path -> file */
const files = new Map(Object.entries(JSON.parse(readFileSync(table, 'utf8'))))

const server = createServer((request, response) => {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    say(response, 405, 'Only GET and HEAD are possible here.\n', { Allow: 'GET, HEAD' })
    return
  }
  const [rawPath = '/', query] = (request.url ?? '/').split('?', 2)
  const path = decoded(rawPath)
  if (path === null) say(response, 400, 'The path is not valid.\n')
  else answer(request, response, path, query === undefined ? '' : `?${query}`)
})

server.listen(
  { port: Number(process.env.PORT ?? 8080), host: process.env.HOST ?? undefined },
  () => {
    const address = server.address()
    const port = typeof address === 'object' && address !== null ? address.port : address
    console.log(`serving ${files.size} files on port ${port}`)
  },
)

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, () => {
    server.close(() => process.exit(0))
    server.closeIdleConnections()
  })
}

function answer(request, response, path, query) {
  for (const name of [path, `${path}.html`, `${path}index.html`]) {
    if (name.endsWith('/') || (name !== path && name === `${path}.html` && path.endsWith('/')))
      continue
    if (name.endsWith('/index.html') && !path.endsWith('/') && name !== path) continue
    if (files.has(name)) return send(request, response, name, 200)
  }
  if (!path.endsWith('/') && files.has(`${path}/index.html`)) {
    // Relative links of a page in a folder only work below the folder's own address.
    const to = encodeURI(path).replace(/[?#]/g, encodeURIComponent)
    say(response, 308, '', { Location: `${to}/${query}` })
    return
  }
  if (files.has('/200.html')) return send(request, response, '/200.html', 200)
  if (files.has('/404.html')) return send(request, response, '/404.html', 404)
  say(response, 404, 'There is no such page.\n')
}

function send(request, response, name, status) {
  const { chosen, encoding } = variant(name, String(request.headers['accept-encoding'] ?? ''))
  const { size, etag } = files.get(chosen)
  const headers = {
    'Content-Type': files.get(name).type,
    ETag: etag,
    'Cache-Control': 'no-cache',
    'X-Content-Type-Options': 'nosniff',
    'Accept-Ranges': 'bytes',
    ...(files.has(`${name}.br`) || files.has(`${name}.gz`) ? { Vary: 'Accept-Encoding' } : {}),
    ...(encoding === null ? {} : { 'Content-Encoding': encoding }),
  }
  if (status === 200 && matches(String(request.headers['if-none-match'] ?? ''), etag)) {
    response.writeHead(304, headers).end()
    return
  }
  const part = status === 200 ? range(request, size, etag) : null
  if (part === 'unsatisfiable') {
    say(response, 416, '', { 'Content-Range': `bytes */${size}` })
    return
  }
  const { start, end } = part ?? { start: 0, end: size - 1 }
  response.writeHead(part === null ? status : 206, {
    ...headers,
    'Content-Length': end - start + 1,
    ...(part === null ? {} : { 'Content-Range': `bytes ${start}-${end}/${size}` }),
  })
  if (request.method === 'HEAD' || size === 0) response.end()
  else {
    const body = createReadStream(join(folder, chosen), { start, end })
    body.on('error', (error) => response.destroy(error))
    response.on('close', () => body.destroy())
    body.pipe(response)
  }
}

/** The compressed file beside `name` that the client takes. */
function variant(name, accept) {
  for (const [encoding, extension] of [
    ['br', '.br'],
    ['gzip', '.gz'],
  ]) {
    const asked = new RegExp(`(?:^|,)\\s*${encoding}\\s*(?:;\\s*q=([0-9.]+))?\\s*(?:,|$)`).exec(
      accept,
    )
    if (asked !== null && Number(asked[1] ?? 1) > 0 && files.has(name + extension)) {
      return { chosen: name + extension, encoding }
    }
  }
  return { chosen: name, encoding: null }
}

/** RFC 9110 13.1.2: weak comparison, a list or '*'. */
function matches(header, etag) {
  return header
    .split(',')
    .some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === etag)
}

/** RFC 9110 14.2: one range of bytes; anything else is answered with the whole file. */
function range(request, size, etag) {
  const found = /^bytes=(\d*)-(\d*)$/.exec(String(request.headers.range ?? ''))
  if (found === null || (found[1] === '' && found[2] === '')) return null
  const condition = request.headers['if-range']
  if (condition !== undefined && condition !== etag) return null
  const suffix = found[1] === ''
  const start = suffix ? Math.max(0, size - Number(found[2])) : Number(found[1])
  const end = suffix || found[2] === '' ? size - 1 : Math.min(Number(found[2]), size - 1)
  if (!suffix && found[2] !== '' && Number(found[2]) < start) return null
  if (start >= size || (suffix && Number(found[2]) === 0)) return 'unsatisfiable'
  return { start, end }
}

function decoded(path) {
  try {
    const text = decodeURIComponent(path).normalize()
    return text.startsWith('/') && !text.includes('\0') ? text : null
  } catch {
    return null
  }
}

function say(response, status, text, headers = {}) {
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
    ...headers,
  })
  response.end(response.req.method === 'HEAD' ? undefined : text)
}
