/** A writer for an output that may be slow or unread. Callers never wait for it. */
interface LineWriter {
  write(line: string): void;
  /** Resolves when all lines are written, or after `withinMs` if given. */
  end(withinMs?: number): Promise<void>;
  /** Returns the last write error, which lost lines; undefined if every write succeeded. */
  fault(): unknown;
}

/** About 10,000 lines: bridges a short stall of the output, and bounds memory during a long one. */
const MAX_WAITING_CHARS = 1024 * 1024;

/** Pause before a retry if a non-blocking output is full. */
const RETRY_MS = 10;

/**
 * Writes lines in order, one write at a time. `writeBytes` may write only the first bytes, and
 * resolves to their number. Drops lines beyond `maxWaitingChars`, so that a slow reader of the log
 * never blocks the service, and passes their number to `onLoss` once the output works again. Pass
 * `Infinity` for the output of a command.
 */
export function createLineWriter(
  writeBytes: (bytes: Uint8Array) => Promise<number>,
  onLoss: (lines: number) => void,
  maxWaitingChars = MAX_WAITING_CHARS,
): LineWriter {
  let waiting: string[] = [];
  let chars = 0;
  let lost = 0;
  let lastError: unknown;
  let flushing: Promise<void> | undefined;

  function write(line: string) {
    if (chars + line.length > maxWaitingChars) {
      lost += 1;
      return;
    }
    waiting.push(line);
    chars += line.length;
    flushing ??= flush();
  }

  async function flush() {
    // The lines of one turn of the event loop share a write.
    await new Promise((resolve) => setImmediate(resolve));
    while (waiting.length > 0) {
      const lines = waiting;
      waiting = [];
      const isWritten = await writeAll(`${lines.join("\n")}\n`);
      for (const line of lines) chars -= line.length;
      if (!isWritten) lost += lines.length;
      else if (lost > 0) reportLoss();
    }
    flushing = undefined;
  }

  /** Returns false if the output has failed, such as a pipe whose reader is gone. */
  async function writeAll(text: string): Promise<boolean> {
    let bytes: Uint8Array = Buffer.from(text);
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(await writeBytes(bytes));
      } catch (error) {
        if (!(error instanceof Error && "code" in error && error.code === "EAGAIN")) {
          lastError = error;
          return false;
        }
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    return true;
  }

  function reportLoss() {
    const lines = lost;
    lost = 0;
    onLoss(lines);
  }

  async function end(withinMs?: number) {
    if (flushing === undefined) return;
    if (withinMs === undefined) return flushing;
    const { promise: timeout, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, withinMs);
    await Promise.race([flushing, timeout]);
    clearTimeout(timer);
  }

  return { write, end, fault: () => lastError };
}
