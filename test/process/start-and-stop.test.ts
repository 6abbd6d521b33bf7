import { describe, expect, test, setDefaultTimeout } from "bun:test";
import { closeSync, openSync, read } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { createClient } from "../support/client.ts";
import { failToStart, spawnService, temporaryFolder } from "../support/process.ts";
import { serviceCommand, SOURCE_COMMAND } from "../support/service-command.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { skip } from "../support/skip.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const urlIn = (printed: string) => /listening on (\S+)/.exec(printed)?.[1] ?? "";

describe("process", () => {
  test("keeps every answered order after kill -9", async () => {
    using folder = temporaryFolder();
    const DATABASE_URL = `file:${join(folder.path, "x.db")}`;
    const answered: unknown[] = [];
    {
      await using service = await spawnService({ DATABASE_URL }, SOURCE_COMMAND);
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

  test("prints the address and the stubs' log lines with masked phone numbers", async () => {
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

  test.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)(
    "exits with status 0 on %s after answering the running request",
    async (signal) => {
      using folder = temporaryFolder();
      await using service = await spawnService({
        DATABASE_URL: `file:${join(folder.path, "x.db")}`,
        PAYMENT_STUB_DELAY_MS: "300",
      });
      const running = service.order(await service.userId());
      while (!service.printed().includes("Processing payment")) await Bun.sleep(5);
      const status = service.end(signal);
      expect((await running).status).toBe(200);
      expect(await status).toBe(0);
      expect(Bun.file(join(folder.path, "x.db-wal")).size).toBe(0);
    },
  );

  test("started with nohup keeps running when its terminal closes", async () => {
    if (process.platform !== "linux") return skip("nohup, which needs Linux's /proc");
    using folder = temporaryFolder();
    const environment = { DATABASE_URL: `file:${join(folder.path, "x.db")}` };
    const command = ["nohup", ...(await serviceCommand())];
    await using service = await spawnService(environment, command);
    service.signal("SIGHUP");
    service.signal("SIGTERM");
    expect(await service.end()).toBe(0);
    expect(service.printed()).toContain("SIGTERM: finishing");
  });

  test("does not start on a database or port in use, and names it", async () => {
    using folder = temporaryFolder();
    const DATABASE_URL = `file:${join(folder.path, "x.db")}`;
    await using service = await spawnService({ DATABASE_URL });
    const sameDatabase = await failToStart({ DATABASE_URL });
    expect(sameDatabase.status).toBe(1);
    expect(sameDatabase.printed).toEndWith(
      `The database ${join(folder.path, "x.db")} is in use by another process.\n`,
    );
    const samePort = await failToStart({
      DATABASE_URL: `file:${join(folder.path, "y.db")}`,
      PORT: new URL(service.url).port,
    });
    expect(samePort.status).toBe(1);
    expect(samePort.printed).toContain("Can't listen on 127.0.0.1, port");
  });

  test("answers requests and stops if its output is not read", async () => {
    using folder = temporaryFolder();
    const pipe = join(folder.path, "pipe");
    expect(Bun.spawnSync(["mkfifo", pipe]).success).toBe(true);
    // Opened for reading and writing, so that the pipe never breaks.
    const stdout = openSync(pipe, "r+");
    await using child = Bun.spawn([...(await serviceCommand())], {
      env: {
        ...process.env,
        DATABASE_URL: `file:${join(folder.path, "x.db")}`,
        PORT: "0",
        PAYMENT_STUB_DELAY_MS: "0",
        ORDERS_PER_USER_PER_HOUR: "0",
      },
      stdout,
      stderr: "inherit",
    });
    // Reads only the address; a stream would keep reading.
    let printed = "";
    while (!/listening on .*\n/.test(printed)) {
      const { bytesRead, buffer } = await promisify(read)(
        stdout,
        Buffer.alloc(1024),
        0,
        1024,
        null,
      );
      printed += buffer.toString("utf8", 0, bytesRead);
    }
    const { userId, order } = createClient(fetch, urlIn(printed));
    const user = await userId();
    // About 600 log bytes each: more in total than the pipe's 64 KiB.
    for (let i = 0; i < 250; i++) {
      expect((await order(user, { "idempotency-key": `key-${i}` })).status).toBe(200);
    }
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    closeSync(stdout);
  });

  test("logs how many lines were lost while its output was not read", async () => {
    using folder = temporaryFolder();
    await using child = Bun.spawn([...(await serviceCommand())], {
      env: {
        ...process.env,
        DATABASE_URL: `file:${join(folder.path, "x.db")}`,
        PORT: "0",
      },
      stdout: "pipe",
      stderr: "pipe",
    });
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let printed = "";
    const readUntil = async (words: string) => {
      while (!printed.includes(words)) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`the log ended: ${printed.slice(-200)}`);
        printed += value;
      }
    };
    await readUntil("listening on");
    const url = urlIn(printed);
    // About 200 log bytes each: more than the 1 MiB buffer, the pipe and this process hold.
    const ask = () => fetch(url).then((response) => response.text());
    for (let i = 0; i < 400; i++) await Promise.all(Array.from({ length: 50 }, ask));
    await readUntil("lines were lost: stdout was not read in time.");
    expect(printed).toMatch(/^\{"time":.*"level":"error".*"\d+ lines were lost/m);
    child.kill("SIGTERM");
    expect(await child.stderr.text()).toBe("");
  });

  test("does not start with invalid settings, and names each of them", async () => {
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

describe("process after SIGTERM", () => {
  async function start(environment: Record<string, string>) {
    const folder = temporaryFolder();
    const service = await spawnService({
      DATABASE_URL: `file:${join(folder.path, "x.db")}`,
      ...environment,
    });
    return {
      service,
      folder,
      [Symbol.asyncDispose]: async () => {
        await service[Symbol.asyncDispose]();
        folder[Symbol.dispose]();
      },
    };
  }

  async function connect(url: string) {
    const { hostname, port } = new URL(url);
    const received = { text: "" };
    const closed = Promise.withResolvers<void>();
    const socket = await Bun.connect({
      hostname,
      port: Number(port),
      socket: {
        data: (_socket, chunk) => void (received.text += chunk.toString()),
        close: () => closed.resolve(),
      },
    });
    return { socket, received, closed: closed.promise };
  }

  test("exits within the payment timeout even if a client has sent half a request", async () => {
    await using started = await start({ PAYMENT_TIMEOUT_MS: "300" });
    const { socket, closed } = await connect(started.service.url);
    socket.write(
      "POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n",
    );
    socket.write("Content-Length: 100\r\n\r\n{");
    await started.service.userId();
    expect(await started.service.end("SIGTERM")).toBe(0);
    await closed;
  });

  test("answers 202 for a hanging payment, and the next process retries it immediately", async () => {
    await using started = await start({ PAYMENT_TIMEOUT_MS: "300" });
    const { service, folder } = started;
    const running = service.order(await service.userId("+998900000003"));
    while (!service.printed().includes("Processing payment")) await Bun.sleep(5);
    const status = service.end("SIGTERM");
    expect((await running).status).toBe(202);
    expect(await status).toBe(0);

    await using next = await spawnService({
      DATABASE_URL: `file:${join(folder.path, "x.db")}`,
      PAYMENT_TIMEOUT_MS: "50",
    });
    while (!next.printed().includes("Processing payment")) await Bun.sleep(5);
  });

  test("answers a request whose body arrives late", async () => {
    // One payment fits within the deadline, two do not. After the first, 4 s are left for the body.
    await using started = await start({
      PAYMENT_TIMEOUT_MS: "8500",
      PAYMENT_STUB_DELAY_MS: "4500",
    });
    const { service } = started;
    const user = await service.userId();
    const body = JSON.stringify({ user_id: user, tariff_code: "standard_300" });
    const { socket, received, closed } = await connect(service.url);
    socket.write("POST /create_order HTTP/1.1\r\nHost: localhost\r\n");
    socket.write(`Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n{`);
    const other = service.order(await service.userId("+998901234568"));
    while (!service.printed().includes("Processing payment")) await Bun.sleep(1);
    const status = service.end("SIGTERM");
    expect((await other).status).toBe(200);
    socket.write(body.slice(1));
    await closed;
    // No time is left for its payment: the order is stored, and the next process charges it.
    expect(received.text).toStartWith("HTTP/1.1 202 Accepted");
    expect(await status).toBe(0);
  });

  test("ignores further signals", async () => {
    await using started = await start({ PAYMENT_STUB_DELAY_MS: "300" });
    const { service } = started;
    const running = service.order(await service.userId());
    while (!service.printed().includes("Processing payment")) await Bun.sleep(5);
    service.signal("SIGINT");
    service.signal("SIGTERM");
    const status = service.end("SIGINT");
    expect((await running).status).toBe(200);
    expect(await status).toBe(0);
    expect(service.printed().match(/finishing running requests, then stopping/g)).toHaveLength(1);
  });

  test("refuses new connections", async () => {
    await using started = await start({ PAYMENT_STUB_DELAY_MS: "300" });
    const { service } = started;
    const running = service.order(await service.userId());
    while (!service.printed().includes("Processing payment")) await Bun.sleep(5);
    service.signal("SIGTERM");
    const refused = async () => {
      try {
        await connect(service.url);
        return false;
      } catch {
        return true;
      }
    };
    while (!(await refused())) await Bun.sleep(5);
    expect((await running).status).toBe(200);
  });
});
