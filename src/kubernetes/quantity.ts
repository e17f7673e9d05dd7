const FACTORS: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}

/** '250m' is 0.25, '128Mi' is 134217728 (apimachinery resource.Quantity); 0 for what is none. */
export function parseQuantity(text: string): number {
  const [, number, unit = ''] = /^([+-]?\d*\.?\d+(?:[eE][+-]?\d+)?)([A-Za-z]*)$/.exec(text) ?? []
  const factor = FACTORS[unit]
  return number === undefined || factor === undefined ? 0 : Number(number) * factor
}
