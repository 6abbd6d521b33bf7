/** Below the ports that Linux (32768 and up) and macOS give to sockets that ask for any. */
const FIRST = 20_000;
const LAST = 32_000;

/**
 * Returns a port of this machine that nobody listens on, for a program that can't choose one itself. No
 * socket gets it by chance before the program listens, except one of another test that draws it as well.
 */
export function freePort(): number {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
      return port;
    } catch {
      // Taken.
    }
  }
}
