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

// What the owner is told where the service can't start on PostgreSQL.

setDefaultTimeout(BUSY_MACHINE_MS);

let server: PostgresServer | undefined;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => server?.[Symbol.asyncDispose]());

/** What is done to the database, which is at `url`, and what is said then. `DATABASE_URL` may be another. */
interface Refusal {
  readonly what: string;
  readonly prepare: (server: PostgresServer, url: string) => Promise<string>;
  readonly says: RegExp;
}

const unknown = (change: (url: string) => string) => async (_server: PostgresServer, url: string) =>
  change(url);

const altered = (statements: string) => async (_server: PostgresServer, url: string) => {
  await execute(url, statements.replaceAll("THIS", new URL(url).pathname.slice(1)));
  return url;
};

/** Another database on the server, in this encoding. */
const inEncoding = (encoding: string) => async (_server: PostgresServer, url: string) => {
  const name = `${new URL(url).pathname.slice(1)}_encoded`;
  await execute(url, `CREATE DATABASE ${name} ENCODING '${encoding}' TEMPLATE template0`);
  return url.replace(/[^/]*$/, name);
};

/** Has the server read its settings again; resolves when it has. */
async function reload(url: string) {
  const loadedAt = async () => {
    // A new connection each time: the server tells an open one before it has read all of them.
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
    what: "the URL is none",
    prepare: unknown(() => "postgres://user:s3cret@:5432"),
    says: /^nmservis: Invalid settings: DATABASE_URL must be file: and a path, .*\.$/,
  },
  {
    what: "there is no such database",
    prepare: unknown((url) => url.replace(/[^/]*$/, "nowhere")),
    says: /^nmservis: The database nowhere on 127\.0\.0\.1:\d+ can't be opened: .*database "nowhere" does not exist\.$/,
  },
  {
    what: "the password is wrong",
    async prepare(server, url) {
      const rules = join(server.data, "pg_hba.conf");
      const others = readFileSync(rules, "utf8");
      writeFileSync(rules, "host all guarded 127.0.0.1/32 scram-sha-256\n");
      appendFileSync(rules, others);
      await execute(url, "CREATE ROLE guarded LOGIN PASSWORD 'right'");
      await reload(url);
      return url.replace(/\/\/postgres@/, "//guarded:s3cret@");
    },
    says: /^nmservis: The database test_\w+ on .* can't be opened: .*password authentication failed for user "guarded"\.$/,
  },
  {
    what: "nobody is there",
    prepare: unknown((url) =>
      url
        .replace(/:\d+\//, ":1/")
        .replace("//", "//")
        .replace("@", ":s3cret@"),
    ),
    says: /^nmservis: The database test_\w+ on 127\.0\.0\.1:1 can't be opened: the connection to PostgreSQL failed: .+\.$/,
  },
  {
    what: "the server is too old",
    prepare: altered(
      `CREATE SCHEMA old;
       CREATE FUNCTION old.current_setting(text) RETURNS text LANGUAGE sql AS $$
         SELECT CASE $1 WHEN 'server_version_num' THEN '130014' ELSE 'on' END $$;
       ALTER DATABASE THIS SET search_path = old, pg_catalog, public`,
    ),
    says: /: PostgreSQL 13\.14 is too old: use 14 or later\.$/,
  },
  {
    what: "the server answers before it has written",
    prepare: altered("ALTER DATABASE THIS SET synchronous_commit = off"),
    says: /: its synchronous_commit is off, so confirmed orders could be lost: turn it on\.$/,
  },
  ...["LATIN1", "WIN1251", "SQL_ASCII"].map((encoding) => ({
    what: `the database has the encoding ${encoding}`,
    prepare: inEncoding(encoding),
    says: new RegExp(`: its encoding is ${encoding}, .* create the database with ENCODING 'UTF8'`),
  })),
  {
    what: "the database is of another program",
    prepare: altered("CREATE TABLE theirs (id int)"),
    says: /: it was not created by NMservis, or its migration history differs\.$/,
  },
  {
    what: "a newer version has changed the database",
    async prepare(_server, url) {
      await using service = await spawnService({ DATABASE_URL: url });
      await service.end();
      await execute(url, "INSERT INTO nmservis_migrations VALUES (99, 'later')");
      return url;
    },
    says: /: a newer version of NMservis has migrated it \(3 migrations, this version has 2\): start that version\.$/,
  },
  {
    what: "a password would travel in clear text",
    prepare: unknown(() => "postgres://user:s3cret@db.example.uz/shop"),
    says: /^nmservis: The database shop on db\.example\.uz can't be opened: a remote host needs sslmode=require or sslmode=verify-full\.$/,
  },
  {
    what: "the server has no TLS, and shall",
    prepare: unknown((url) => `${url.replace("@", ":s3cret@")}?sslmode=require`),
    says: /^nmservis: The database test_\w+ on .* can't be opened: .+\.$/,
  },
])(
  "where $what, the service says so in a sentence, without a password",
  async ({ prepare, says }) => {
    if (server === undefined)
      return skip("PostgreSQL, which is not installed (Debian's postgresql)");
    const url = await prepare(server, await createDatabase(server.urlOf("postgres")));
    const { status, printed } = await failToStart({ DATABASE_URL: url, LOG_LEVEL: "error" });
    expect(status).toBe(1);
    expect(printed).not.toContain("s3cret");
    const lines = printed.split("\n").filter((line) => line !== "");
    expect(lines).toEqual([expect.stringMatching(says)]);
  },
);

test("a server shows its certificate where the URL wants to see it", async () => {
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
  // Signed by nobody that is known, and for another name.
  for (const bad of [`${local}?sslmode=verify-full`, `${url}?${trusted}`]) {
    const { status, printed } = await failToStart({ DATABASE_URL: bad, LOG_LEVEL: "error" });
    expect([status, printed]).toEqual([
      1,
      expect.stringMatching(/^nmservis: The database .* can't be opened: .+\.\n$/),
    ]);
  }

  // While the service runs, the server gets a certificate that is not trusted, and then has no TLS at all.
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

/** Creates a self-signed certificate for localhost in the folder of the server. */
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
