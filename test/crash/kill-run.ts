import { Database } from "bun:sqlite";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/process.ts";
import { KILL_POINTS, type KillPoint, type Sabotage } from "./kill-points.ts";
import { readLedger } from "./ledger.ts";

/** Customers who order at the same time. */
const CLIENTS = 8;

/** A charge that hangs is in doubt after this. */
const PAYMENT_TIMEOUT_MS = 150;

/** A point is passed this often, at most, before the process dies there. */
const MAX_PASSES = 12;

/** After this the process is killed wherever it is, so that every round ends. */
const MAX_ROUND_MS = 1500;

/** The share of calls to the outside world that go wrong. */
const FAULT_RATE = 0.2;

interface Answer {
  readonly key: string;
  readonly status: number;
  readonly orderId: number;
}

export interface KillReport {
  readonly kills: Readonly<Record<KillPoint, number>>;
  readonly orders: number;
  readonly answers: number;
  readonly charges: number;
  readonly announcements: number;
  /** What is wrong afterwards; nothing, if the service keeps its promises. */
  readonly wrongs: string[];
}

/**
 * Kills the service until it has died `kills` times, spread over all points, while clients order and
 * retry with their keys; then lets it finish in a world without faults, and compares what the clients
 * were told, what the database has, and what the provider and the dispatcher have in their ledger.
 */
export async function killRepeatedly(kills: number, sabotage?: Sabotage): Promise<KillReport> {
  using folder = temporaryFolder();
  const databasePath = join(folder.path, "x.db");
  const ledgerPath = join(folder.path, "ledger");
  writeFileSync(ledgerPath, "");
  let world = await startWorld(ledgerPath, FAULT_RATE);

  const victim = (environment: Record<string, string>) =>
    start("victim.ts", [], {
      DATABASE_URL: `file:${databasePath}`,
      PORT: "0",
      WORLD_URL: world.line,
      PAYMENT_TIMEOUT_MS: String(PAYMENT_TIMEOUT_MS),
      SABOTAGE: sabotage ?? "",
      ...environment,
    });

  // The database is there, and so is a customer for each client.
  const first = await victim({ SABOTAGE: "" });
  const users = await Promise.all(
    Array.from({ length: CLIENTS }, (_, i) => register(first.line, i)),
  );
  await end(first.process);
  if (sabotage === "announce without noting it") forbidNoting(databasePath);

  const service = { url: "" };
  const answers: Answer[] = [];
  const ending = new AbortController();
  const clients = users.map((user) => orderUntil(ending.signal, service, user, answers));
  const died = Object.fromEntries(KILL_POINTS.map((point) => [point, 0])) as Record<
    KillPoint,
    number
  >;

  // Elsewhere it would show by luck alone.
  const points: readonly KillPoint[] =
    sabotage === "answer before the commit" ? ["before a commit"] : KILL_POINTS;
  for (let round = 0; round < kills; round++) {
    const point = points[round % points.length] ?? "at any time";
    const passes = 1 + Math.floor(Math.random() * MAX_PASSES);
    const { process, line } = await victim({ KILL_AT: point, KILL_AFTER: String(passes) });
    service.url = line;
    const longest = point === "at any time" ? Math.random() * 200 : MAX_ROUND_MS;
    const timer = setTimeout(() => process.kill("SIGKILL"), longest);
    const before = Bun.nanoseconds();
    await process.exited;
    clearTimeout(timer);
    const tookMs = (Bun.nanoseconds() - before) / 1e6;
    died[tookMs < longest ? point : "at any time"] += 1;
  }

  // From here on nothing fails: all that was begun comes to its end.
  await end(world.process);
  world = await startWorld(ledgerPath, 0);
  ending.abort();
  const last = await victim({});
  service.url = last.line;
  await Promise.all(clients);
  for (let waitedMs = 0; waitedMs < 3000 && countDue(databasePath) > 0; waitedMs += 20) {
    await Bun.sleep(20);
  }
  await end(last.process);
  await end(world.process);
  return report(databasePath, ledgerPath, answers, died);
}

/** Starts a script of this folder; resolves when it has printed its first line. */
async function start(script: string, args: string[], environment: Record<string, string>) {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, script), ...args], {
    env: { ...process.env, ...environment },
    stdout: "pipe",
    stderr: "inherit",
  });
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader.read();
  return { process: child, line: value.trim() };
}

async function startWorld(ledgerPath: string, faultRate: number) {
  return start("outside-world.ts", [ledgerPath, String(faultRate)], {});
}

async function end(child: Bun.Subprocess) {
  child.kill("SIGKILL");
  await child.exited;
}

async function post(url: string, body: object, key: string): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "idempotency-key": key,
      // With a name of its own the request takes no random one, which the victim counts.
      "x-request-id": "client",
    },
    body: JSON.stringify(body),
  });
}

async function register(url: string, client: number): Promise<number> {
  const body = { phone_number: `+99890${1_000_000 + client}` };
  // `as`: the answer of the contract.
  const answer = (await (await post(`${url}/register`, body, "none")).json()) as {
    user_id: number;
  };
  return answer.user_id;
}

/** Orders again and again, each order until it is answered, under one key however often. */
async function orderUntil(
  ending: AbortSignal,
  service: { readonly url: string },
  user: number,
  answers: Answer[],
) {
  while (!ending.aborted) {
    const key = crypto.randomUUID();
    while (!(await tryToOrder(service.url, user, key, answers))) await Bun.sleep(5);
    // Now and then an answer is lost on its way: the client asks once more.
    if (Math.random() < 0.2) await tryToOrder(service.url, user, key, answers);
  }
}

async function tryToOrder(url: string, user: number, key: string, answers: Answer[]) {
  try {
    const response = await post(
      `${url}/create_order`,
      { user_id: user, tariff_code: "standard_300" },
      key,
    );
    // `as`: the answer of the contract.
    const { order_id: orderId } = (await response.json()) as { order_id: number };
    answers.push({ key, status: response.status, orderId });
    return true;
  } catch {
    return false;
  }
}

/** A disk that takes every note of an announcement, and keeps none. */
function forbidNoting(databasePath: string) {
  using database = new Database(databasePath);
  database.run(
    "CREATE TRIGGER forget BEFORE UPDATE OF announced_at ON orders BEGIN SELECT RAISE(IGNORE); END",
  );
}

function countDue(databasePath: string): number {
  using database = new Database(databasePath, { readonly: true });
  const row = database.query<{ n: number }, []>(
    "SELECT count(*) n FROM orders WHERE due_at IS NOT NULL",
  );
  return row.get()?.n ?? 0;
}

interface Row {
  readonly id: number;
  readonly status: string;
  readonly idempotency_key: string;
  readonly due_at: number | null;
}

function report(
  databasePath: string,
  ledgerPath: string,
  answers: Answer[],
  kills: Record<KillPoint, number>,
): KillReport {
  using database = new Database(databasePath, { readonly: true });
  const rows = database.query<Row, []>("SELECT * FROM orders").all();
  const byId = new Map(rows.map((row) => [row.id, row]));
  const ledger = readLedger(ledgerPath);
  const charges = Map.groupBy(
    ledger.filter(({ kind }) => kind === "paid"),
    ({ orderId }) => orderId,
  );
  const announced = new Set(
    ledger.filter(({ kind }) => kind === "announced").map(({ orderId }) => orderId),
  );
  const wrongs: string[] = [];
  const expect = (holds: boolean, wrong: string) => void (holds || wrongs.push(wrong));

  for (const { id, status, due_at } of rows) {
    const taken = charges.get(id)?.length ?? 0;
    expect(
      taken === (status === "paid" ? 1 : 0),
      `order ${id} is ${status}, charged ${taken} times`,
    );
    expect(
      announced.has(id) === (status === "paid"),
      `order ${id} is ${status}, announced: ${announced.has(id)}`,
    );
    expect(due_at === null, `order ${id} is ${status}, and still due`);
  }
  for (const id of [...charges.keys(), ...announced])
    expect(byId.has(id), `there is no order ${id}`);
  for (const { key, status, orderId } of answers) {
    const row = byId.get(orderId);
    expect(row !== undefined, `order ${orderId} was answered with ${status}, and is lost`);
    expect(row?.idempotency_key === key, `key ${key} was answered with order ${orderId}`);
    const promised = { 200: "paid", 202: row?.status, 402: "declined" }[status];
    expect(
      row?.status === promised,
      `order ${orderId} was answered with ${status}, and is ${row?.status}`,
    );
  }
  for (const key of new Set(answers.map(({ key }) => key))) {
    const orders = rows.filter((row) => row.idempotency_key === key).length;
    expect(orders === 1, `key ${key} has ${orders} orders`);
  }
  const check = database.query<{ integrity_check: string }, []>("PRAGMA integrity_check").get();
  expect(check?.integrity_check === "ok", `the database is corrupt: ${check?.integrity_check}`);

  return {
    kills,
    orders: rows.length,
    answers: answers.length,
    charges: ledger.filter(({ kind }) => kind === "paid").length,
    announcements: ledger.filter(({ kind }) => kind === "announced").length,
    wrongs,
  };
}
