/**
 * Work that yields at checkpoints where it can be interrupted. An error thrown into a checkpoint
 * ends it and makes it delete its temporary files. It has no checkpoints after the point of no
 * return.
 */
export type Checkpointed<Result> = Generator<void, Result, void>;

/** Test hook, called at named points. Tests end the process there. */
export type OnCheckpoint = (checkpoint: string) => void;

/** Runs the work to its end, without interruption. */
export function runCheckpointed<Result>(work: Checkpointed<Result>): Result {
  for (;;) {
    const next = work.next();
    if (next.done) return next.value;
  }
}
