import type { Clock } from "../ports.ts";

/** How often a line is written anew, and how often a new one is begun where none can be. */
const TERMINAL_MS = 200;
const LINES_MS = 5000;

const WIDTH = 30;

/**
 * Says on stderr how far a work is, with its rate and the time that is left: as a bar on a
 * terminal, elsewhere as a line now and then. The first second is silent.
 */
export function createProgress(unit: string, elapsed: Clock) {
  const { isTTY } = process.stderr;
  const startedAt = elapsed();
  let saidAt = startedAt + 1000 - (isTTY ? TERMINAL_MS : LINES_MS);
  let hasBar = false;
  return {
    show(done: number, total: number) {
      const at = elapsed();
      if (at - saidAt < (isTTY ? TERMINAL_MS : LINES_MS)) return;
      saidAt = at;
      const rate = done / ((at - startedAt) / 1000);
      const leftS = Math.ceil((total - done) / Math.max(rate, 1));
      const percent = Math.floor((done / Math.max(total, 1)) * 100);
      const words = `${percent} %, ${done} of ${total} ${unit}, ${Math.round(rate)}/s, ${leftS} s left`;
      if (!isTTY) return void process.stderr.write(`${words}\n`);
      hasBar = true;
      const bar = "#".repeat(Math.floor((percent / 100) * WIDTH)).padEnd(WIDTH, ".");
      process.stderr.write(`\r[${bar}] ${words}\u001b[K`);
    },
    /** `next` is what goes on then, where it takes its time. */
    end(next?: string) {
      if (hasBar) process.stderr.write("\r\u001b[K");
      const isLong = elapsed() - startedAt > 1000;
      if (isLong && next !== undefined) process.stderr.write(`${next}\n`);
    },
  };
}
