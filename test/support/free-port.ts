/** Below the ports that Linux (32768 and up) and macOS give to sockets that ask for any. */
const FIRST = 20_000;
const PROCESSES = 1000;
const PORTS_PER_PROCESS = 12;

let drawn = 0;

/**
 * Returns a free port. Only programs that can't choose one themselves, or that must come back on the same
 * one, need it. The system gives it to no other socket meanwhile, and two test processes
 * with neighbouring ids draw from different ports.
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
