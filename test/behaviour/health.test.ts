import { describe, expect, spyOn, test } from "bun:test";
import { createService } from "../support/service.ts";

describe("health check", () => {
  test("does not change tariffs", async () => {
    const { get } = createService();
    const before = await get("/tariffs");
    await Promise.all(Array.from({ length: 5 }, () => get("/health")));
    expect((await get("/tariffs")).body).toEqual(before.body);
  });

  test("writes at most once a second", async () => {
    const { get, dependencies, world } = createService();
    const ping = spyOn(dependencies.store, "ping");
    await Promise.all(Array.from({ length: 20 }, () => get("/health")));
    world.nowMs += 999;
    await get("/health");
    expect(ping).toHaveBeenCalledTimes(1);
    world.nowMs += 1;
    await get("/health");
    expect(ping).toHaveBeenCalledTimes(2);
    // A clock that is set back does not delay the next write.
    world.nowMs -= 3_600_000;
    await get("/health");
    expect(ping).toHaveBeenCalledTimes(3);
  });

  test("returns 200 if the database accepts writes, else 503", async () => {
    const { get, dependencies, world } = createService();
    const healthy = await get("/health");
    expect([healthy.status, healthy.body]).toEqual([200, { status: "ok" }]);
    await dependencies.store.close();
    world.nowMs += 1000;
    const failing = await get("/health");
    expect([failing.status, failing.body["code"]]).toEqual([503, "unavailable"]);
  });
});
