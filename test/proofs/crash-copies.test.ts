import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { COPY_SABOTAGES, KILL_POINTS } from "./crash/kill-points.ts";
import { killRepeatedly, runCopies } from "./crash/kill-run.ts";
import { postgresDatabase } from "./crash/run-database.ts";
import { buildBrokenVictim, makeTools } from "./crash/tools.ts";
import { createDatabase, startPostgres } from "../support/postgres.ts";
import { temporaryFolder } from "../support/process.ts";
import { skip } from "../support/skip.ts";

// Breaks copies of the service on purpose, and the server under them. The short version is part of every
// run; `bun run test:crash` runs the long one.

const LONG = process.env["CRASH"] === "long";
const KILLS_AT_EACH_POINT = LONG ? 24 : 1;

/** The server crashes once for so many kills. */
const KILLS_FOR_A_CRASH = LONG ? 8 : 4;

setDefaultTimeout(LONG ? 1_800_000 : 120_000);

const SEED = Number(process.env["SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const REPLAY = `SEED=${SEED} bun test test/proofs/crash-copies.test.ts makes the same decisions again`;
console.log(REPLAY);

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const tools = await makeTools();

const NOT_INSTALLED = "PostgreSQL, which is not installed (Debian's postgresql)";

test("three copies, one killed again and again and the server as well, charge once, lose no answered order, and notify of every paid order", async () => {
  await using server = await startPostgres();
  if (server === undefined) return skip(NOT_INSTALLED);
  const database = postgresDatabase(await createDatabase(server.urlOf("postgres")));
  const points = Array.from({ length: KILLS_AT_EACH_POINT }, () => KILL_POINTS).flat();
  let crashes = 0;
  const { kills, wrongs, ...figures } = await killRepeatedly(tools.victim, database, {
    seed: SEED,
    points,
    maxPasses: 24,
    faultRate: 0.2,
    declineRate: 0.2,
    bystanders: 2,
    disaster: {
      kills: KILLS_FOR_A_CRASH,
      async strike() {
        crashes += 1;
        await server.crash();
        await server.start();
      },
    },
  });
  console.log(
    `${points.length} kills and ${crashes} crashes of the server: ${figures.orders} orders, ${figures.answers} answers, ` +
      `${figures.charges} charges, ${figures.notifications} notifications, ${wrongs.length} wrongs`,
  );
  expect(wrongs, REPLAY).toEqual([]);
  for (const point of KILL_POINTS) expect(kills.get(point), point).toBeGreaterThan(0);
  expect(crashes).toBeGreaterThan(1);
  expect(figures.charges).toBeGreaterThan(points.length);
});

describe("where two copies go through an ordeal", () => {
  test("no two ask for the money of one order, and the harness notices a sabotage", async () => {
    await using server = await startPostgres();
    if (server === undefined) return skip(NOT_INSTALLED);
    const sound = {
      name: undefined,
      mutations: [],
      ordeal: {
        dueOrders: true,
        holdOpenings: true,
        holdClaims: true,
        restarts: true,
        cuts: true,
      } as const,
    };
    // One of them in the short version, by the seed.
    const ordeals = LONG
      ? [sound, ...COPY_SABOTAGES]
      : [sound, ...COPY_SABOTAGES].filter((_, at) => at === SEED % (COPY_SABOTAGES.length + 1));
    const found = await Promise.all(
      ordeals.map(async ({ name, mutations, ordeal }) => {
        const victim =
          mutations.length === 0 ? tools.victim : await buildBrokenVictim(folder.path, mutations);
        const database = postgresDatabase(await createDatabase(server.urlOf("postgres")));
        const wrongs = await runCopies(victim, tools.victim, database, ordeal);
        return { name, wrongs };
      }),
    );
    for (const { name, wrongs } of found) {
      if (name === undefined) expect(wrongs).toEqual([]);
      else {
        const shown = wrongs.find((wrong) => /^two ask for the money of order/.test(wrong));
        console.log(`${name}: ${wrongs.length} wrongs, such as: ${shown}`);
        expect(shown, name).toBeDefined();
      }
    }
  });
});
