/** Logs that a test is skipped because a tool is missing. Throws under CI. */
export function skip(reason: string): void {
  if (process.env["CI"] === "true") throw new Error(`CI must not skip ${reason}`);
  console.warn(`Skipped: ${reason}.`);
}
