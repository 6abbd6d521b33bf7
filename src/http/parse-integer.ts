/** The whole number that the text is, in the one spelling that it has; undefined where it is none within these bounds. */
export function parseInteger(
  text: string,
  min = 1,
  max: number = Number.MAX_SAFE_INTEGER,
): number | undefined {
  const value = /^(0|-?[1-9]\d*)$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : undefined;
}
