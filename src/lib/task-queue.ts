/** Background tasks with limited concurrency, each running at most once at a time. */
interface TaskQueue<Task> {
  /**
   * Adds the task unless one with the same key is waiting or running. Returns false if the queue is
   * full.
   */
  add(task: Task): boolean;
  /** Returns the number of waiting and running tasks. */
  size(): number;
  /** Resolves when no task is waiting or running. */
  idle(): Promise<void>;
}

interface TaskQueueOptions<Task> {
  readonly concurrency: number;
  readonly keyOf: (task: Task) => unknown;
  /** Runs one task and handles expected errors. */
  readonly run: (task: Task) => Promise<unknown>;
  /** Receives errors that `run` does not handle. */
  readonly onError: (error: unknown) => void;
}

/** Bounds memory when a third party hangs. */
export const MAX_WAITING = 10_000;

/**
 * Creates a queue in memory. Anything that must survive the process must also be in the database.
 */
export function createTaskQueue<Task>(options: TaskQueueOptions<Task>): TaskQueue<Task> {
  const { concurrency, keyOf, run, onError } = options;
  const keys = new Set<unknown>();
  const waiting: Task[] = [];
  let running = 0;
  let whenIdle = Promise.withResolvers<void>();

  function add(task: Task) {
    const key = keyOf(task);
    if (keys.has(key)) return true;
    if (waiting.length >= MAX_WAITING) return false;
    keys.add(key);
    waiting.push(task);
    startNext();
    return true;
  }

  function startNext() {
    if (running === concurrency) return;
    const task = waiting.shift();
    if (task === undefined) return;
    running += 1;
    void perform(task);
  }

  async function perform(task: Task) {
    try {
      await run(task);
    } catch (error) {
      onError(error);
    }
    running -= 1;
    keys.delete(keyOf(task));
    startNext();
    if (keys.size > 0) return;
    whenIdle.resolve();
    whenIdle = Promise.withResolvers();
  }

  return {
    add,
    size: () => keys.size,
    idle: () => (keys.size === 0 ? Promise.resolve() : whenIdle.promise),
  };
}
