import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { temporaryFolder } from "../support/process.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const ROOT = join(import.meta.dir, "../..");

test("seed fills an empty database with orders of every kind, and refuses a non-empty one", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const seed = async () => {
    const child = Bun.spawn([process.execPath, "run", "seed"], {
      cwd: ROOT,
      env: { ...process.env, DATABASE_URL: `file:${path}` },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [printed, complaints] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return { status: await child.exited, printed, complaints };
  };
  const { status, printed } = await seed();
  expect([status, printed]).toEqual([0, expect.stringContaining("orders from 60 users")]);
  using database = new Database(path, { readonly: true });
  const count = (where: string) =>
    database.query<{ n: number }, []>(`SELECT count(*) AS n FROM orders WHERE ${where}`).get()?.n;
  for (const kind of [
    "status = 'declined'",
    "status = 'paid' AND notified_at IS NULL",
    "status = 'paid' AND notified_at IS NOT NULL",
    "idempotency_key IS NULL",
    "tariff_code = 'plumber'",
  ]) {
    expect(count(kind), kind).toBeGreaterThan(5);
  }
  expect(count("status = 'pending'")).toBeGreaterThan(0);
  const dayAgo = `settled_at > ${Date.now() - 24 * 3_600_000}`;
  for (const kind of [
    "stage = 'new'",
    "stage = 'accepted'",
    "stage = 'in_progress'",
    "stage = 'completed'",
    "refund = 'owed'",
    "refund = 'given'",
    `stage = 'new' AND stage_at < ${Date.now() - 15 * 60_000}`,
    "stage = 'new' AND address IS NOT NULL AND comment IS NOT NULL",
  ]) {
    expect(count(`${kind} AND ${dayAgo}`), kind).toBeGreaterThan(0);
  }
  const scripts = database.query<{ name: string }, []>("SELECT full_name AS name FROM users").all();
  for (const script of [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Arabic}/u]) {
    expect(scripts.some(({ name }) => script.test(name))).toBe(true);
  }
  const before = count("true");
  expect(before).toBeGreaterThan(300);
  const again = await seed();
  expect(again.status).toBe(1);
  expect(again.complaints).toContain(
    `The database ${path} already has orders; set DATABASE_URL to a new file.`,
  );
  expect(count("true")).toBe(before);
});
