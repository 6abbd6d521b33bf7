import { join } from "node:path";
import {
  createDatabase,
  execute,
  type PostgresServer,
  startPostgres,
} from "../test/support/postgres.ts";
import { startProxy } from "../test/support/tcp-proxy.ts";
import { median, spread } from "./statistics.ts";
import { load } from "./load.ts";
import { type Peer, startPeer, startService } from "./peers.ts";

// Compares instances on PostgreSQL with pgbench, which runs the same two statements per order, and
// with one process on SQLite. All share the same disk and cores.

const CONNECTIONS = 64;
const USERS = 1000;

/** Simulated network latency each way. */
const NETWORK_MS = 1;

const TAKE_OVER_TIMEOUT_MS = 2000;

interface Contender {
  readonly name: string;
  /** Creates orders for this many seconds. Returns orders/s. */
  turn(seconds: number): Promise<number>;
  end(): Promise<void>;
}

export interface PostgresBench {
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly sqlitePath: string;
  /** Registers users 1 to USERS. */
  registerUsers(origin: string): Promise<void>;
}

export async function benchPostgres(bench: PostgresBench): Promise<void> {
  await using server = await startPostgres({ isDurable: true });
  if (server === undefined) {
    return console.log("Left out: PostgreSQL is not installed (Debian's postgresql).");
  }
  const contenders = [
    await instances(server, bench, 1),
    await pgbench(server, bench),
    await instances(server, bench, 2),
    await instances(server, bench, 4),
    await sqlite(bench),
    await instances(server, bench, 1, NETWORK_MS),
  ];
  console.log(`\nWarming up ${contenders.length} contenders on PostgreSQL`);
  for (const { turn } of contenders) await turn(bench.warmUpSeconds);
  const rates = new Map<Contender, number[]>(contenders.map((one) => [one, []]));
  for (let round = 0; round < bench.rounds; round++) {
    for (const one of round % 2 === 0 ? contenders : contenders.toReversed()) {
      rates.get(one)?.push(await one.turn(bench.seconds));
    }
  }
  const [first] = contenders;
  const own = (first && rates.get(first)) ?? [];
  console.log(
    `\nOne instance on PostgreSQL, ${CONNECTIONS} connections: ${median(own).toFixed(0)}/s`,
  );
  for (const one of contenders.slice(1)) {
    const theirs = rates.get(one) ?? [];
    const ratios = own.map((rate, at) => rate / (theirs[at] ?? 1));
    console.log(`  relative to ${one.name} (${median(theirs).toFixed(0)}/s): ${spread(ratios)}`);
  }
  for (const { end } of contenders) await end();
  await takeOver(server, bench);
}

async function instances(
  server: PostgresServer,
  { registerUsers }: PostgresBench,
  count: number,
  networkMs = 0,
): Promise<Contender> {
  const url = await createDatabase(server.urlOf("postgres"));
  const proxy = networkMs > 0 ? startProxy(server.port, { delayMs: networkMs }) : undefined;
  const DATABASE_URL = proxy ? url.replace(/:\d+\//, `:${proxy.port}/`) : url;
  const peers = await Promise.all(
    Array.from({ length: count }, () => startInstance({ DATABASE_URL })),
  );
  await registerUsers(peers[0]?.url ?? "");
  return {
    name: `${count === 1 ? "one instance" : `${count} instances`}${proxy ? `, ${networkMs} ms latency each way` : ""}`,
    async turn(seconds) {
      const measures = await Promise.all(
        peers.map((peer) => load(peer.url, "/create_order", CONNECTIONS / count, seconds, USERS)),
      );
      return measures.reduce((sum, { perSecond }) => sum + perSecond, 0);
    },
    async end() {
      await Promise.all(peers.map((peer) => peer.end()));
      proxy?.[Symbol.dispose]();
    },
  };
}

function startInstance(environment: Record<string, string>): Promise<Peer> {
  return startPeer([process.execPath, "src/main.ts"], environment);
}

/**
 * Runs the two statements that create and settle an order, unbatched, with as many connections.
 */
async function pgbench(server: PostgresServer, { registerUsers }: PostgresBench) {
  const url = await createDatabase(server.urlOf("postgres"));
  const peer = await startInstance({ DATABASE_URL: url });
  await registerUsers(peer.url);
  await peer.end();
  const script = join(server.folder, "orders.sql");
  await Bun.write(
    script,
    `\\set user random(1, ${USERS})
    INSERT INTO orders SELECT nextval('orders_id_seq'), users.id, tariffs.code, tariffs.price_tiyin, 'pending', NULL, gen_random_uuid()::text, 1, NULL, NULL, 2, 1, false FROM users CROSS JOIN tariffs WHERE users.id = :user AND tariffs.code = 'standard_300' AND tariffs.active ON CONFLICT DO NOTHING RETURNING id \\gset
    UPDATE orders SET status = 'paid', settled_at = 3, due_at = 4, attempts = 1, stage = 'new', stage_at = 3 WHERE id = :id AND status = 'pending';
    `,
  );
  const { port, pathname } = new URL(url);
  return {
    name: "pgbench with the same two statements",
    async turn(seconds: number) {
      const run = Bun.spawn(
        [
          Bun.which("pgbench") ?? join(server.programs, "pgbench"),
          ...["-n", "-M", "prepared", "-c", String(CONNECTIONS), "-j", "2", "-T", String(seconds)],
          ...["-h", "127.0.0.1", "-p", port, "-U", "postgres", "-f", script, pathname.slice(1)],
        ],
        { stdout: "pipe", stderr: "pipe" },
      );
      const [printed, errors] = await Promise.all([run.stdout.text(), run.stderr.text()]);
      const rate = Number(/tps = ([\d.]+)/.exec(printed)?.[1]);
      if (!(rate > 0)) throw new Error(`pgbench: ${printed}${errors}`);
      return rate;
    },
    end: async () => {},
  };
}

async function sqlite({ sqlitePath, registerUsers }: PostgresBench): Promise<Contender> {
  const peer = await startService(sqlitePath);
  await registerUsers(peer.url);
  return {
    name: "one process on SQLite",
    turn: async (seconds) =>
      (await load(peer.url, "/create_order", CONNECTIONS, seconds, USERS)).perSecond,
    end: () => peer.end(),
  };
}

/** Measures how long another instance takes to settle an order whose instance died mid-charge. */
async function takeOver(server: PostgresServer, { rounds }: PostgresBench): Promise<void> {
  const DATABASE_URL = await createDatabase(server.urlOf("postgres"));
  const PAYMENT_TIMEOUT_MS = String(TAKE_OVER_TIMEOUT_MS);
  const survivor = await startInstance({ DATABASE_URL, PAYMENT_TIMEOUT_MS });
  const post = (origin: string, path: string, body: object) =>
    fetch(origin + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  await post(survivor.url, "/register", { phone_number: "+998901234567" });
  const waits: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const slow = { DATABASE_URL, PAYMENT_TIMEOUT_MS, PAYMENT_STUB_DELAY_MS: "60000" };
    const killed = await startInstance(slow);
    const body = { user_id: 1, tariff_code: "standard_300" };
    post(killed.url, "/create_order", body).catch(() => {});
    while ((await unpaid(DATABASE_URL)) === 0) await Bun.sleep(5);
    process.kill(killed.pid, "SIGKILL");
    const diedAt = performance.now();
    while ((await unpaid(DATABASE_URL)) > 0) await Bun.sleep(20);
    waits.push(performance.now() - diedAt - TAKE_OVER_TIMEOUT_MS);
  }
  console.log(
    `Another instance settles a dead instance's order after PAYMENT_TIMEOUT_MS plus ${spread(waits.map((ms) => ms / 1000))} s.`,
  );
  await survivor.end();
}

async function unpaid(url: string): Promise<number> {
  const [row] = await execute(
    url,
    "SELECT count(*)::int AS n FROM orders WHERE status = 'pending'",
  );
  return row.n;
}
