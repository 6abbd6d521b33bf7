/** Tashkent, all year round (UTC+5). */
export const ZONE_MS = 5 * 3_600_000;

/** 3000000 tiyin as `30 000`, with spaces that don't break. */
export function money(tiyin: number): string {
  return (tiyin / 100).toFixed(0).replace(/\B(?=(\d{3})+$)/g, "\u00a0");
}

/** `04:35` in Tashkent. */
export function clockTime(instant: number): string {
  return new Date(instant + ZONE_MS).toISOString().slice(11, 16);
}
