/** Below the ephemeral ports of Linux (32768 and up) and macOS. */
const FIRST = 20_000;
const PROCESSES = 1000;
const PORTS_PER_PROCESS = 12;

let drawn = 0;

/**
 * Returns a free port, for programs that cannot listen on port 0 or must restart on the same port.
 * The port is not ephemeral, and test processes with nearby process ids use different ranges.
 */
export function freePort(): number {
  for (;;) {
    const slot = (process.pid % PROCESSES) * PORTS_PER_PROCESS;
    const port = FIRST + slot + (drawn++ % PORTS_PER_PROCESS);
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
      return port;
    } catch {
      // Taken.
    }
  }
}
