import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PROBLEMS } from "../../src/http/problems.ts";
import { describeConfig, readConfig } from "../../src/config.ts";
import { temporaryFolder } from "../support/process.ts";

const ROOT = join(import.meta.dir, "../..");
const page = (name: string) => readFileSync(join(ROOT, "docs", name), "utf8");

const SECRET = `whsec_${Buffer.from("a secret of enough bytes").toString("base64")}`;

const TELEGRAM = { TELEGRAM_BOT_TOKEN: "123:abcdefghijk", TELEGRAM_DISPATCH_CHAT_ID: "-100" };

describe("settings", () => {
  test.each<[Record<string, string>, RegExp]>([
    [{ PORT: "65536" }, /PORT must be a whole number from 0 to 65535, not "65536"/],
    [{ PORT: "1.5" }, /PORT must be/],
    [{ HOST: " " }, /HOST must be an address/],
    [{ DATABASE_URL: "nmservis.db" }, /DATABASE_URL must be file: and a path/],
    [{ DATABASE_URL: "file::memory:" }, /DATABASE_URL must be/],
    [{ DATABASE_URL: "file://host/x.db" }, /DATABASE_URL must be/],
    [{ DATABASE_URL: "file:data/" }, /DATABASE_URL must be/],
    [{ DATABASE_URL: "file: " }, /DATABASE_URL must be/],
    [{ DATABASE_URL: "file:data/x.db " }, /DATABASE_URL must be/],
    [{ DATABASE_URL: "file: x.db" }, /DATABASE_URL must be/],
    [{ DATABASE_URL: "postgres://host" }, /DATABASE_URL must be/],
    [{ DATABASE_URL: "postgres:///shop" }, /DATABASE_URL must be/],
    [{ DATABASE_URL: "postgres://shop:100%@host/shop" }, /special characters percent-encoded/],
    [{ DATABASE_URL: "postgres://host:port/shop" }, /DATABASE_URL must be/],
    [{ API_KEY: "a,,b" }, /API_KEY must be one or more keys/],
    [{ API_KEY: "ключ" }, /API_KEY must be one or more keys/],
    [{ ADMIN_API_KEY: "owner" }, /ADMIN_API_KEY needs API_KEY/],
    [{ API_KEY: "a,b", ADMIN_API_KEY: "b" }, /must not have a key in common/],
    [{ HOST: "0.0.0.0" }, /HOST must be a loopback address/],
    [{ ALLOWED_HOSTS: "a b" }, /ALLOWED_HOSTS must be/],
    [{ ALLOWED_HOSTS: "https://nomus.uz" }, /ALLOWED_HOSTS must be/],
    [{ CORS_ORIGINS: "*" }, /CORS_ORIGINS must be one or more origins/],
    [{ CORS_ORIGINS: "null" }, /CORS_ORIGINS must be/],
    [{ CORS_ORIGINS: "https://nomus.uz/" }, /CORS_ORIGINS must be/],
    [{ CORS_ORIGINS: "https://Nomus.uz" }, /CORS_ORIGINS must be/],
    [{ CORS_ORIGINS: "https://nomus.uz:443" }, /CORS_ORIGINS must be/],
    [{ CORS_ORIGINS: "ftp://nomus.uz" }, /CORS_ORIGINS must be/],
    [{ CORS_ORIGINS: "https://nomus.uz,nomus.uz" }, /CORS_ORIGINS must be/],
    [{ PAYMENT_TIMEOUT_MS: "0" }, /PAYMENT_TIMEOUT_MS must be/],
    [{ PAYMENT_STUB_DELAY_MS: "-1" }, /PAYMENT_STUB_DELAY_MS must be/],
    [{ ORDER_REPEAT_WINDOW_S: "two" }, /ORDER_REPEAT_WINDOW_S must be/],
    [{ SMS_COOLDOWN_S: "1e3" }, /SMS_COOLDOWN_S must be/],
    [{ SMS_PER_HOUR: "many" }, /SMS_PER_HOUR must be/],
    [{ ORDERS_PER_USER_PER_HOUR: "-1" }, /ORDERS_PER_USER_PER_HOUR must be/],
    [{ DISPATCHERS: "Aziza:a-key-of-16-chars" }, /DISPATCHERS needs API_KEY/],
    [{ API_KEY: "a", DISPATCHERS: "Aziza" }, /DISPATCHERS must be name:key/],
    [{ API_KEY: "a", DISPATCHERS: "Aziza:too-short" }, /DISPATCHERS must be/],
    [{ API_KEY: "a", DISPATCHERS: "A.B:a-key-of-16-chars" }, /DISPATCHERS must be/],
    [
      { API_KEY: "a", DISPATCHERS: "A:a-key-of-16-chars,A:b-key-of-16-chars" },
      /DISPATCHERS must be/,
    ],
    [
      { API_KEY: "a", DISPATCHERS: "A:a-key-of-16-chars,B:a-key-of-16-chars" },
      /DISPATCHERS must be/,
    ],
    [{ PUBLIC_URL: "orders.example.uz" }, /PUBLIC_URL must be an origin/],
    [{ PUBLIC_URL: "https://orders.example.uz/board" }, /PUBLIC_URL must be/],
    [{ PUBLIC_URL: "https://a.uz,https://b.uz" }, /PUBLIC_URL must be an origin/],
    [{ TELEGRAM_API_URL: "https://a.uz,https://b.uz" }, /TELEGRAM_API_URL must be an origin/],
    ...["\u3164", "\u115f", "\u1160", "\uffa0", "\u3164 \uffa0"].map(
      (name): [Record<string, string>, RegExp] => [
        { API_KEY: "a", DISPATCHERS: `${name}:a-key-of-16-chars` },
        /DISPATCHERS must be name:key pairs, .* visible/,
      ],
    ),
    [{ WEBHOOK_URL: "https://bot.example" }, /WEBHOOK_URL and WEBHOOK_SECRET must be set together/],
    [{ WEBHOOK_SECRET: SECRET }, /must be set together/],
    [{ WEBHOOK_URL: "http://bot.example", WEBHOOK_SECRET: SECRET }, /WEBHOOK_URL must be an https/],
    [{ WEBHOOK_URL: "https://me:pw@bot.example", WEBHOOK_SECRET: SECRET }, /WEBHOOK_URL must be/],
    [
      { WEBHOOK_URL: "https://bot.example", WEBHOOK_SECRET: "whsec_c2hvcnQ=" },
      /WEBHOOK_SECRET must be/,
    ],
    [{ WEBHOOK_URL: "https://bot.example", WEBHOOK_SECRET: "secret" }, /WEBHOOK_SECRET must be/],
    [{ TELEGRAM_BOT_TOKEN: "123:abcdefghijk" }, /TELEGRAM_BOT_TOKEN and .* must be set together/],
    [{ TELEGRAM_DISPATCH_CHAT_ID: "-100" }, /must be set together/],
    [
      { TELEGRAM_BOT_TOKEN: "bot", TELEGRAM_DISPATCH_CHAT_ID: "-100" },
      /TELEGRAM_BOT_TOKEN must be a bot token/,
    ],
    [
      { TELEGRAM_BOT_TOKEN: "123:abcdefghijk", TELEGRAM_DISPATCH_CHAT_ID: "the chat" },
      /TELEGRAM_DISPATCH_CHAT_ID must be/,
    ],
    ...["https://board", "https://localhost:8443", "https://board.", "https://[::1]"].map(
      (PUBLIC_URL): [Record<string, string>, RegExp] => [
        { ...TELEGRAM, PUBLIC_URL },
        /^Invalid settings: PUBLIC_URL must have a dot in its host name, [^;]*$/,
      ],
    ),
    [{ TELEGRAM_DISPATCH_THREAD_ID: "42" }, /TELEGRAM_DISPATCH_THREAD_ID needs TELEGRAM_BOT_TOKEN/],
    [
      { TELEGRAM_BOT_TOKEN: "123:abcdefghijk", TELEGRAM_DISPATCH_THREAD_ID: "42" },
      /must be set together.*TELEGRAM_DISPATCH_THREAD_ID needs/,
    ],
    ...["0", "-1", "1.5", "2147483648", "general"].map(
      (thread): [Record<string, string>, RegExp] => [
        { ...TELEGRAM, TELEGRAM_DISPATCH_THREAD_ID: thread },
        /TELEGRAM_DISPATCH_THREAD_ID must be a topic id/,
      ],
    ),
    [{ WEBHOOK_URL: "https://:pw@bot.example", WEBHOOK_SECRET: SECRET }, /WEBHOOK_URL must be/],
    [{ TELEGRAM_API_URL: "https://api.telegram.org/bot" }, /TELEGRAM_API_URL must be/],
    [{ LOG_LEVEL: "loud" }, /LOG_LEVEL must be one of debug, info, warn, error, not "loud"/],
  ])("such as %j are refused", (environment, message) => {
    expect(() => readConfig(environment)).toThrow(message);
  });

  test.each([
    { PUBLIC_URL: "https://board" },
    { ...TELEGRAM, PUBLIC_URL: "https://orders.example.uz" },
    { ...TELEGRAM, PUBLIC_URL: "https://10.0.0.5:8443" },
    // Telegram messages have no button for an http address, so any host is valid.
    { ...TELEGRAM, PUBLIC_URL: "http://localhost:8000" },
  ])("such as %j are accepted", (environment) => {
    expect(readConfig(environment).publicUrl).toBe(environment.PUBLIC_URL);
  });

  test("ignore spaces around a dispatcher's name", () => {
    const { dispatchers } = readConfig({
      API_KEY: "a",
      DISPATCHERS: "Aziza :a-key-of-16-chars, Bobur:b-key-of-16-chars",
    });
    expect(dispatchers.map(({ name }) => name)).toEqual(["Aziza", "Bobur"]);
  });

  test("include the topic of the Telegram chat", () => {
    const config = readConfig({ ...TELEGRAM, TELEGRAM_DISPATCH_THREAD_ID: "42" });
    expect(config.telegramDispatchThreadId).toBe(42);
    expect(describeConfig(config)).toMatchObject({ TELEGRAM_DISPATCH_THREAD_ID: 42 });
  });

  test("are refused with one message that lists every error, without keys", () => {
    const refused = () => readConfig({ PORT: "x", LOG_LEVEL: "y", API_KEY: "secret key" });
    expect(refused).toThrow(/PORT.*API_KEY.*LOG_LEVEL/);
    expect(refused).not.toThrow("secret");
  });

  test.each([
    ["file:data/x.db", "data/x.db"],
    ["file:/var/x.db", "/var/x.db"],
    ["file:///var/x.db", "/var/x.db"],
    ["file:./x.db", "./x.db"],
    ["file:C:/x.db", "C:/x.db"],
  ])("accept the database %p", (DATABASE_URL, path) => {
    expect(readConfig({ DATABASE_URL }).database).toEqual({ kind: "sqlite", path });
  });

  test("are all in docs/configuration.md, with their defaults", () => {
    const rows = Array.from(
      page("configuration.md").matchAll(/^\| `([A-Z_]+)` +\| ([^|]+?) +\|/gm),
      (row) => row.slice(1),
    );
    const documented = Object.fromEntries(
      rows.map(([name, value]) => [name, value?.replace(/^none$/, "").replaceAll("`", "")]),
    );
    const current = Object.entries(describeConfig(readConfig({})));
    expect(documented).toEqual(
      Object.fromEntries(current.map(([name, value]) => [name, String(value)])),
    );
  });

  test("stay the same if the printed settings are copied into .env", () => {
    const copy = (environment: Record<string, string>) =>
      Object.fromEntries(
        Object.entries(describeConfig(readConfig(environment))).map(([name, value]) => [
          name,
          String(value),
        ]),
      );
    expect(readConfig(copy({}))).toEqual(readConfig({}));
    const open = { HOST: "0.0.0.0", API_KEY: "key" };
    expect(readConfig({ ...copy(open), ...open })).toEqual(readConfig(open));
  });

  const EXAMPLE = readFileSync(join(ROOT, ".env.example"), "utf8");
  const EXAMPLE_LINES = EXAMPLE.match(/^#[A-Z_]+=.*$/gm) ?? [];

  /** Returns the environment that Bun reads from a file `.env` with this content. */
  async function loadEnvironment(env: string): Promise<Record<string, string>> {
    using folder = temporaryFolder();
    const file = join(folder.path, "env");
    writeFileSync(file, env);
    const print = "console.log(JSON.stringify(process.env))";
    const child = Bun.spawn([process.execPath, `--env-file=${file}`, "-e", print], {
      cwd: folder.path,
      env: {},
      stdout: "pipe",
    });
    return await child.stdout.json();
  }

  test("of a developer's .env do not reach the tests, nor the services that they start", () => {
    using folder = temporaryFolder();
    writeFileSync(join(folder.path, ".env"), "BACKUP_DIR=precious\n");
    const child = `Bun.spawnSync([process.execPath, "-p", "process.env.BACKUP_DIR"], { env: process.env })`;
    const script = `import { expect, test } from "bun:test";
      test("x", () => expect(${child}.stdout.toString().trim()).toBe(""));`;
    writeFileSync(join(folder.path, "x.test.ts"), script);
    const preload = join(ROOT, "test/support/preload.ts");
    const { exitCode, stderr } = Bun.spawnSync([process.execPath, "test", "--preload", preload], {
      ...{ cwd: folder.path, env: {} },
    });
    expect(exitCode, stderr.toString()).toBe(0);
  });

  test("appear once each in .env.example", () => {
    const names = EXAMPLE_LINES.map((line) => line.slice(1, line.indexOf("=")));
    expect(names.toSorted()).toEqual(Object.keys(describeConfig(readConfig({}))).toSorted());
  });

  test("have their defaults if every line of .env.example is uncommented", async () => {
    const environment = await loadEnvironment(EXAMPLE.replaceAll(/^#(?=[A-Z_]+=)/gm, ""));
    expect(Object.keys(environment)).toEqual(expect.arrayContaining(["WEBHOOK_SECRET", "PORT"]));
    expect(readConfig(environment)).toEqual(readConfig({}));
    // A public address requires a key, and changes the default of ALLOWED_HOSTS.
    const open = { HOST: "0.0.0.0", API_KEY: "key" };
    expect(readConfig({ ...environment, ...open })).toEqual(readConfig(open));
  });

  test.each(EXAMPLE_LINES)(
    "have the default if the line %p of .env.example is uncommented",
    (line) => {
      const [, name = "", value = ""] = /^#([A-Z_]+)=(.*)$/.exec(line) ?? [];
      expect(readConfig({ [name]: value })).toEqual(readConfig({}));
    },
  );
});

test("the error table in docs/api.md lists exactly the service's codes, with their statuses", () => {
  const rows = Array.from(
    page("api.md").matchAll(/^\| `([a-z_]+)` (\d{3}) +\|/gm),
    ([, code, status]) => `${status} ${code}`,
  );
  const inCode = Object.entries(PROBLEMS).map(([code, { status }]) => `${status} ${code}`);
  expect(rows.toSorted()).toEqual(inCode.toSorted());
});
