import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { INSTANCE_SABOTAGES, KILL_POINTS } from "./real-crashes/kill-points.ts";
import { killRepeatedly, runInstances } from "./real-crashes/kill-run.ts";
import { postgresDatabase } from "./real-crashes/run-database.ts";
import { buildBrokenService, makeTools } from "./real-crashes/tools.ts";
import { createDatabase, startPostgres } from "../support/postgres.ts";
import { temporaryFolder } from "../support/process.ts";
import { skip } from "../support/skip.ts";

// Runs the short version by default; `bun run test:crash` runs the long one.

const LONG = process.env["CRASH"] === "long";
const KILLS_AT_EACH_POINT = LONG ? 24 : 1;

/** The PostgreSQL server crashes once per this many kills. */
const KILLS_PER_CRASH = LONG ? 8 : 4;

setDefaultTimeout(LONG ? 1_800_000 : 120_000);

const SEED = Number(process.env["SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const REPLAY = `Rerun with this seed: SEED=${SEED} bun test test/proofs/real-crashes-of-instances.test.ts`;
console.log(REPLAY);

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const tools = await makeTools();

const NOT_INSTALLED = "PostgreSQL, which is not installed (Debian's postgresql)";

test("three instances charge each order once, lose no answered order, and notify of every paid order while one instance and PostgreSQL keep crashing", async () => {
  await using server = await startPostgres();
  if (server === undefined) return skip(NOT_INSTALLED);
  const database = postgresDatabase(await createDatabase(server.urlOf("postgres")));
  const points = Array.from({ length: KILLS_AT_EACH_POINT }, () => KILL_POINTS).flat();
  let crashes = 0;
  const { kills, violations, ...figures } = await killRepeatedly(tools.service, database, {
    seed: SEED,
    points,
    maxHits: 24,
    faultRate: 0.2,
    declineRate: 0.2,
    otherInstances: 2,
    databaseCrash: {
      killsPerCrash: KILLS_PER_CRASH,
      async run() {
        crashes += 1;
        await server.crash();
        await server.start();
      },
    },
  });
  console.log(
    `${points.length} kills and ${crashes} PostgreSQL crashes: ${figures.orders} orders, ${figures.answers} answers, ` +
      `${figures.charges} charges, ${figures.notifications} notifications, ${violations.length} violations`,
  );
  expect(violations, REPLAY).toEqual([]);
  for (const point of KILL_POINTS) expect(kills.get(point), point).toBeGreaterThan(0);
  expect(crashes).toBeGreaterThan(1);
  expect(figures.charges).toBeGreaterThan(points.length);
});

describe("two instances under faults", () => {
  test("never charge an order concurrently, and the harness detects sabotage", async () => {
    await using server = await startPostgres();
    if (server === undefined) return skip(NOT_INSTALLED);
    const sound = {
      name: undefined,
      mutations: [],
      faults: {
        dueOrders: true,
        holdInserts: true,
        holdClaims: true,
        restarts: true,
        cuts: true,
      } as const,
    };
    // The short version picks one run by the seed.
    const runs = LONG
      ? [sound, ...INSTANCE_SABOTAGES]
      : [sound, ...INSTANCE_SABOTAGES].filter(
          (_, at) => at === SEED % (INSTANCE_SABOTAGES.length + 1),
        );
    const found = await Promise.all(
      runs.map(async ({ name, mutations, faults }) => {
        const script =
          mutations.length === 0 ? tools.service : await buildBrokenService(folder.path, mutations);
        const database = postgresDatabase(await createDatabase(server.urlOf("postgres")));
        const violations = await runInstances(script, tools.service, database, faults);
        return { name, violations };
      }),
    );
    for (const { name, violations } of found) {
      if (name === undefined) expect(violations).toEqual([]);
      else {
        const expected = violations.find((violation) => /has concurrent charges$/.test(violation));
        console.log(`${name}: ${violations.length} violations, e.g. ${expected}`);
        expect(expected, name).toBeDefined();
      }
    }
  });
});
