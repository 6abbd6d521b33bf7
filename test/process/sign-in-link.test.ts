import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { freePort } from "../support/free-port.ts";
import { runCommand, spawnService, temporaryFolder } from "../support/process.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SETTINGS = {
  API_KEY: "a-client-s-key-of-it",
  DISPATCHERS: "Дилноза:dilnoza-s-key-for-it,Bekzod:bekzod-s-key-for-thi",
  // Not needed by the command.
  LOG_LEVEL: "nonsense",
};

function run(name: string, settings: Record<string, string> = {}) {
  return runCommand(["sign-in-link", name], { ...SETTINGS, ...settings });
}

describe("sign-in-link command", () => {
  test("prints a link to the running service that signs in once", async () => {
    using folder = temporaryFolder();
    const PORT = String(freePort());
    await using service = await spawnService({
      ...{ ...SETTINGS, PORT, LOG_LEVEL: "info" },
      DATABASE_URL: `file:${join(folder.path, "x.db")}`,
    });
    const { status, printed, complaints } = await run("Дилноза", { PORT });
    expect([status, complaints]).toEqual([0, ""]);
    const url = new URL(/^http:\S+$/m.exec(printed)?.[0] ?? "");
    expect(url.origin).toBe(service.url);
    expect(printed).toEndWith(
      "Signs in Дилноза once, within 15 minutes.\n" +
        "It works on this machine only; for other devices, set PUBLIC_URL.\n",
    );
    expect(await (await fetch(url)).text()).toContain("Войти как <bdi>Дилноза</bdi>");
    const signIn = async () => {
      const answer = await fetch(`${url.origin}/board/sign-in`, {
        method: "POST",
        body: url.searchParams,
        headers: { "sec-fetch-site": "same-origin" },
        redirect: "manual",
      });
      return answer.status;
    };
    expect([await signIn(), await signIn()]).toEqual([303, 403]);
    expect(service.printed()).not.toContain(url.searchParams.get("link")?.split(".")[2]);
  });

  test("prints a QR code of at most 80 columns, and PUBLIC_URL if it is set", async () => {
    const { printed } = await run("Bekzod", { PUBLIC_URL: "https://orders.example.uz", PORT: "0" });
    const lines = printed.trimEnd().split("\n");
    expect(lines.at(-2)).toStartWith("https://orders.example.uz/board/sign-in?link=");
    expect(lines.at(-1)).toBe("Signs in Bekzod once, within 15 minutes.");
    const code = lines.slice(0, -2);
    // Two modules per line, and two more modules of margin on each side.
    const modules = [...(code[0] ?? "")].length - 4;
    expect(modules % 4).toBe(1);
    expect(code).toHaveLength(Math.ceil((modules + 4) / 2));
    for (const line of code) expect([...line]).toHaveLength(modules + 4);
    expect(modules + 4).toBeLessThanOrEqual(80);
  });

  test.each([
    [{ HOST: "0.0.0.0", PORT: "8001" }, "http://127.0.0.1:8001/"],
    [{ HOST: "::1", PORT: "8001" }, "http://[::1]:8001/"],
    [{ HOST: "192.168.0.2", PORT: "8001" }, "http://192.168.0.2:8001/"],
  ])("without PUBLIC_URL, %p leads to %s", async (settings, start) => {
    expect((await run("Bekzod", settings)).printed).toContain(`\n${start}board/sign-in?link=`);
  });

  test.each([
    [{}, "Dilnoza", 2, 'sign-in-link: NAME must be one of Дилноза, Bekzod, not "Dilnoza"; see'],
    [
      { DISPATCHERS: "" },
      "Bekzod",
      1,
      "DISPATCHERS is not set: there is no dispatcher to sign in.",
    ],
    [{ DISPATCHERS: "x" }, "Bekzod", 1, "Invalid settings: DISPATCHERS must be name:key pairs"],
    [{ PORT: "0" }, "Bekzod", 1, "PORT is 0, so the address is unknown: set PUBLIC_URL."],
  ])("with %p rejects %s with status %d", async (settings, name, status, message) => {
    const answer = await run(name, settings);
    expect([answer.status, answer.printed]).toEqual([status, ""]);
    expect(answer.complaints).toStartWith(`nmservis: ${message}`);
  });
});
