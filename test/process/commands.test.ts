import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { version } from "../../package.json";
import type { Context } from "../../src/commands/command.ts";
import { orders } from "../../src/commands/orders.ts";
import { createProgress, formatTable } from "../../src/commands/terminal.ts";
import { backupDatabase } from "../../src/store/sqlite/backup.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { mountDisk } from "../support/disk.ts";
import { createDatabase, type PostgresServer, startPostgres } from "../support/postgres.ts";
import { runCommand, spawnService, temporaryFolder } from "../support/process.ts";
import { addUser } from "../support/rows.ts";
import { serviceCommand } from "../support/service-command.ts";
import { skip } from "../support/skip.ts";
import { openStore } from "../support/store.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

let server: PostgresServer | undefined;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => server?.[Symbol.asyncDispose]());

const CONTEXT: Context = {
  environment: {},
  print: () => {},
  written: async () => {},
  writeBytes: async (bytes) => bytes.length,
  isTerminal: false,
  now: Date.now,
  elapsed: () => 0,
  fetch,
  randomId: () => "id",
  command: [],
};

describe("command line", () => {
  test("prints help and version", async () => {
    const help = await runCommand(["--help"]);
    expect(help).toMatchObject({ status: 0, complaints: "" });
    expect(help.printed.split("\n").length).toBeLessThanOrEqual(20);
    for (const name of ["serve", "orders", "tariffs"]) expect(help.printed).toContain(name);
    expect((await runCommand(["orders", "--help"])).printed).toBe(help.printed);
    expect(await runCommand(["--version"])).toEqual({
      status: 0,
      printed: `nmservis ${version}\n`,
      complaints: "",
    });
  });

  test.each([
    [["nope"], "unknown command nope"],
    [["--nope"], "unknown command --nope"],
    [["orders", "--nope"], "orders: Unknown option '--nope'"],
    [["orders", "--last"], "orders: Option '--last <value>' argument missing"],
    [
      ["orders", "--last", "0"],
      'orders: --last must be a whole number from 1 to 999999999, not "0"',
    ],
    [
      ["orders", "--status", "free"],
      'orders: --status must be one of pending, paid, declined, not "free"',
    ],
    [["orders", "x"], "usage: nmservis orders [--status STATUS] [--last N] [--json]"],
    [["serve", "x"], "usage: nmservis serve"],
    [["backup"], "usage: nmservis backup FILE"],
    [["backup", ""], "usage: nmservis backup FILE"],
    [["restore", ""], "usage: nmservis restore FILE"],
    [["restore", "x "], "usage: nmservis restore FILE"],
  ])("rejects %p with status 2 and a message", async (words, message) => {
    using folder = temporaryFolder();
    expect(await runCommand(words, {}, folder.path)).toEqual({
      status: 2,
      printed: "",
      complaints: `nmservis: ${message}; see nmservis --help.\n`,
    });
  });
});

/** Runs `look` beside a running service with a paid, a declined and an in-doubt order. */
async function withOrders(url: string | undefined, look: (DATABASE_URL: string) => Promise<void>) {
  if (url === undefined) return skip("PostgreSQL, which is not installed (Debian's postgresql)");
  const first = await spawnService({ DATABASE_URL: url, PAYMENT_STUB_DELAY_MS: "0" });
  for (const number of ["+998901234567", "+998900000002"]) {
    await first.order(await first.userId(number));
  }
  await first.end();
  // The provider never answers in time, so the order stays in doubt while the commands run.
  const never = { PAYMENT_TIMEOUT_MS: "200", PAYMENT_STUB_DELAY_MS: "120000" };
  await using service = await spawnService({ DATABASE_URL: url, ...never });
  await service.order(await service.userId("+998900000003"));
  await service.put("/tariffs/late", { title: "Late", price_tiyin: 150, active: false });
  await look(url);
}

describe.each(["SQLite", "PostgreSQL"])("orders and tariffs commands on %s", (engine) => {
  const folder = temporaryFolder();
  afterAll(() => folder[Symbol.dispose]());
  const database = async () =>
    engine === "SQLite"
      ? `file:${join(folder.path, "x.db")}`
      : server && (await createDatabase(server.urlOf("postgres")));

  test("list the newest orders and the tariffs without phone numbers", async () => {
    await withOrders(await database(), async (DATABASE_URL) => {
      // Invalid settings that the commands do not need are ignored.
      const run = (...words: string[]) => runCommand(words, { DATABASE_URL, PORT: "nonsense" });
      const { status, printed } = await run("orders", "--last", "2");
      expect(status).toBe(0);
      expect(printed).toMatch(
        /^order +status +user +tariff +sum +created +settled\n +\d+ +pending +\d+ +standard_300 +300 +\S+\n +\d+ +declined +\d+ +standard_300 +300 +\S+ +\S+\n$/,
      );
      expect(printed).not.toContain("99890");
      const lines = (await run("orders", "--json", "--status", "paid")).printed.trim().split("\n");
      expect(lines.map((line) => JSON.parse(line))).toMatchObject([
        { order_id: 1, user_id: 1, amount_tiyin: 30_000, currency: "UZS", status: "paid" },
      ]);
      expect((await run("tariffs")).printed).toMatch(
        /^code +title +sum +can be ordered\nlate +Late +1\.50 +no\nstandard_300 +Standard +300 +yes\n$/,
      );
    });
  });
});

test("formatTable right-aligns amounts and prints them exactly", () => {
  const rows = [9_007_199_254_740_991, 9_007_199_254_740_990, 15_050, 1, 30_000].map((tiyin) => [
    { tiyin },
  ]);
  expect(formatTable(["sum"], rows)).toEqual([
    "sum",
    "90071992547409.91",
    "90071992547409.90",
    "           150.50",
    "             0.01",
    "              300",
  ]);
});

test("createProgress estimates the remaining time without the preparations", () => {
  const write = spyOn(process.stderr, "write").mockImplementation(() => true);
  try {
    let ms = 0;
    const showProgress = createProgress("rows", () => ms);
    ms = 60_000;
    showProgress(0, 100_000);
    ms = 62_000;
    showProgress(20_000, 100_000);
    expect(write.mock.calls.join()).toContain("20 %, 20000 of 100000 rows, 10000/s, 8 s left");
    expect(write).toHaveBeenCalledTimes(1);
  } finally {
    write.mockRestore();
  }
});

/** Inserts paid orders of user 1. */
function addOrders(path: string, count: number) {
  using database = new Database(path);
  database.run(
    `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?)
      INSERT INTO orders (user_id, tariff_code, amount_tiyin, status, idempotency_key, payment_key, created_at,
        settled_at, notified_at, attempts, repeatable, stage, stage_at)
      SELECT 1, 'standard_300', 1, 'paid', 'k' || i, 'p' || i, 0, 0, 0, 1, 0, 'new', 0 FROM n`,
    [count],
  );
}

test.each([
  { json: true, heading: 0, idIn: /^\{"order_id":(\d+),/ },
  { json: false, heading: 1, idIn: /^ *(\d+) / },
])(
  "`orders` reads a page only when the one before is written: json $json",
  async ({ json, heading, idIn }) => {
    using folder = temporaryFolder();
    const path = join(folder.path, "x.db");
    const store = openStore(path);
    await store.run(addUser("+998901234567"));
    await store.close();
    addOrders(path, 25_000);
    const lines: string[] = [];
    const waits: number[] = [];
    await orders(
      {
        ...CONTEXT,
        environment: { DATABASE_URL: `file:${path}` },
        print: (line) => void lines.push(line),
        written: async () => void waits.push(lines.length - heading),
      },
      { last: "24000", json },
      [],
    );
    expect(waits).toEqual([10_000, 20_000, 24_000]);
    const ids = lines.slice(heading).map((line) => Number(idIn.exec(line)?.[1]));
    expect(ids).toEqual(Array.from({ length: 24_000 }, (_, at) => 25_000 - at));
  },
);

test("`orders` prints a long list completely to a slow reader, and fails on a full disk", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const store = openStore(path);
  await store.run(addUser("+998901234567"));
  await store.close();
  addOrders(path, 20_000);
  const words = ["orders", "--json", "--last", "20000"];
  const child = Bun.spawn(
    ["sh", "-c", '"$@" | { sleep 0.2; cat; }', "sh", ...(await serviceCommand()), ...words],
    {
      env: { ...process.env, DATABASE_URL: `file:${path}` },
      stdout: "pipe",
    },
  );
  const printed = await child.stdout.text();
  expect(printed.length).toBeGreaterThan(3 * 1024 * 1024);
  expect(printed.split("\n").length).toBe(20_001);
  // A reader that closes the pipe early causes no error.
  const program = await serviceCommand();
  const run = (pipeline: string) =>
    Bun.spawnSync(["sh", "-c", pipeline, "sh", ...program, ...words], {
      env: { ...process.env, DATABASE_URL: `file:${path}` },
    });
  const head = run('"$@" | head -1');
  expect(head.stdout.toString()).toMatch(/^\{"order_id":20000,.*\}\n$/);
  expect(head.stderr.toString()).toBe("");
  const disk = join(folder.path, "disk");
  using mounted = mountDisk(disk, "1m");
  if (mounted === undefined) return skip("the full disk, which needs permission to mount a tmpfs");
  const cut = run(`"$@" > ${disk}/list`);
  expect(statSync(join(disk, "list")).size).toBeGreaterThan(0);
  expect([cut.exitCode, cut.stderr.toString()]).toEqual([1, INCOMPLETE]);
});

const INCOMPLETE = "nmservis: The output is incomplete: no space left on device (ENOSPC).\n";

test("every command exits with status 1 and a message if its output is lost", async () => {
  if (!existsSync("/dev/full")) return skip("lost output, which needs Linux's /dev/full");
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  await openStore(path).close();
  const backup = join(folder.path, "backup");
  for (const words of [["--help"], ["--version"], ["tariffs"], ["check"], ["backup", backup]]) {
    const child = Bun.spawnSync([...(await serviceCommand()), ...words], {
      env: { ...process.env, DATABASE_URL: `file:${path}` },
      stdout: Bun.file("/dev/full"),
    });
    expect([words, child.exitCode, child.stderr.toString()]).toEqual([words, 1, INCOMPLETE]);
  }
});

test("`backup` stopped by a signal leaves no file, or a complete one", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  const store = openStore(path);
  await store.run((tx) =>
    tx.insert(tx.tables.users).values(
      Array.from({ length: 5000 }, (_, i) => ({
        phoneNumber: `+99890${1_000_000 + i}`,
        fullName: "x".repeat(2000),
        createdAt: 0,
        smsTriedAt: 0,
      })),
    ),
  );
  await store.close();
  const file = join(folder.path, "backup");
  const child = Bun.spawn([...(await serviceCommand()), "backup", file], {
    env: { ...process.env, DATABASE_URL: `file:${path}` },
    stderr: "pipe",
  });
  const parts = () => readdirSync(folder.path).filter((name) => name.includes(".part"));
  while (parts().length === 0 && child.exitCode === null) await Bun.sleep(1);
  child.kill("SIGINT");
  const complaints = await child.stderr.text();
  const status = await child.exited;
  expect(parts()).toEqual([]);
  // On a busy machine the signal may arrive after the backup has finished.
  if (existsSync(file)) return;
  expect([status, complaints]).toEqual([1, "nmservis: Stopped by SIGINT; nothing was changed.\n"]);
});

test("`orders` and `tariffs` report a damaged database", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  await openStore(path).close();
  const file = openSync(path, "r+");
  {
    using database = new Database(path, { readonly: true });
    const roots = database.query<{ page: number }, []>(
      "SELECT rootpage AS page FROM sqlite_master WHERE name IN ('orders', 'tariffs')",
    );
    for (const { page } of roots.all()) {
      writeSync(file, Buffer.alloc(4096, 7), 0, 4096, (page - 1) * 4096);
    }
  }
  closeSync(file);
  for (const command of ["orders", "tariffs"]) {
    const { status, complaints } = await runCommand([command], { DATABASE_URL: `file:${path}` });
    expect([status, complaints]).toEqual([
      1,
      `nmservis: The database ${path} can't be opened: database disk image is malformed.\n`,
    ]);
  }
});

test("`check` reports a BACKUP_DIR that is not a folder", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  await openStore(path).close();
  const { status, complaints } = await runCommand(["check"], {
    DATABASE_URL: `file:${path}`,
    BACKUP_DIR: path,
  });
  expect([status, complaints]).toEqual([
    1,
    `nmservis: The folder ${path} (BACKUP_DIR) can't be read: not a directory (ENOTDIR).\n`,
  ]);
});

test("`orders` and `tariffs` do not create a missing database", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  for (const command of ["orders", "tariffs"]) {
    expect(await runCommand([command], { DATABASE_URL: `file:${path}` })).toEqual({
      status: 1,
      printed: "",
      complaints: `nmservis: There is no database ${path}.\n`,
    });
  }
  expect(await Bun.file(path).exists()).toBe(false);
});

test("nmservis refuses to run as root on another user's database, and prints the command to use", async () => {
  if (process.getuid?.() !== 0) return skip("root on another user's database, which needs root");
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  await openStore(path).close();
  chownSync(path, 65_534, 65_534);
  for (const command of ["serve", "orders"]) {
    const { status, complaints } = await runCommand([command], {
      DATABASE_URL: `file:${path}`,
      PORT: "0",
    });
    expect([status, complaints]).toEqual([
      1,
      `nmservis: The database ${path} belongs to nobody, not to root: use runuser -u nobody -- nmservis …\n`,
    ]);
  }
});

test("nmservis run as root refuses to create a database in another user's folder", async () => {
  if (process.getuid?.() !== 0) return skip("root in another user's folder, which needs root");
  using folder = temporaryFolder();
  const [path, backup] = [join(folder.path, "x.db"), join(folder.path, "backup")];
  const [theirs, link] = [join(folder.path, "theirs"), join(folder.path, "link.db")];
  await openStore(path).close();
  backupDatabase(path, backup);
  mkdirSync(theirs);
  chownSync(theirs, 65_534, 65_534);
  symlinkSync(join(theirs, "x.db"), link);
  for (const target of [join(theirs, "x.db"), join(theirs, "deep/x.db"), link]) {
    for (const command of [["restore", backup], ["serve"]]) {
      const { status, complaints } = await runCommand(command, { DATABASE_URL: `file:${target}` });
      expect([status, complaints]).toEqual([
        1,
        `nmservis: The folder ${theirs} belongs to nobody, not to root: use runuser -u nobody -- nmservis …\n`,
      ]);
    }
  }
  expect(readdirSync(theirs)).toEqual([]);
});

test("`serve` restricts existing database files to mode 0600", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "x.db");
  {
    const store = openStore(path);
    await store.run(addUser("+998901234567"));
    for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}.lock`]) chmodSync(file, 0o644);
    await store.close();
  }
  chmodSync(path, 0o644);
  await using service = await spawnService({ DATABASE_URL: `file:${path}` });
  await service.userId();
  for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}.lock`]) {
    expect([file, statSync(file).mode & 0o777]).toEqual([file, 0o600]);
  }
});
