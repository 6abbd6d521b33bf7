/**
 * Work that yields at checkpoints and can be interrupted there: an error thrown into one ends the
 * work, which then deletes its temporary files. There are no checkpoints after the point of no
 * return.
 */
export type Checkpointed<Result> = Generator<void, Result, void>;

/** Test hook, called at named points. Tests kill the process there. */
export type OnCheckpoint = (checkpoint: string) => void;

/** Runs the work to its end, without interruption. */
export function runCheckpointed<Result>(work: Checkpointed<Result>): Result {
  for (;;) {
    const next = work.next();
    if (next.done) return next.value;
  }
}
