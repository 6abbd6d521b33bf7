import { Database } from "bun:sqlite";
import { registerUsers, turn, WARM_UP_SECONDS } from "./contender.ts";
import { startService } from "./peers.ts";
import { median, spread } from "./statistics.ts";

interface Turns {
  readonly rounds: number;
  /** Seconds per turn. */
  readonly seconds: number;
}

/** Measures the cost of an open board, which reloads after every change. */
export async function benchBoard({ rounds, seconds }: Turns, databasePath: string): Promise<void> {
  const contender = { name: "", peer: await startService(databasePath), nextNumber: 0 };
  const { url } = contender.peer;
  await registerUsers(url);
  await turn(contender, "/create_order", 64, WARM_UP_SECONDS);
  const ratios: number[] = [];
  for (let round = 0; round < 2 * rounds; round++) {
    const perSecond = { open: 0, closed: 0 };
    for (const state of round % 2 === 0
      ? (["open", "closed"] as const)
      : (["closed", "open"] as const)) {
      const closing = new AbortController();
      const page = state === "open" ? watchBoard(url, closing.signal) : undefined;
      perSecond[state] = (await turn(contender, "/create_order", 64, seconds)).perSecond;
      closing.abort();
      await page;
    }
    ratios.push(perSecond.open / perSecond.closed);
  }
  console.log(`\nOrders/s with an open board relative to no board: ${spread(ratios)}`);
  await contender.peer.end();
}

/** Measures the board's load times with 1,000,000 orders, 100,000 of them from the last 14 days. */
export async function benchViews({ rounds }: Turns, path: string): Promise<void> {
  await (await startService(path)).end();
  using file = new Database(path);
  const [now, days] = [Date.now(), Math.round(13.9 * 86_400_000)];
  file.run("BEGIN");
  file.run(`WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
    INSERT INTO users (phone_number, created_at, sms_tried_at)
    SELECT '+9989' || printf('%08d', i * 97), 0, 0 FROM n`);
  file.run(
    `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
    INSERT INTO orders (user_id, tariff_code, amount_tiyin, status, payment_key, created_at, settled_at,
      notified_at, attempts, repeatable, stage, stage_at)
    SELECT i % 100000 + 1, 'standard_300', 30000, 'paid', 'p' || i, t, t, t, 1, 0,
      CASE WHEN i > 999900 THEN 'new' WHEN i % 10 = 0 THEN 'cancelled' ELSE 'completed' END, t
    FROM (SELECT i, CASE WHEN i <= 900000 THEN ${now} - ${days} - (900000 - i) * 30000
      ELSE ${now} - CAST((1000000 - i) * ${days / 100_000} AS integer) END AS t FROM n)`,
  );
  file.run("COMMIT");
  file.close();
  const peer = await startService(path);
  console.log("\nPages with 1 000 000 orders, ms:");
  for (const page of ["", "/days", "/days?stage=cancelled", "/orders/999999", "/search?q=4567"]) {
    const times: number[] = [];
    for (let turn = 0; turn < 2 * rounds + 1; turn++) {
      const beganAt = performance.now();
      const response = await fetch(`${peer.url}/board${page}`);
      await response.text();
      if (!response.ok) throw new Error(`/board${page} returned ${response.status}`);
      times.push(performance.now() - beganAt);
    }
    console.log(`  /board${page}: ${median(times).toFixed(1)}`);
  }
  await peer.end();
}

/** Reloads the board on every change, like an open page. */
async function watchBoard(url: string, signal: AbortSignal) {
  try {
    const { body } = await fetch(`${url}/board/changes`, { signal });
    const decoder = new TextDecoder();
    for await (const chunk of body ?? []) {
      if (!decoder.decode(chunk, { stream: true }).includes("change")) continue;
      await (await fetch(`${url}/board`, { signal })).text();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
