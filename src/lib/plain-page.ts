import { createHash } from 'node:crypto'

/** A page of text for a browser: no script, nothing from elsewhere. */
export interface PlainPage {
  readonly title: string
  /** What stands between backticks is shown as what is typed. */
  readonly paragraphs: readonly string[]
  /** Shown large, to be compared with what a terminal shows. */
  readonly code?: string
  readonly link?: { readonly text: string; readonly url: string }
  readonly tone?: 'good' | 'bad'
}

const STYLE = `
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #ffffff; --text: #1c2430; --soft: #556070; --line: #d9dee5; --accent: #1f5fd0; --on: #ffffff; --good: #1b7a3d; --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --ground: #12161c; --card: #1b212a; --text: #e8ecf2; --soft: #a3aebd; --line: #323b48; --accent: #7fb0ff; --on: #0d1a30; --good: #6fd08f; --bad: #ff9a92 }
}
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; min-height: 100dvh; display: grid; place-items: center; padding: 1rem; background: var(--ground); color: var(--text); font: 1rem/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 28rem; padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: .75rem; overflow-wrap: anywhere }
.name { margin: 0 0 1.5rem; color: var(--soft); font-weight: 600; letter-spacing: .02em }
h1 { margin: 0 0 .75rem; font-size: 1.375rem; line-height: 1.3 }
h1.good { color: var(--good) } h1.bad { color: var(--bad) }
p { margin: 0 0 1rem } code { padding: .1em .3em; border: 1px solid var(--line); border-radius: .25rem; font: .9375em/1.4 ui-monospace, monospace } p:last-child { margin-bottom: 0 }
.code { margin: 1.25rem 0; padding: .75rem; border: 1px solid var(--line); border-radius: .5rem; text-align: center; font: 600 1.5rem/1.4 ui-monospace, monospace; letter-spacing: .12em; white-space: nowrap }
a { display: block; margin-top: 1.5rem; padding: .75rem 1rem; border: 1px solid transparent; border-radius: .5rem; background: var(--accent); color: var(--on); font-weight: 600; text-align: center; text-decoration: none }
a:focus-visible { outline: 3px solid var(--text); outline-offset: 2px }
@media (max-width: 24rem) { main { padding: 1.25rem } .code { font-size: 1.25rem } }
`

/** Headers that every such page is sent with: nothing but its own style, in no frame, kept nowhere, and its address goes to nobody. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'cache-control': 'no-store',
  'cross-origin-opener-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}

/** HTML of a page. Every text is escaped; the link must be http or https. @throws TypeError for another link */
export function pageHtml({ title, paragraphs, code, link, tone }: PlainPage): string {
  const tag = tone === undefined ? '<h1>' : `<h1 class="${tone}">`
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<title>${escaped(title)} · Fairway</title><style>${STYLE}</style></head><body><main>`,
    `<p class="name">Fairway</p>${tag}${escaped(title)}</h1>`,
    ...paragraphs.map((text) => `<p>${withCode(escaped(text))}</p>`),
    code === undefined ? '' : `<p class="code">${escaped(code)}</p>`,
    link === undefined ? '' : `<a href="${escaped(webUrl(link.url))}">${escaped(link.text)}</a>`,
    '</main></body></html>\n',
  ].join('\n')
}

function withCode(html: string): string {
  return html.replace(/`([^`]+)`/g, '<code>$1</code>')
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (letter) => ESCAPES[letter] ?? '')
}

function webUrl(text: string): string {
  const { protocol, href } = new URL(text)
  if (protocol === 'https:' || protocol === 'http:') return href
  throw new TypeError('a link must be http or https')
}
