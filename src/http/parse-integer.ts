/**
 * Parses an integer in canonical form: no plus, leading zeros, fraction or exponent. Returns
 * undefined if it is malformed or out of bounds.
 */
export function parseInteger(
  text: string,
  min = 1,
  max: number = Number.MAX_SAFE_INTEGER,
): number | undefined {
  const value = /^(0|-?[1-9]\d*)$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : undefined;
}
