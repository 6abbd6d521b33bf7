import { expect, test } from "bun:test";
import { createLog, createOutageLog } from "../../src/log.ts";

function logged(message: string, error?: unknown): string {
  const lines: string[] = [];
  createLog({ level: "info", json: false, write: (line) => lines.push(line), now: () => 0 }).warn(
    message,
    error,
  );
  return lines.join("\n");
}

test.each([
  "+998901234567",
  "998901234567",
  "+998 (90) 123-45-67",
  "998 90 123 45 67",
  "https://sms.example/send?to=%2B998901234567&text=1",
  "%2b79161234567",
  "tel998901234567",
  "sms_998901234567_1",
  "+998901234567x",
  "+6834002",
  "+79161234567",
])("log masks the phone number %p", (number) => {
  const digits = number.replace(/\D/g, "").slice(-7);
  expect(logged(`to ${number}`).replace(/[^\d*]/g, "")).not.toContain(digits);
  expect(logged("failed", new Error(`no route to ${number}`))).toContain("*****");
});

test.each(["Order #99812345", "Order #998123456789012", "5 of 2026-11-23", "in 1795426209000 ms"])(
  "log does not mask %p",
  (message) => {
    expect(logged(message)).toBe(`Warning: ${message}`);
  },
);

test("log contains the stack and the cause of an error", () => {
  const line = logged("It failed.", new Error("outer", { cause: new Error("inner") }));
  expect(line).toMatch(/It failed\.\n.*Error: outer\n.*log\.test\.ts.*Caused by: Error: inner\n/s);
});

test("outage log has one line per reason, and one when the outage ends", () => {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(String(line.split("\n")[0]));
  const log = createLog({ level: "info", json: false, write, now: () => 0 });
  const outages = createOutageLog(log, "Polling");
  outages.succeeded();
  for (const reason of ["disk full", "disk full", "no such file", "disk full"]) {
    outages.failed(new Error(reason));
  }
  outages.succeeded();
  outages.succeeded();
  outages.failed(new Error("disk full"));
  const failed = "Error: Polling failed; retrying until it succeeds.";
  expect(lines).toEqual([failed, failed, failed, "Polling succeeds again.", failed]);
});
