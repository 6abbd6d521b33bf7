import { expect, test } from "bun:test";
import { createLineWriter } from "../../src/lib/line-writer.ts";

/** Creates an output that accepts as many bytes as the test allows. */
function createOutput() {
  let written = Buffer.alloc(0);
  let room = Number.POSITIVE_INFINITY;
  let whenRoom = Promise.withResolvers<void>();
  return {
    written: () => written.toString(),
    allow(bytes: number) {
      room = bytes;
      whenRoom.resolve();
      whenRoom = Promise.withResolvers();
    },
    async write(bytes: Uint8Array): Promise<number> {
      while (room === 0) await whenRoom.promise;
      const count = Math.min(room, bytes.length);
      room -= count;
      written = Buffer.concat([written, bytes.subarray(0, count)]);
      return count;
    },
  };
}

const failOnLoss = () => {
  throw new Error("lines were lost");
};

const fault = (code: string) => Object.assign(new Error(code), { code });

test("line writer keeps the order of lines if the output accepts them in pieces", async () => {
  const output = createOutput();
  const { write, end } = createLineWriter(output.write, failOnLoss);
  output.allow(7);
  for (const line of ["один", "two", "three"]) write(line);
  const ended = end(60_000);
  while (output.written() === "") await new Promise(setImmediate);
  output.allow(Number.POSITIVE_INFINITY);
  await ended;
  expect(output.written()).toBe("один\ntwo\nthree\n");
});

test("line writer drops lines beyond 1 MiB while the output is blocked, and then reports how many", async () => {
  const output = createOutput();
  output.allow(0);
  const { write, end } = createLineWriter(output.write, (lines) => write(`lost ${lines}`));
  const line = "x".repeat(1023);
  for (let i = 0; i < 2000; i++) write(line);
  await end(1);
  output.allow(Number.POSITIVE_INFINITY);
  write("after");
  await end(60_000);
  const lines = output.written().split("\n");
  expect(lines.filter((one) => one === line)).toHaveLength(1025);
  expect(lines.slice(-2)).toEqual(["lost 976", ""]);
  write("again");
  await end(60_000);
  expect(output.written()).toEndWith("lost 976\nagain\n");
});

test("line writer retries after EAGAIN", async () => {
  const output = createOutput();
  let rejections = 3;
  const { write, end } = createLineWriter(
    (bytes) => (rejections-- > 0 ? Promise.reject(fault("EAGAIN")) : output.write(bytes)),
    failOnLoss,
  );
  write("one");
  await end(60_000);
  expect(output.written()).toBe("one\n");
});

test("line writer is not blocked by a broken output, and reports lost lines once it works again", async () => {
  const output = createOutput();
  let isBroken = true;
  const {
    write,
    end,
    fault: lastFault,
  } = createLineWriter(
    (bytes) => (isBroken ? Promise.reject(fault("EPIPE")) : output.write(bytes)),
    (lines) => write(`lost ${lines}`),
  );
  write("one");
  write("two");
  expect(lastFault()).toBeUndefined();
  await end(60_000);
  expect(lastFault()).toMatchObject({ code: "EPIPE" });
  isBroken = false;
  write("three");
  await end(60_000);
  expect(output.written()).toBe("three\nlost 2\n");
});
