/** Bounds of what one client may cost the server. Bytes and milliseconds. */
export interface ApiLimits {
  /** JSON bodies, unless named below. */
  readonly bodyBytes: number
  /** JSON bodies that hold entries of a source. */
  readonly sourceBodyBytes: number
  /** JSON bodies that hold configuration. */
  readonly configBodyBytes: number
  /** One uploaded content. */
  readonly contentBytes: number
  /** Streams and exec sessions open at the same time. */
  readonly streams: number
  readonly connections: number
  /** Longest wait for the platform's answer to an ordinary question. */
  readonly answerMs: number
  /** The same where it drains, stops or collects. */
  readonly longAnswerMs: number
  /** From the first byte of a request to the end of its headers. */
  readonly headersMs: number
  /** From the first byte of a request to the end of its body. */
  readonly requestMs: number
  /** Between signs of life on a stream that has nothing to say. */
  readonly heartbeatMs: number
  /** Between looks at whether whoever streams still may. */
  readonly recheckMs: number
  /** How long a stream waits for its first line, so that an error at once becomes a status. */
  readonly firstLineMs: number
}

const MIB = 1024 * 1024

export const DEFAULT_LIMITS: ApiLimits = {
  bodyBytes: MIB,
  sourceBodyBytes: 64 * MIB,
  configBodyBytes: 16 * MIB,
  contentBytes: 8 * 1024 * MIB,
  streams: 500,
  connections: 4000,
  answerMs: 60_000,
  longAnswerMs: 900_000,
  headersMs: 15_000,
  requestMs: 3_600_000,
  heartbeatMs: 15_000,
  recheckMs: 2000,
  firstLineMs: 200,
}
