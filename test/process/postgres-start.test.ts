import { SQL } from "bun";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { createLog } from "../../src/log.ts";
import { openPostgresStore } from "../../src/store/postgres/store.ts";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import {
  createDatabase,
  execute,
  type PostgresServer,
  startPostgres,
} from "../support/postgres.ts";
import { failToStart, spawnService } from "../support/process.ts";
import { allUsers, refusal } from "../support/rows.ts";
import { skip } from "../support/skip.ts";

// Error messages if the service can't start on PostgreSQL.

setDefaultTimeout(BUSY_MACHINE_MS);

let server: PostgresServer | undefined;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => server?.[Symbol.asyncDispose]());

interface Refusal {
  readonly problem: string;
  /** Causes the problem in the database at `url` and returns the DATABASE_URL. */
  readonly prepare: (server: PostgresServer, url: string) => Promise<string>;
  readonly message: RegExp;
}

const withUrl = (change: (url: string) => string) => async (_server: PostgresServer, url: string) =>
  change(url);

const altered = (statements: string) => async (_server: PostgresServer, url: string) => {
  await execute(url, statements.replaceAll("THIS", new URL(url).pathname.slice(1)));
  return url;
};

/** Creates a second database, with this encoding. */
const inEncoding = (encoding: string) => async (_server: PostgresServer, url: string) => {
  const name = `${new URL(url).pathname.slice(1)}_encoded`;
  await execute(url, `CREATE DATABASE ${name} ENCODING '${encoding}' TEMPLATE template0`);
  return url.replace(/[^/]*$/, name);
};

/** Reloads the server's settings. Resolves when they apply to new connections. */
async function reload(url: string) {
  const loadedAt = async () => {
    // A new connection each time: on an open one, the time changes before all settings are loaded.
    await using sql = new SQL({ url, max: 1 });
    const [row] = await sql`SELECT pg_conf_load_time()::text AS at`;
    return row.at;
  };
  const before = await loadedAt();
  await execute(url, "SELECT pg_reload_conf()");
  while ((await loadedAt()) === before);
}

test.each<Refusal>([
  {
    problem: "invalid URL",
    prepare: withUrl(() => "postgres://user:s3cret@:5432"),
    message: /^nmservis: Invalid settings: DATABASE_URL must be file: and a path, .*\.$/,
  },
  {
    problem: "no such database",
    prepare: withUrl((url) => url.replace(/[^/]*$/, "nowhere")),
    message:
      /^nmservis: The database nowhere on 127\.0\.0\.1:\d+ can't be opened: .*database "nowhere" does not exist\.$/,
  },
  {
    problem: "wrong password",
    async prepare(server, url) {
      const rules = join(server.data, "pg_hba.conf");
      const others = readFileSync(rules, "utf8");
      writeFileSync(rules, "host all guarded 127.0.0.1/32 scram-sha-256\n");
      appendFileSync(rules, others);
      await execute(url, "CREATE ROLE guarded LOGIN PASSWORD 'right'");
      await reload(url);
      return url.replace(/\/\/postgres@/, "//guarded:s3cret@");
    },
    message:
      /^nmservis: The database test_\w+ on .* can't be opened: .*password authentication failed for user "guarded"\.$/,
  },
  {
    problem: "no server at the address",
    prepare: withUrl((url) =>
      url
        .replace(/:\d+\//, ":1/")
        .replace("//", "//")
        .replace("@", ":s3cret@"),
    ),
    message:
      /^nmservis: The database test_\w+ on 127\.0\.0\.1:1 can't be opened: the connection to PostgreSQL failed: .+\.$/,
  },
  {
    problem: "unsupported server version",
    prepare: altered(
      `CREATE SCHEMA old;
       CREATE FUNCTION old.current_setting(text) RETURNS text LANGUAGE sql AS $$
         SELECT CASE $1 WHEN 'server_version_num' THEN '130014' ELSE 'on' END $$;
       ALTER DATABASE THIS SET search_path = old, pg_catalog, public`,
    ),
    message: /: PostgreSQL 13\.14 is too old: use 14 or later\.$/,
  },
  {
    problem: "synchronous_commit is off",
    prepare: altered("ALTER DATABASE THIS SET synchronous_commit = off"),
    message: /: its synchronous_commit is off, so confirmed orders could be lost: turn it on\.$/,
  },
  ...["LATIN1", "WIN1251", "SQL_ASCII"].map((encoding) => ({
    problem: `encoding ${encoding}`,
    prepare: inEncoding(encoding),
    message: new RegExp(
      `: its encoding is ${encoding}, .* create the database with ENCODING 'UTF8'`,
    ),
  })),
  {
    problem: "database of another program",
    prepare: altered("CREATE TABLE theirs (id int)"),
    message: /: it was not created by NMservis, or its migration history differs\.$/,
  },
  {
    problem: "database migrated by a newer version",
    async prepare(_server, url) {
      await using service = await spawnService({ DATABASE_URL: url });
      await service.end();
      await execute(url, "INSERT INTO nmservis_migrations VALUES (99, 'later')");
      return url;
    },
    message:
      /: a newer version of NMservis has migrated it \(4 migrations, this version has 3\): start that version\.$/,
  },
  {
    problem: "remote host without TLS",
    prepare: withUrl(() => "postgres://user:s3cret@db.example.uz/shop"),
    message:
      /^nmservis: The database shop on db\.example\.uz can't be opened: a remote host needs sslmode=require or sslmode=verify-full\.$/,
  },
  {
    problem: "sslmode=require but the server has no TLS",
    prepare: withUrl((url) => `${url.replace("@", ":s3cret@")}?sslmode=require`),
    message: /^nmservis: The database test_\w+ on .* can't be opened: .+\.$/,
  },
])(
  "start on PostgreSQL fails with one message without the password: $problem",
  async ({ prepare, message }) => {
    if (server === undefined)
      return skip("PostgreSQL, which is not installed (Debian's postgresql)");
    const url = await prepare(server, await createDatabase(server.urlOf("postgres")));
    const { status, printed } = await failToStart({ DATABASE_URL: url, LOG_LEVEL: "error" });
    expect(status).toBe(1);
    expect(printed).not.toContain("s3cret");
    const lines = printed.split("\n").filter((line) => line !== "");
    expect(lines).toEqual([expect.stringMatching(message)]);
  },
);

test("PostgreSQL's TLS certificate is verified at start and on reconnect if the URL requires it", async () => {
  if (server === undefined) return skip("PostgreSQL, which is not installed (Debian's postgresql)");
  const { data } = server;
  const certificate = makeCertificate(server, "server");
  const url = await createDatabase(server.urlOf("postgres"));
  await using after = new AsyncDisposableStack();
  after.defer(() => reload(url));
  after.defer(async () => void (await execute(url, "ALTER SYSTEM RESET ssl")));
  await execute(url, "ALTER SYSTEM SET ssl = on");
  await reload(url);

  const local = url.replace("127.0.0.1", "localhost");
  const trusted = `sslmode=verify-full&sslrootcert=${certificate}`;
  for (const good of [`${local}?${trusted}`, `${url}?sslmode=require`]) {
    await using service = await spawnService({ DATABASE_URL: good });
    expect((await service.get("/health")).status).toBe(200);
  }
  // An unknown issuer, and a certificate for a different host name.
  for (const bad of [`${local}?sslmode=verify-full`, `${url}?${trusted}`]) {
    const { status, printed } = await failToStart({ DATABASE_URL: bad, LOG_LEVEL: "error" });
    expect([status, printed]).toEqual([
      1,
      expect.stringMatching(/^nmservis: The database .* can't be opened: .+\.\n$/),
    ]);
  }

  // While the store is open, the server switches to an untrusted certificate, then turns TLS off.
  const log = createLog({ level: "error", json: false, write: () => {}, now: Date.now });
  const elapsed = () => performance.now();
  const far = `${local}?${trusted}`;
  const store = await openPostgresStore(far, log, elapsed, undefined, 300);
  try {
    makeCertificate(server, "server.other");
    await execute(url, `ALTER SYSTEM SET ssl_cert_file = '${join(data, "server.other.crt")}'`);
    await execute(url, `ALTER SYSTEM SET ssl_key_file = '${join(data, "server.other.key")}'`);
    await reload(url);
    expect(await refusal(store.run(allUsers))).toStartWith("Unavailable: ");
    await execute(url, "ALTER SYSTEM SET ssl = off");
    await reload(url);
    expect(await refusal(store.run(allUsers))).toStartWith("Unavailable: ");
  } finally {
    await store.close();
  }
});

/** Creates a self-signed certificate for localhost in the server's data folder. */
function makeCertificate({ data }: PostgresServer, name: string): string {
  const [key, certificate] = [join(data, `${name}.key`), join(data, `${name}.crt`)];
  const made = Bun.spawnSync([
    ...["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"],
    ...["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
  ]);
  expect(made.exitCode, made.stderr.toString()).toBe(0);
  const { uid, gid } = statSync(data);
  for (const file of [key, certificate]) chownSync(file, uid, gid);
  chmodSync(key, 0o600);
  return certificate;
}
