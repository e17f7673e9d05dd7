import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Log } from '../lib/log.ts'
import { PAGE_HEADERS, pageHtml, type PlainPage } from '../lib/plain-page.ts'
import type { Audit } from '../model/audit.ts'
import type { FairwayError } from '../model/errors.ts'
import type { Login } from '../model/login.ts'
import { eventOf } from './call-audit.ts'
import { logFailure, toFairwayError } from './problem.ts'

export interface LoginPagesOptions {
  readonly login: Login
  /** Browsers reach this server by https: cookies are sent no other way. */
  readonly secure: boolean
  readonly log: Log
  readonly audit: Audit
}

export const LOGIN_PATH = '/oidc/login/:login'
export const CALLBACK_PATH = '/oidc/callback'
/** What a claim link leads to where somebody opens it in a browser. The code stands after `#`, which no browser sends. */
export const CLAIM_PATH = '/claim'

const CLAIM_PAGE: PlainPage = {
  title: 'Claim this server',
  paragraphs: [
    'This link is for the command line. Copy the whole address of this page, also what stands after #, and type on your machine:',
    "`fairway login 'ADDRESS'`",
    'It works once, for whoever is first: that person is the admin of this server.',
  ],
}

const COOKIE_SECONDS = 600
const LOGIN_ID = /^[0-9A-Za-z]{16}$/

/**
 * What the browser of somebody who logs in is shown: our page, from which a click leads to the provider, and the way back from there. A cookie
 * ties both to one browser, and the click makes sure that a person saw the code of the program that asks.
 */
export function mountLoginPages(app: FastifyInstance, options: LoginPagesOptions): void {
  app.register((scope, _, done) => {
    scope.setErrorHandler((error, request, reply) => sendFailure(error, request, reply, options))
    scope.get<{ Params: { login: string } }>(LOGIN_PATH, async ({ params }, reply) => {
      const { login } = params
      const { url, binding, code, client, provider } = await options.login.openPage(login)
      reply.header('set-cookie', cookie(login, binding, COOKIE_SECONDS, options))
      return await sendPage(reply, 200, {
        title: 'Log in',
        paragraphs: [
          `The command line on ${client} asks for access in your name. Go on only if you began this yourself and it shows the same code:`,
        ],
        code,
        link: { text: `Continue to ${provider}`, url },
      })
    })
    scope.get(CLAIM_PATH, async (_, reply) => await sendPage(reply, 200, CLAIM_PAGE))
    scope.get(CALLBACK_PATH, async (request, reply) => {
      const query = /\?(.*)$/s.exec(request.url)?.[1] ?? ''
      const target = await options.login.finish(query, (login) =>
        cookieIn(request.headers.cookie, cookieName(login, options)),
      )
      const [login = ''] = new URLSearchParams(query).get('state')?.split('.') ?? []
      if (LOGIN_ID.test(login)) reply.header('set-cookie', cookie(login, '', 0, options))
      return await reply.headers(PAGE_HEADERS).redirect(target, 303)
    })
    done()
  })
}

function sendFailure(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  { log, audit }: LoginPagesOptions,
): FastifyReply {
  const problem = toFairwayError(error, request.id)
  logFailure(log, problem, request)
  if (request.routeOptions.url === CALLBACK_PATH && problem.status < 500) {
    void audit.note({
      ...eventOf(request, null),
      action: 'session:login',
      outcome: 'denied',
      app: null,
      environment: null,
      reason: problem.message,
    })
  }
  return sendPage(reply, problem.status, failurePage(problem))
}

function failurePage({ message, hint }: FairwayError): PlainPage {
  const sentence = `${message.charAt(0).toUpperCase()}${message.slice(1)}.`
  return {
    title: 'Not logged in',
    paragraphs: [sentence, hint],
    tone: 'bad',
  }
}

function sendPage(reply: FastifyReply, status: number, page: PlainPage): FastifyReply {
  return reply.code(status).headers(PAGE_HEADERS).send(pageHtml(page))
}

/** `__Host-`: set by this host alone, for all of it, over https (RFC 6265bis, section 4.1.3.2). One per login, so that two may be under way. */
function cookieName(login: string, { secure }: LoginPagesOptions): string {
  return `${secure ? '__Host-' : ''}fairway-login-${login}`
}

function cookie(login: string, value: string, seconds: number, options: LoginPagesOptions): string {
  const secure = options.secure ? '; Secure' : ''
  // Lax: the provider sends the browser here from another site, by a plain navigation.
  return `${cookieName(login, options)}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`
}

function cookieIn(header: string | undefined, name: string): string | undefined {
  for (const pair of (header ?? '').split(';')) {
    const [key = '', value] = pair.trim().split('=')
    if (key === name) return value
  }
  return undefined
}
