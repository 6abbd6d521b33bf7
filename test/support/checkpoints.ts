import type { Checkpointed } from "../../src/store/sqlite/backup.ts";
import { checkpointedRestore } from "../../src/store/sqlite/restore.ts";

type OnCheckpoint = (name: string) => void;

/** Returns the same work, which calls `onCheckpoint` at each checkpoint. */
export function* observe<Result>(
  work: Checkpointed<Result>,
  onCheckpoint: OnCheckpoint,
): Checkpointed<Result> {
  let next = work.next();
  while (!next.done) {
    try {
      onCheckpoint(next.value.name);
      yield next.value;
    } catch (error) {
      next = work.throw(error);
      continue;
    }
    next = work.next();
  }
  return next.value;
}

/** Runs the work to its end, without interruption. */
export function runToEnd<Result>(
  work: Checkpointed<Result>,
  onCheckpoint: OnCheckpoint = () => {},
): Result {
  const observed = observe(work, onCheckpoint);
  for (;;) {
    const next = observed.next();
    if (next.done) return next.value;
  }
}

/** Restores a backup without interruption. */
export function restoreDatabase(
  from: string,
  path: string,
  time: string,
  onCheckpoint?: OnCheckpoint,
) {
  return runToEnd(checkpointedRestore(from, path, time), onCheckpoint);
}
