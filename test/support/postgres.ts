import { SQL } from "bun";
import { chmodSync, chownSync, mkdtempSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";

/** Where Debian puts the server's programs, a folder for each version. */
const DEBIAN = "/usr/lib/postgresql";

const USER = "postgres";

/** Memory, where there is enough of it for a server's files: what is in it need not last. */
function fastestFolder(): string {
  const memory = "/dev/shm";
  try {
    const { bavail, bsize } = statfsSync(memory);
    return bavail * bsize > 2 ** 30 ? memory : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** The folder of the server's programs; undefined where there are none. */
function findPrograms(): string | undefined {
  const found = Bun.which("initdb");
  if (found !== null) return join(found, "..");
  try {
    const version = readdirSync(DEBIAN).toSorted((a, b) => Number(b) - Number(a))[0];
    return version && join(DEBIAN, version, "bin");
  } catch {
    return undefined;
  }
}

/**
 * A server of our own on a free port, gone at the end of the block, or with this process; undefined where its
 * programs are not installed. It never runs as root, which it refuses. Unless it is to be durable it leaves
 * the disk's syncs out.
 */
export async function startPostgres({ isDurable = false } = {}) {
  const programs = findPrograms();
  if (programs === undefined) return undefined;
  const folder = mkdtempSync(join(isDurable ? tmpdir() : fastestFolder(), "nmservis-pg-"));
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    const id = Number(Bun.spawnSync(["id", "-u", USER]).stdout.toString());
    chownSync(folder, id, -1);
    chmodSync(folder, 0o755);
  }
  const as = isRoot
    ? ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups", "--"]
    : [];
  const data = join(folder, "data");
  const made = Bun.spawnSync([
    ...as,
    join(programs, "initdb"),
    ...["-D", data, "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C", "--no-sync"],
  ]);
  if (!made.success) throw new Error(`initdb: ${made.stderr.toString()}`);

  const port = freePort();
  const settings = Object.entries({
    listen_addresses: "127.0.0.1",
    port,
    unix_socket_directories: folder,
    fsync: isDurable ? "on" : "off",
    max_connections: 300,
  }).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const urlOf = (database: string) => `postgres://${USER}@127.0.0.1:${port}/${database}`;

  async function launch() {
    // However this process ends, its end of the pipe is closed, and the server is stopped.
    const script = '"$@" & read signal; kill -${signal:-INT} $!; wait';
    const server = Bun.spawn(
      ["sh", "-c", script, "sh", ...as, join(programs ?? "", "postgres"), "-D", data, ...settings],
      { stdin: "pipe", stdout: "ignore", stderr: "ignore" },
    );
    await Promise.race([
      untilReady(urlOf(USER), server),
      server.exited.then(() => Promise.reject(new Error("the server has ended at once"))),
    ]);
    return server;
  }

  let server = await launch();

  async function stop(signal: "INT" | "QUIT") {
    await server.stdin.write(`${signal}\n`);
    await server.stdin.end();
    await server.exited;
  }

  return {
    port,
    /** The folders of all that it has, and of the server's programs. */
    folder,
    programs,
    /** The folder of its data, with its settings in it. */
    data,
    urlOf,
    /** Ends the server as a crash would; resolves when it is gone. */
    crash: () => stop("QUIT"),
    /** Starts it again; resolves when it serves. */
    async start() {
      server = await launch();
    },
    async [Symbol.asyncDispose]() {
      await stop("INT");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export type PostgresServer = NonNullable<Awaited<ReturnType<typeof startPostgres>>>;

/** Makes an empty database on the server that has this one, and answers with its URL. */
export async function createDatabase(url: string): Promise<string> {
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`;
  await execute(url, `CREATE DATABASE ${name}`);
  return url.replace(/[^/]*$/, name);
}

/** Executes statements on the database, and answers with the rows of the last. */
export async function execute(url: string, statements: string) {
  await using sql = new SQL({ url, max: 1 });
  return await sql.unsafe(statements);
}

async function untilReady(url: string, server: Bun.Subprocess) {
  while (server.exitCode === null) {
    const sql = new SQL({ url, max: 1 });
    try {
      await sql`SELECT 1`;
      return;
    } catch {
      await Bun.sleep(20);
    } finally {
      await sql.close({ timeout: 0 });
    }
  }
}
