/** Writes lines to an output that may be slow, or unread; the caller never waits for it. */
export interface LineWriter {
  write(line: string): void;
  /** Resolves when every line is written, or after `withinMs`, if given, where the output is slower. */
  end(withinMs?: number): Promise<void>;
  /** Returns the last error that made the output lose lines; undefined if it has lost no lines. */
  fault(): unknown;
}

/** Some 10 000 lines: memory for an output that pauses, and a bound for one that has stopped. */
const MAX_WAITING_CHARS = 1024 * 1024;

/** An output in non-blocking mode says so when it is full; this is when to try again. */
const RETRY_MS = 10;

/**
 * Writes lines in order, one write at a time; `writeBytes` writes the bytes or the first of them, and
 * resolves to how many. Lines that the output does not take in time are dropped and counted, for a log
 * must not stop the service; `onLoss` hears how many they were once the output takes lines again. What
 * somebody has asked for may wait without bound: `maxWaitingChars` says so.
 */
export function createLineWriter(
  writeBytes: (bytes: Uint8Array) => Promise<number>,
  onLoss: (lines: number) => void,
  maxWaitingChars = MAX_WAITING_CHARS,
): LineWriter {
  let waiting: string[] = [];
  let chars = 0;
  let lost = 0;
  let lastFault: unknown;
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

  /** False where the output takes nothing any more, such as a pipe whose reader is gone. */
  async function writeAll(text: string): Promise<boolean> {
    let bytes: Uint8Array = Buffer.from(text);
    while (bytes.length > 0) {
      try {
        bytes = bytes.subarray(await writeBytes(bytes));
      } catch (fault) {
        if (!(fault instanceof Error && "code" in fault && fault.code === "EAGAIN")) {
          lastFault = fault;
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
    const { promise: tooLate, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, withinMs);
    await Promise.race([flushing, tooLate]);
    clearTimeout(timer);
  }

  return { write, end, fault: () => lastFault };
}
