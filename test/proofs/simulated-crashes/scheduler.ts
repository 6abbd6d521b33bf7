import type { Random } from "./random.ts";

/** Simulated time and event loop of the process and of the world around it. */
export interface Scheduler {
  /** Milliseconds since the start, unaffected by clock jumps. */
  nowMs(): number;
  /** Schedules an event of the outside world, which outlives the process. */
  after(delayMs: number, name: string, happen: () => unknown): void;
  /** Runs one event and the microtasks it queues. Resolves to false if none is due by then. */
  step(untilMs: number): Promise<boolean>;
  /** Suspends the machine: events due meanwhile run late. */
  sleep(ms: number): void;
  /** Drops all timers and callbacks of the process, because it has died. */
  dropProcess(): void;
  /** Restores the real timers. */
  [Symbol.dispose](): void;
}

interface Timed {
  readonly atMs: number;
  readonly name: string;
  readonly happen: () => unknown;
}

const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate } =
  globalThis;

/** Resolves when no microtask is left: only then does the runtime run the next immediate. */
const drain = () => new Promise<void>((resolve) => void setImmediate(resolve));

/**
 * Replaces the global timers. Time stands still while any event is ready. Events ready at the same
 * time run in random order, within every runtime's guarantees: immediates run in the order they
 * were set, timers in the order they expire and never early.
 */
export function createScheduler(random: Random, onEvent: (name: string) => void): Scheduler {
  let nowMs = 0;
  let timers: Timed[] = [];
  let immediates: (() => void)[] = [];
  const outside: Timed[] = [];
  /** The probability that an immediate runs before other ready events. Varies the batch sizes. */
  const immediateFirst = random.pick([0, 0.3, 0.8]);

  function startTimer(happen: (...values: unknown[]) => void, delayMs = 0, ...values: unknown[]) {
    const timer = {
      atMs: nowMs + Math.max(1, delayMs),
      name: `timer of ${delayMs} ms`,
      happen: () => happen(...values),
      ref: () => timer,
      unref: () => timer,
    };
    const at = timers.findLastIndex(({ atMs }) => atMs <= timer.atMs);
    timers.splice(at + 1, 0, timer);
    return timer;
  }

  function endTimer(ended: unknown) {
    timers = timers.filter((timer) => timer !== ended);
  }

  function startImmediate(happen: (...values: unknown[]) => void, ...values: unknown[]) {
    const immediate = () => happen(...values);
    immediates.push(immediate);
    return immediate;
  }

  function endImmediate(ended: unknown) {
    immediates = immediates.filter((immediate) => immediate !== ended);
  }

  function rejectInterval(): never {
    throw new Error("setInterval is not simulated");
  }

  /** Removes and returns a random ready event; undefined if no event is ready. */
  function takeReady(): Timed | undefined {
    const immediate = () => ({
      atMs: nowMs,
      name: "immediate",
      happen: immediates.shift() ?? drain,
    });
    if (immediates.length > 0 && random.happens(immediateFirst)) return immediate();
    const ready = outside.filter(({ atMs }) => atMs <= nowMs);
    const timer = timers.find(({ atMs }) => atMs <= nowMs);
    if (timer !== undefined) ready.push(timer);
    const at = random.integer(0, ready.length - (immediates.length > 0 ? 0 : 1));
    const event = ready[at];
    if (event === undefined) return immediates.length > 0 ? immediate() : undefined;
    if (event === timer) timers.shift();
    else outside.splice(outside.indexOf(event), 1);
    return event;
  }

  async function step(untilMs: number): Promise<boolean> {
    if (immediates.length === 0) {
      const nextMs = Math.min(timers[0]?.atMs ?? Infinity, ...outside.map(({ atMs }) => atMs));
      if (nextMs > Math.max(untilMs, nowMs)) return false;
      nowMs = Math.max(nowMs, nextMs);
    }
    const event = takeReady();
    if (event === undefined) return false;
    onEvent(event.name);
    event.happen();
    await drain();
    return true;
  }

  Object.assign(globalThis, {
    setTimeout: startTimer,
    clearTimeout: endTimer,
    setInterval: rejectInterval,
    clearInterval: endTimer,
    setImmediate: startImmediate,
    clearImmediate: endImmediate,
  });

  return {
    nowMs: () => nowMs,
    after(delayMs, name, happen) {
      outside.push({ atMs: nowMs + delayMs, name, happen });
    },
    step,
    sleep(ms) {
      nowMs += ms;
    },
    dropProcess() {
      timers = [];
      immediates = [];
    },
    [Symbol.dispose]() {
      const real = {
        setTimeout,
        clearTimeout,
        setInterval,
        clearInterval,
        setImmediate,
        clearImmediate,
      };
      Object.assign(globalThis, real);
    },
  };
}
