import { SopsError } from './sops-error.ts'

const { EXP, LOG } = tables()

/**
 * Splits a secret so that any `threshold` of `parts` shares give it back: bytes of the polynomials, then the share's x (shamir/shamir.go, which is
 * HashiCorp Vault's). @param random gives that many random bytes
 * @throws SopsError INVALID_KEY where 2 <= threshold <= parts <= 255 does not hold
 */
export function split(
  secret: Buffer,
  { parts, threshold }: { readonly parts: number; readonly threshold: number },
  random: (bytes: number) => Buffer,
): Buffer[] {
  if (threshold < 2 || parts < threshold || parts > 255) {
    throw new SopsError(
      'INVALID_KEY',
      `a threshold of ${threshold} does not fit ${parts} key groups; it must be 2 or more, and at most their number`,
    )
  }
  const shares = Array.from({ length: parts }, (_, index) => {
    const share = Buffer.alloc(secret.length + 1)
    share[secret.length] = index + 1
    return share
  })
  for (const [position, byte] of secret.entries()) {
    const polynomial = [byte, ...random(threshold - 1)]
    for (const [index, share] of shares.entries()) share[position] = evaluate(polynomial, index + 1)
  }
  return shares
}

/** The secret of shares; too few of them give another value, which only its use can tell. @throws SopsError INVALID_KEY for shares that do not fit together */
export function combine(shares: readonly Buffer[]): Buffer {
  const length = (shares[0]?.length ?? 0) - 1
  const xs = shares.map((share) => share[length] ?? 0)
  const fit = shares.every((share) => share.length === length + 1)
  if (length < 1 || !fit || new Set(xs).size !== xs.length || xs.includes(0)) {
    throw new SopsError('INVALID_KEY', 'the shares of the data key do not fit together')
  }
  return Buffer.from(
    Array.from({ length }, (_, position) =>
      shares.reduce((sum, share, index) => sum ^ mul(share[position] ?? 0, weight(xs, index)), 0),
    ),
  )
}

/** Lagrange's basis polynomial of one share at 0. */
function weight(xs: readonly number[], index: number): number {
  const own = xs[index] ?? 0
  return xs.reduce(
    (product, x, other) => (other === index ? product : mul(product, div(x, x ^ own))),
    1,
  )
}

function evaluate(polynomial: readonly number[], x: number): number {
  return polynomial.reduceRight((sum, coefficient) => mul(sum, x) ^ coefficient, 0)
}

function mul(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : (EXP[((LOG[a] ?? 0) + (LOG[b] ?? 0)) % 255] ?? 0)
}

function div(a: number, b: number): number {
  return a === 0 ? 0 : (EXP[((LOG[a] ?? 0) - (LOG[b] ?? 0) + 255) % 255] ?? 0)
}

/** Powers of the generator 3 in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
function tables(): { readonly EXP: Uint8Array; readonly LOG: Uint8Array } {
  const EXP = new Uint8Array(255)
  const LOG = new Uint8Array(256)
  let value = 1
  for (let power = 0; power < 255; power++) {
    EXP[power] = value
    LOG[value] = power
    const doubled = (value << 1) ^ (value & 0x80 ? 0x11b : 0)
    value = doubled ^ value
  }
  return { EXP, LOG }
}
