/** The services that keep keys, on loopback and true to their protocols: AWS KMS and STS, GCP KMS and its token service, Azure Key Vault and its login. */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
  verify,
} from 'node:crypto'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Seen {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

type Answer = readonly [status: number, body: string, type?: string]

/** One HTTP server on loopback that remembers what it was asked. */
export class KeyService {
  readonly seen: Seen[] = []
  readonly #server: Server
  readonly #answer: (request: Seen) => Answer

  constructor(answer: (request: Seen) => Answer) {
    this.#answer = answer
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const seen: Seen = {
          method: request.method ?? '',
          path: request.url ?? '',
          headers: request.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        }
        this.seen.push(seen)
        const [status, body, type = 'application/json'] = this.#answer(seen)
        response.writeHead(status, { 'content-type': type }).end(body)
      })
    })
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this.url
  }

  get url(): string {
    const address = this.#server.address() as AddressInfo
    return `http://127.0.0.1:${address.port}`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** A user of AWS: what the service knows of a key. */
export interface AwsUser {
  readonly secret: string
  readonly token: string | null
}

/** AWS KMS and STS on one address. Signatures are computed again from what arrived (AWS Signature Version 4), contexts authenticate the blob. */
export function awsService(users: Map<string, AwsUser>): KeyService {
  const key = randomBytes(32)
  return new KeyService((request) => {
    const refusal = signatureFault(request, users)
    if (refusal !== null)
      return json(403, { __type: 'InvalidSignatureException', message: refusal })
    if (request.headers['x-amz-target'] === undefined) return assumeRole(request, users)
    const input = record(JSON.parse(request.body))
    const context = JSON.stringify(Object.entries(record(input['EncryptionContext'] ?? {})).sort())
    if (request.headers['x-amz-target'] === 'TrentService.Encrypt') {
      const blob = Buffer.from(
        JSON.stringify([
          input['KeyId'],
          seal(key, Buffer.from(text(input['Plaintext']), 'base64'), context),
        ]),
      )
      return json(200, { CiphertextBlob: blob.toString('base64'), KeyId: input['KeyId'] })
    }
    const [keyId, sealed] = JSON.parse(
      Buffer.from(text(input['CiphertextBlob']), 'base64').toString(),
    ) as [string, string]
    const opened = open(key, sealed, context)
    if (opened === null || (input['KeyId'] !== undefined && input['KeyId'] !== keyId)) {
      return json(400, { __type: 'InvalidCiphertextException', message: 'not of this key' })
    }
    return json(200, { Plaintext: opened.toString('base64'), KeyId: keyId })
  })
}

function assumeRole(request: Seen, users: Map<string, AwsUser>): Answer {
  const form = new URLSearchParams(request.body)
  const role = form.get('RoleArn') ?? ''
  const isAsked = form.get('Action') === 'AssumeRole' && (form.get('RoleSessionName') ?? '') !== ''
  if (!isAsked || !role.startsWith('arn:aws:iam::')) {
    return [
      400,
      '<ErrorResponse><Error><Message>no role</Message></Error></ErrorResponse>',
      'text/xml',
    ]
  }
  const id = `ASIA${randomBytes(8).toString('hex').toUpperCase()}`
  const user = {
    secret: randomBytes(20).toString('base64'),
    token: randomBytes(60).toString('base64'),
  }
  users.set(id, user)
  return [
    200,
    `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>${id}</AccessKeyId><SecretAccessKey>${user.secret}</SecretAccessKey><SessionToken>${user.token}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><Arn>${role}</Arn><AssumedRoleId>x:y</AssumedRoleId></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>`,
    'text/xml',
  ]
}

/** Why a request is not signed by one of the users; null where it is. Written from AWS's description of the signature, not from our signer. */
function signatureFault(request: Seen, users: ReadonlyMap<string, AwsUser>): string | null {
  const { headers } = request
  const form =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8}\/[^/]+\/[^/]+\/aws4_request), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/
  const [, id, scope, names, given] = form.exec(headers.authorization ?? '') ?? []
  const user = users.get(id ?? '')
  if (user === undefined || scope === undefined || names === undefined)
    return 'the security token is invalid'
  const time = String(headers['x-amz-date'])
  if (!time.startsWith(scope.slice(0, 8)) || !names.split(';').includes('host')) return 'scope'
  const sentAt = Date.parse(time.replace(/^(....)(..)(..T..)(..)/, '$1-$2-$3:$4:'))
  if (!(Math.abs(Date.now() - sentAt) < 900_000)) return 'the signature has expired'
  if (user.token !== null && headers['x-amz-security-token'] !== user.token) return 'token'
  const toSign = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(canonical(request, names))}`
  let secret: Buffer = Buffer.from(`AWS4${user.secret}`)
  for (const part of scope.split('/')) secret = createHmac('sha256', secret).update(part).digest()
  const wanted = createHmac('sha256', secret).update(toSign).digest('hex')
  return wanted === given ? null : 'the request signature does not match'
}

function canonical({ method, path, headers, body }: Seen, names: string): string {
  const lines = names
    .split(';')
    .map((name) => `${name}:${String(headers[name]).trim().replaceAll(/ +/g, ' ')}\n`)
    .join('')
  const [pathname = '', query = ''] = path.split('?')
  return `${method}\n${pathname}\n${query}\n${lines}\n${names}\n${sha256(body)}`
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

export interface GoogleAccount {
  readonly publicKey: string
  readonly email: string
}

/** GCP KMS and the token service of one service account: an assertion is checked with its public key before a token is given. */
export function gcpService(account: () => GoogleAccount): KeyService {
  const key = randomBytes(32)
  const tokens = new Set<string>()
  return new KeyService((request) => {
    if (request.path === '/token') return googleToken(request, account(), tokens)
    const token = (request.headers.authorization ?? '').replace('Bearer ', '')
    if (!tokens.has(token) && token !== 'given-by-environment') {
      return json(401, { error: { code: 401, message: 'no valid token' } })
    }
    const asked = /^\/v1\/([^:?]+):(\w+)/.exec(decodeURIComponent(request.path))
    const [, name = '', verb = ''] = asked ?? []
    const input = record(JSON.parse(request.body))
    if (verb === 'encrypt') {
      const sealed = seal(key, Buffer.from(text(input['plaintext']), 'base64'), name)
      const ciphertext = Buffer.from(sealed).toString('base64')
      return json(200, { name: `${name}/cryptoKeyVersions/1`, ciphertext })
    }
    const sealed = Buffer.from(text(input['ciphertext']), 'base64').toString()
    const opened = open(key, sealed, name)
    if (opened === null) return json(400, { error: { code: 400, message: 'Decryption failed' } })
    return json(200, { plaintext: opened.toString('base64') })
  })
}

function googleToken({ body }: Seen, account: GoogleAccount, tokens: Set<string>): Answer {
  const assertion = new URLSearchParams(body).get('assertion') ?? ''
  const [head = '', claims = '', signature = ''] = assertion.split('.')
  const said = record(JSON.parse(Buffer.from(claims, 'base64url').toString()))
  const isSigned = verify(
    'sha256',
    Buffer.from(`${head}.${claims}`),
    createPublicKey(account.publicKey),
    Buffer.from(signature, 'base64url'),
  )
  const isMeant = said['iss'] === account.email && Number(said['exp']) * 1000 > Date.now()
  if (!isSigned || !isMeant) return json(400, { error: 'invalid_grant' })
  const token = randomBytes(16).toString('hex')
  tokens.add(token)
  return json(200, { access_token: token, expires_in: 600, token_type: 'Bearer' })
}

/** Azure Key Vault with one RSA key, and the login that gives tokens for it. */
export function azureService(client: { readonly id: string; readonly secret: string }): KeyService {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const oaep = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }
  const token = randomBytes(16).toString('hex')
  return new KeyService((request) => {
    if (request.path.endsWith('/oauth2/v2.0/token')) {
      const form = new URLSearchParams(request.body)
      const isKnown =
        form.get('client_id') === client.id && form.get('client_secret') === client.secret
      // Microsoft's library asks for more beside it.
      const scopes = (form.get('scope') ?? '').split(' ')
      const isMeant = scopes.includes('https://vault.azure.net/.default')
      return isKnown && isMeant
        ? json(200, { access_token: token, expires_in: 600, token_type: 'Bearer' })
        : json(401, { error: 'invalid_client', error_description: 'unknown client' })
    }
    if (request.headers.authorization !== `Bearer ${token}`) {
      return json(401, { error: { code: 'Unauthorized', message: 'no valid token' } })
    }
    const kid = 'https://team.vault.azure.net/keys/sops/0123abcd'
    if (request.path === '/keys/sops?api-version=7.4')
      return json(200, { key: { kid, kty: 'RSA' } })
    const verb = /^\/keys\/sops\/0123abcd\/(encrypt|decrypt)\?api-version=7\.4$/.exec(
      request.path,
    )?.[1]
    const input = record(JSON.parse(request.body))
    const value = Buffer.from(text(input['value']), 'base64url')
    if (verb === undefined || input['alg'] !== 'RSA-OAEP-256') {
      return json(404, { error: { code: 'KeyNotFound', message: 'no such key' } })
    }
    try {
      const result =
        verb === 'encrypt'
          ? publicEncrypt({ key: publicKey, ...oaep }, value)
          : privateDecrypt({ key: privateKey, ...oaep }, value)
      return json(200, { kid, value: result.toString('base64url') })
    } catch {
      return json(400, { error: { code: 'BadParameter', message: 'it does not decrypt' } })
    }
  })
}

function seal(key: Buffer, plain: Buffer, context: string): string {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  cipher.setAAD(Buffer.from(context))
  const data = Buffer.concat([cipher.update(plain), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), data]).toString('base64')
}

function open(key: Buffer, sealed: string, context: string): Buffer | null {
  const bytes = Buffer.from(sealed, 'base64')
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12))
  decipher.setAAD(Buffer.from(context))
  decipher.setAuthTag(bytes.subarray(12, 28))
  try {
    return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()])
  } catch {
    return null
  }
}

function json(status: number, body: object): Answer {
  return [status, JSON.stringify(body)]
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null
    ? Object.fromEntries(Object.entries(value))
    : {}
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
