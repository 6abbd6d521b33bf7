import type { Chance } from "./random.ts";

/** Time and turns of a simulated machine: a process, and the world around it. */
export interface Scheduler {
  /** Milliseconds since the start, which no clock setting moves. */
  nowMs(): number;
  /** Lets something happen in the world, which goes on whatever becomes of the process. */
  after(delayMs: number, name: string, happen: () => unknown): void;
  /** One event with all that follows from it at once; false where none is left until this instant. */
  step(untilMs: number): Promise<boolean>;
  /** The machine sleeps: what would have happened by then is all late. */
  sleep(ms: number): void;
  /** The process is gone: none of its timers and callbacks ever runs again. */
  dropProcess(): void;
  /** Gives the real timers back. */
  [Symbol.dispose](): void;
}

interface Timed {
  readonly atMs: number;
  readonly name: string;
  readonly happen: () => unknown;
}

const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate, clearImmediate } =
  globalThis;

/** Ends when no microtask is left: the runtime takes the next immediate only then. */
const drain = () => new Promise<void>((resolve) => void setImmediate(resolve));

/**
 * Takes the place of the global timers. Time stands still while anything is ready, and what is ready at
 * the same time happens in an order drawn by `chance`, except what every runtime keeps: immediates come in
 * the order in which they were set, timers in the order in which they end and never before their time.
 */
export function createScheduler(chance: Chance, onEvent: (name: string) => void): Scheduler {
  let nowMs = 0;
  let timers: Timed[] = [];
  let immediates: (() => void)[] = [];
  const outside: Timed[] = [];
  /** How much sooner the process takes its next turn than the world does: the sizes of batches vary. */
  const haste = chance.pick([0, 0.3, 0.8]);

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

  function nobodyUses(): never {
    throw new Error("no interval is simulated");
  }

  /** Takes one of the events that are ready now, if any is. */
  function take(): Timed | undefined {
    const immediate = () => ({
      atMs: nowMs,
      name: "immediate",
      happen: immediates.shift() ?? drain,
    });
    if (immediates.length > 0 && chance.happens(haste)) return immediate();
    const ready = outside.filter(({ atMs }) => atMs <= nowMs);
    const timer = timers.find(({ atMs }) => atMs <= nowMs);
    if (timer !== undefined) ready.push(timer);
    const at = chance.whole(0, ready.length - (immediates.length > 0 ? 0 : 1));
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
    const event = take();
    if (event === undefined) return false;
    onEvent(event.name);
    event.happen();
    await drain();
    return true;
  }

  Object.assign(globalThis, {
    setTimeout: startTimer,
    clearTimeout: endTimer,
    setInterval: nobodyUses,
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
