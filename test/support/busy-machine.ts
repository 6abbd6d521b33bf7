/** Test timeout, above Bun's 5 s: browsers, linters and processes are slow on a busy machine. */
export const BUSY_MACHINE_MS = 60_000;
