/** What hangs is a fault; a browser or a linter that takes longer than Bun's 5 s on a busy machine is none. */
export const BUSY_MACHINE_MS = 60_000;
