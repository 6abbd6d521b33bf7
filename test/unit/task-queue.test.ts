import { expect, test } from "bun:test";
import { createTaskQueue, MAX_WAITING } from "../../src/lib/task-queue.ts";

const never = () => new Promise<never>(() => {});

function createQueue(
  concurrency: number,
  run: (task: number) => Promise<unknown>,
  onError = (error: unknown): void => {
    throw error;
  },
) {
  return createTaskQueue<number>({ concurrency, keyOf: (task) => task, run, onError });
}

test("task queue runs at most `concurrency` tasks at a time, and none twice at once", async () => {
  const started: number[] = [];
  const release = Promise.withResolvers<void>();
  const queue = createQueue(2, async (task) => {
    started.push(task);
    await release.promise;
  });
  for (const task of [1, 1, 2, 3, 3]) expect(queue.add(task)).toBe(true);
  expect([started, queue.size()]).toEqual([[1, 2], 3]);
  release.resolve();
  await queue.idle();
  expect([started, queue.size()]).toEqual([[1, 2, 3], 0]);
  queue.add(1);
  await queue.idle();
  expect(started).toEqual([1, 2, 3, 1]);
});

test("task queue refuses a task beyond MAX_WAITING", () => {
  const queue = createQueue(1, never);
  for (let task = 0; task <= MAX_WAITING; task++) expect(queue.add(task)).toBe(true);
  expect(queue.add(-1)).toBe(false);
});

test.each([
  ["rejects", () => Promise.reject(Symbol("no"))],
  [
    "throws",
    () => {
      throw new Error("no");
    },
  ],
])("task queue frees the slot of a task that %s, and reports the error", async (_how, fail) => {
  const errors: unknown[] = [];
  const started: number[] = [];
  const queue = createQueue(
    1,
    (task) => {
      started.push(task);
      return fail();
    },
    (error) => errors.push(error),
  );
  queue.add(1);
  queue.add(2);
  await queue.idle();
  queue.add(1);
  await queue.idle();
  expect([started, errors.length, queue.size()]).toEqual([[1, 2, 1], 3, 0]);
});
