/** A browser without a window: cookies, redirects, links and forms. */
export interface Page {
  readonly url: string
  readonly status: number
  readonly headers: Headers
  readonly html: string
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

export class ScriptedBrowser {
  /** By host without port, as browsers keep them; then by path and name. */
  readonly cookies = new Map<string, Map<string, string>>()
  /** Every address that was asked for, in order. */
  readonly visited: string[] = []
  /** Returns true where a redirect to this address must not be followed. */
  stopAt: (url: string) => boolean = () => false

  async open(url: string): Promise<Page> {
    return await this.#request(url, { method: 'GET' })
  }

  /** Follows the only link of the page. */
  async follow(page: Page): Promise<Page> {
    return await this.open(linkOf(page))
  }

  /** Sends the page's form with its hidden fields and these. */
  async submit(page: Page, fields: Readonly<Record<string, string>> = {}): Promise<Page> {
    const form = /<form[^>]*action="([^"]*)"[^>]*>([^]*?)<\/form>/.exec(page.html)
    if (form === null) throw new Error(`no form on ${page.url}: ${page.html}`)
    const body = new URLSearchParams()
    for (const [input] of (form[2] ?? '').matchAll(/<input[^>]*>/g)) {
      const name = /name="([^"]*)"/.exec(input)?.[1]
      const value = /value="([^"]*)"/.exec(input)?.[1]
      if (name !== undefined && value !== undefined) body.set(name, unescaped(value))
    }
    for (const [name, value] of Object.entries(fields)) body.set(name, value)
    const url = new URL(unescaped(form[1] ?? ''), page.url).href
    return await this.#request(url, { method: 'POST', body })
  }

  async #request(
    url: string,
    options: { readonly method: string; readonly body?: URLSearchParams },
  ): Promise<Page> {
    this.visited.push(url)
    const { hostname } = new URL(url)
    const jar = this.cookies.get(hostname) ?? new Map<string, string>()
    this.cookies.set(hostname, jar)
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(url, {
      ...options,
      redirect: 'manual',
      headers: cookie === '' ? {} : { cookie },
    })
    for (const line of response.headers.getSetCookie()) keep(jar, line)
    const html = await response.text()
    const page = { url, status: response.status, headers: response.headers, html }
    const location = response.headers.get('location')
    if (location === null || !REDIRECTS.has(response.status)) return page
    const next = new URL(location, url).href
    return this.stopAt(next) ? page : await this.open(next)
  }
}

/** The address of the only link of a page. */
export function linkOf({ html, url }: Page): string {
  const link = /<a href="([^"]*)"/.exec(html)?.[1]
  if (link === undefined) throw new Error(`no link on ${url}: ${html}`)
  return unescaped(link)
}

function keep(jar: Map<string, string>, line: string): void {
  const [pair = ''] = line.split(';')
  const at = pair.indexOf('=')
  const name = pair.slice(0, at)
  const ends = /max-age=0|expires=thu, 01 jan 1970/i.test(line)
  if (ends) jar.delete(name)
  else jar.set(name, pair.slice(at + 1))
}

function unescaped(text: string): string {
  return text
    .replaceAll('&#39;', "'")
    .replaceAll('&quot;', '"')
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&amp;', '&')
}
