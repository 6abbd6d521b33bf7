import { expect, test } from "bun:test";
import { createLineWriter } from "../../src/lib/line-writer.ts";

/** An output that takes what the test lets it take. */
function createOutput() {
  let taken = Buffer.alloc(0);
  let room = Number.POSITIVE_INFINITY;
  let whenRoom = Promise.withResolvers<void>();
  return {
    taken: () => taken.toString(),
    make(bytes: number) {
      room = bytes;
      whenRoom.resolve();
      whenRoom = Promise.withResolvers();
    },
    async write(bytes: Uint8Array): Promise<number> {
      while (room === 0) await whenRoom.promise;
      const count = Math.min(room, bytes.length);
      room -= count;
      taken = Buffer.concat([taken, bytes.subarray(0, count)]);
      return count;
    },
  };
}

const noLoss = () => {
  throw new Error("lines were lost");
};

const fault = (code: string) => Object.assign(new Error(code), { code });

test("lines are written in order, also where the output takes them in pieces", async () => {
  const output = createOutput();
  const { write, end } = createLineWriter(output.write, noLoss);
  output.make(7);
  for (const line of ["один", "two", "three"]) write(line);
  const ended = end(60_000);
  while (output.taken() === "") await new Promise(setImmediate);
  output.make(Number.POSITIVE_INFINITY);
  await ended;
  expect(output.taken()).toBe("один\ntwo\nthree\n");
});

test("lines that an output does not take are dropped beyond a megabyte, and counted once it does", async () => {
  const output = createOutput();
  output.make(0);
  const { write, end } = createLineWriter(output.write, (lines) => write(`lost ${lines}`));
  const line = "x".repeat(1023);
  for (let i = 0; i < 2000; i++) write(line);
  await end(1);
  output.make(Number.POSITIVE_INFINITY);
  write("after");
  await end(60_000);
  const lines = output.taken().split("\n");
  expect(lines.filter((one) => one === line)).toHaveLength(1025);
  expect(lines.slice(-2)).toEqual(["lost 976", ""]);
  write("again");
  await end(60_000);
  expect(output.taken()).toEndWith("lost 976\nagain\n");
});

test("an output that is full says so, and is tried again", async () => {
  const output = createOutput();
  let fulls = 3;
  const { write, end } = createLineWriter(
    (bytes) => (fulls-- > 0 ? Promise.reject(fault("EAGAIN")) : output.write(bytes)),
    noLoss,
  );
  write("one");
  await end(60_000);
  expect(output.taken()).toBe("one\n");
});

test("an output that is broken holds up nothing, and hears what it has missed when it is mended", async () => {
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
  expect(output.taken()).toBe("three\nlost 2\n");
});
