import { describe, expect, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KILL_POINTS, SABOTAGES } from "./real-crashes/kill-points.ts";
import { killRepeatedly } from "./real-crashes/kill-run.ts";
import { sqliteFile } from "./real-crashes/run-database.ts";
import { cutPowerEverywhere, type PowerSabotage } from "./real-crashes/power-cut.ts";
import { makeTools } from "./real-crashes/tools.ts";
import { mountDisk } from "../support/disk.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { skip } from "../support/skip.ts";

// Runs the short version by default; `bun run test:crash` runs the long one.

const LONG = process.env["CRASH"] === "long";
const KILLS_AT_EACH_POINT = LONG ? 112 : 4;

/** Ways of losing unsynced data to try per power cut; see `cutPowerEverywhere`. */
const VARIANTS = LONG ? [0, 1, 2, 3, 4, 5] : [0];
const ORDERS = 300;

const TIMEOUT_MS = LONG ? 1_800_000 : 120_000;

/** Seeds the kills, the clients and the outside world. Real processes do not replay exactly. */
const SEED = Number(process.env["SEED"] ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const REPLAY = `Rerun with this seed: SEED=${SEED} bun test test/proofs/real-crashes.test.ts`;
console.log(REPLAY);

const tools = await makeTools();

describe("service killed at every stage of a payment", () => {
  test(
    "charges once, loses no answered order, and notifies the dispatcher of every paid order",
    async () => {
      const points = Array.from({ length: KILLS_AT_EACH_POINT }, () => KILL_POINTS).flat();
      using folder = temporaryFolder();
      const database = sqliteFile(join(folder.path, "x.db"));
      const { kills, violations, ...figures } = await killRepeatedly(tools.service, database, {
        seed: SEED,
        points,
        maxHits: 24,
        faultRate: 0.2,
        declineRate: 0.2,
      });
      const counts = Array.from(kills, ([point, count]) => `${count} ${point}`);
      console.log(
        `${points.length} kills (${counts.join(", ")}): ${figures.orders} orders, ${figures.answers} answers, ` +
          `${figures.charges} charges, ${figures.notifications} notifications, ${violations.length} violations`,
      );
      expect(violations, REPLAY).toEqual([]);
      for (const point of KILL_POINTS) {
        expect(kills.get(point), point).toBeGreaterThanOrEqual(KILLS_AT_EACH_POINT);
      }
      expect(figures.charges).toBeGreaterThan(points.length);
    },
    TIMEOUT_MS,
  );

  test.each(SABOTAGES)(
    "harness detects: $name",
    async ({ name, point, shows }) => {
      using folder = temporaryFolder();
      const database = sqliteFile(join(folder.path, "x.db"));
      const { violations } = await killRepeatedly(tools.service, database, {
        seed: SEED,
        points: [point],
        maxHits: 1,
        faultRate: 0,
        declineRate: 0,
        sabotage: name,
      });
      const expected = violations.find((violation) => shows.test(violation));
      console.log(`${name}: ${violations.length} violations, e.g. ${expected}`);
      expect(expected, REPLAY).toBeDefined();
    },
    TIMEOUT_MS,
  );
});

describe("power cut at every write", () => {
  test(
    "loses no answered order and corrupts no database",
    async () => {
      const { writeLog } = tools;
      if (writeLog === null) return skip("the power cuts, which need a C compiler");
      const { cuts, acknowledged, syncs, violations } = await cutPowerEverywhere(
        { ...tools, writeLog },
        ORDERS,
        VARIANTS,
      );
      console.log(
        `${cuts} power cuts during ${acknowledged} orders with ${syncs} syncs: ${violations.length} violations`,
      );
      expect(violations).toEqual([]);
      expect(acknowledged).toBe(ORDERS);
      expect(cuts).toBeGreaterThan(ORDERS);
    },
    TIMEOUT_MS,
  );

  test.each<PowerSabotage>(["synchronous off", "a disk that drops syncs"])(
    "harness detects %p",
    async (sabotage) => {
      const { writeLog } = tools;
      if (writeLog === null) return skip("the power cuts, which need a C compiler");
      const { cuts, violations } = await cutPowerEverywhere(
        { ...tools, writeLog },
        ORDERS,
        VARIANTS,
        sabotage,
      );
      console.log(`${sabotage}: caught by cut ${cuts}: ${violations[0]}`);
      expect(violations).not.toEqual([]);
    },
    TIMEOUT_MS,
  );
});

describe("service with a failing fsync", () => {
  test(
    "answers orders with 503, does not charge them, and they do not reappear after a crash",
    async () => {
      const { writeLog } = tools;
      if (writeLog === null) return skip("the failing syncs, which need a C compiler");
      using folder = temporaryFolder();
      const path = join(folder.path, "x.db");
      const fault = join(folder.path, "fault");
      const DATABASE_URL = `file:${path}`;
      {
        await using service = await spawnService({
          DATABASE_URL,
          LD_PRELOAD: writeLog,
          WRITE_LOG_OF: path,
          WRITE_LOG_FAIL_SYNCS: fault,
        });
        const user = await service.userId();
        expect((await service.order(user, { "idempotency-key": "1" })).status).toBe(200);
        writeFileSync(fault, "");
        expect((await service.get("/health")).status).toBe(503);
        const refused = await Promise.all(
          ["2", "3", "4"].map((key) => service.order(user, { "idempotency-key": key })),
        );
        expect(refused.map(({ body }) => body["code"])).toEqual(Array(3).fill("unavailable"));
        expect((await service.get("/orders/2")).status).toBe(404);
        await service.end("SIGKILL");
        expect(service.printed().match(/STUB-PAYMENT/g)).toHaveLength(1);
      }
      await using service = await spawnService({ DATABASE_URL });
      expect((await service.get("/orders/1")).body["status"]).toBe("paid");
      expect((await service.get("/orders/2")).status).toBe(404);
      const again = await service.order(1, { "idempotency-key": "2" });
      expect([again.status, again.headers.get("idempotent-replayed")]).toEqual([200, null]);
    },
    TIMEOUT_MS,
  );
});

describe("service on a full disk", () => {
  test(
    "answers orders with 503, loses no answered order, and recovers once there is space",
    async () => {
      using folder = temporaryFolder();
      const path = join(folder.path, "disk");
      using disk = mountDisk(path, "1m");
      if (disk === undefined) return skip("the full disk, which needs permission to mount a tmpfs");
      const filler = join(path, "filler");
      writeFileSync(filler, Buffer.alloc(256 * 1024));
      const DATABASE_URL = `file:${join(path, "x.db")}`;
      const environment = { DATABASE_URL, ORDER_REPEAT_WINDOW_S: "0", LOG_LEVEL: "error" };
      const paid: unknown[] = [];
      {
        await using service = await spawnService(environment);
        const user = await service.userId();
        let refusals = 0;
        for (let i = 0; i < 20_000 && refusals < 5; i++) {
          const { status, body } = await service.order(user);
          if (status === 200) paid.push(body["order_id"]);
          // 202: inserted and charged, then the disk was too full to record the outcome.
          else if (status !== 202) {
            expect([status, body["code"]]).toEqual([503, "unavailable"]);
            refusals += 1;
          }
        }
        expect(refusals).toBe(5);
        expect((await service.get(`/orders/${paid.at(-1)}`)).body["status"]).toBe("paid");
        rmSync(filler);
        const again = await service.order(user);
        expect(again.status).toBe(200);
        paid.push(again.body["order_id"]);
        await service.end("SIGKILL");
      }
      await using service = await spawnService(environment);
      for (const orderId of paid) {
        expect((await service.get(`/orders/${orderId}`)).body["status"]).toBe("paid");
      }
      console.log(`Full disk: ${paid.length} paid orders, none lost`);
    },
    TIMEOUT_MS,
  );
});
