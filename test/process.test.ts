import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { failToStart, spawnService, temporaryFolder } from "./support/process.ts";

describe("the process", () => {
  test("has every answered order after kill -9 and another start", async () => {
    using folder = temporaryFolder();
    const DATABASE_URL = `file:${join(folder.path, "x.db")}`;
    const answered: unknown[] = [];
    {
      await using service = await spawnService({ DATABASE_URL });
      const user = await service.userId();
      for (let i = 0; i < 20; i++) answered.push((await service.order(user)).body["order_id"]);
      await service.end("SIGKILL");
    }
    await using service = await spawnService({ DATABASE_URL });
    for (const orderId of answered) {
      expect((await service.get(`/orders/${orderId}`)).body["status"]).toBe("paid");
    }
    expect(await service.userId()).toBe(1);
  });

  test("prints the address, and what the stubs do, with no phone number whole", async () => {
    using folder = temporaryFolder();
    await using service = await spawnService({ DATABASE_URL: `file:${join(folder.path, "x.db")}` });
    const user = await service.userId("+998901234567");
    await service.order(user);
    await service.end();
    const printed = service.printed();
    expect(printed).toContain("NMservis is listening on http://127.0.0.1:");
    expect(printed).toContain("[STUB-SMS] Sending code to +998*****67...");
    expect(printed).toContain("[STUB-PAYMENT] Processing payment of 300 sum...");
    expect(printed).toContain("[STUB-NOTIFY] Dispatcher notified about Order #1");
    expect(printed).not.toContain("901234567");
  });

  test("ends with status 0 on SIGTERM, after the running request is answered", async () => {
    using folder = temporaryFolder();
    await using service = await spawnService({
      DATABASE_URL: `file:${join(folder.path, "x.db")}`,
      PAYMENT_STUB_DELAY_MS: "300",
    });
    const running = service.order(await service.userId());
    while (!service.printed().includes("Processing payment")) await Bun.sleep(5);
    const status = service.end("SIGTERM");
    expect((await running).status).toBe(200);
    expect(await status).toBe(0);
  });

  test("won't start on a database or a port that another has, and says which", async () => {
    using folder = temporaryFolder();
    const DATABASE_URL = `file:${join(folder.path, "x.db")}`;
    await using service = await spawnService({ DATABASE_URL });
    const sameDatabase = await failToStart({ DATABASE_URL });
    expect(sameDatabase.status).toBe(1);
    expect(sameDatabase.printed).toBe(
      `The database ${join(folder.path, "x.db")} is in use by another process.\n`,
    );
    const samePort = await failToStart({
      DATABASE_URL: `file:${join(folder.path, "y.db")}`,
      PORT: new URL(service.url).port,
    });
    expect(samePort.status).toBe(1);
    expect(samePort.printed).toContain("Can't listen on 127.0.0.1, port");
  });

  test("won't start on wrong settings, and names every one", async () => {
    const { status, printed } = await failToStart({
      DATABASE_URL: "postgres://localhost",
      PORT: "eighty",
      PAYMENT_TIMEOUT_MS: "0",
      ORDER_REPEAT_WINDOW_S: "-1",
      LOG_LEVEL: "loud",
    });
    expect(status).toBe(1);
    for (const name of [
      "DATABASE_URL",
      "PORT",
      "PAYMENT_TIMEOUT_MS",
      "ORDER_REPEAT_WINDOW_S",
      "LOG_LEVEL",
    ]) {
      expect(printed).toContain(`${name} must be`);
    }
  });
});
