import { SQL } from "bun";
import { chmodSync, chownSync, readdirSync, readFileSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cachedFolder } from "./cache.ts";
import { freePort } from "./free-port.ts";
import { temporaryFolder } from "./temporary-folder.ts";

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

/** The settings of every server. */
const COMMON = { listen_addresses: "127.0.0.1", max_connections: 300 };

/** A server whose files need not survive a power cut, and that lives for some seconds. */
const CHEAP = {
  fsync: "off",
  full_page_writes: "off",
  wal_level: "minimal",
  max_wal_senders: 0,
  shared_buffers: "16MB",
  autovacuum: "off",
  max_connections: 100,
};

/**
 * Prints the server's process id. A watcher in the background stops the server with the signal it reads, or
 * when this process is gone, whose end of the pipe is then closed; then it removes the folder as well. `bun
 * test` kills the shell when a test times out, but does not know the watcher. The server alone holds stderr
 * open.
 */
const SCRIPT = `folder=$1; shift
  exec 3<&0
  "$@" >&2 3<&- & server=$!
  exec 2>/dev/null
  {
    if read signal <&3; then kill -$signal $server
    else
      kill -INT $server
      while kill -0 $server; do sleep 0.1; done
      rm -rf "$folder"
    fi
  } &
  exec 3<&-
  echo $server
  wait $server`;

/** How often another port is tried. */
const MAX_STARTS = 10;

/**
 * Starts a server on a free port. It ends with the block, or with this process. Undefined if PostgreSQL is
 * not installed. The server does not run as root, which PostgreSQL refuses. `isDurable`: with PostgreSQL's
 * own settings, and its files on disk.
 */
export async function startPostgres({ isDurable = false } = {}) {
  const programs = findPrograms();
  if (programs === undefined) return undefined;
  const temporary = temporaryFolder(isDurable ? tmpdir() : fastestFolder());
  const folder = temporary.path;
  const as = giveToServer(folder);
  const data = join(folder, "data");
  const source = join(await initialData(programs), "data");
  run(["cp", "-a", "--reflink=auto", source, data]);

  const own = { ...COMMON, ...(!isDurable && CHEAP), unix_socket_directories: folder };
  const urlOf = (database: string) => `postgres://${USER}@127.0.0.1:${port}/${database}`;

  /** Starts the server; resolves when it serves, or to its log if it has ended. */
  async function launch() {
    const settings = Object.entries({ ...own, port }).flatMap(([name, value]) => [
      "-c",
      `${name}=${value}`,
    ]);
    const command = [...as, join(programs ?? "", "postgres"), "-D", data, ...settings];
    const child = Bun.spawn(["sh", "-c", SCRIPT, "sh", folder, ...command], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    let isOver = false;
    const said = child.stderr.text().finally(() => (isOver = true));
    const { value } = await child.stdout.getReader().read();
    const pid = new TextDecoder().decode(value).trim();
    while (!isOver && !isReady(data, pid)) await Bun.sleep(5);
    const stop = async (signal: "INT" | "QUIT") => {
      await child.stdin.write(`${signal}\n`);
      await child.stdin.end();
      await said;
    };
    if (!isOver) return { stop };
    await stop("INT");
    return { said: await said };
  }

  /** Starts the server, again and again while its port is taken. */
  async function insist(nextPort: () => number) {
    for (let starts = 1; ; starts++) {
      port = nextPort();
      const { stop, said } = await launch();
      if (stop !== undefined) return { stop };
      if (starts === MAX_STARTS) throw new Error(`PostgreSQL does not start: ${said}`);
    }
  }

  let port = 0;
  let server = await insist(freePort);

  async function stop(signal: "INT" | "QUIT") {
    await closeConnections(port);
    await server.stop(signal);
  }

  return {
    port,
    /** The folder of all its files, and the folder of PostgreSQL's programs. */
    folder,
    programs,
    /** The folder of its data and settings. */
    data,
    urlOf,
    /** Ends the server as a crash would; resolves when it is gone. */
    crash: () => stop("QUIT"),
    /** Starts it again on the same port; resolves when it serves. */
    async start() {
      server = await insist(() => port);
    },
    async [Symbol.asyncDispose]() {
      await stop("INT");
      temporary[Symbol.dispose]();
    },
  };
}

export type PostgresServer = NonNullable<Awaited<ReturnType<typeof startPostgres>>>;

/** Returns a folder with the files of a new server in `data`: initdb takes a second, and runs once. */
function initialData(programs: string): Promise<string> {
  const version = run([join(programs, "initdb"), "--version"]).replace(/[^\w.]+/g, "-");
  return cachedFolder(`postgres-${version}`, (folder) => {
    run([
      ...giveToServer(folder),
      join(programs, "initdb"),
      ...["-D", join(folder, "data"), "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C"],
      // Segments of a megabyte: a server writes few, and each server gets a copy.
      ...["--wal-segsize=1", "--no-sync"],
    ]);
  });
}

/** Lets the server write into the folder. Returns what stands before its programs, to run them as its user. */
function giveToServer(folder: string): readonly string[] {
  if (process.getuid?.() !== 0) return [];
  chownSync(folder, Number(run(["id", "-u", USER])), -1);
  chmodSync(folder, 0o755);
  return ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups", "--"];
}

/** Runs a command to its end and returns what it has printed. Throws if it fails. */
function run(command: readonly string[]): string {
  const { success, stdout, stderr } = Bun.spawnSync([...command]);
  if (!success) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout.toString().trim();
}

/** Whether the server with this process id, and no earlier one, has written that it serves. */
function isReady(data: string, pid: string): boolean {
  try {
    const lines = readFileSync(join(data, "postmaster.pid"), "utf8").split("\n");
    return lines[0] === pid && lines[7]?.trim() === "ready";
  } catch {
    // It has not written the file yet.
    return false;
  }
}

/** Makes an empty database on the server of this URL, and returns its URL. */
export async function createDatabase(url: string): Promise<string> {
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`;
  await execute(url, `CREATE DATABASE ${name}`);
  return url.replace(/[^/]*$/, name);
}

/** One connection to each database: a new one costs 45 ms, a statement 1 ms. */
const connections = new Map<string, SQL>();

/**
 * Executes statements on the database and returns the rows of the last. All calls share one connection,
 * which does not see a later change of the database's default settings.
 */
export async function execute(url: string, statements: string) {
  const sql = connections.get(url) ?? new SQL({ url, max: 1 });
  connections.set(url, sql);
  return await sql.unsafe(statements);
}

async function closeConnections(port: number) {
  const own = Array.from(connections).filter(([url]) => new URL(url).port === String(port));
  for (const [url] of own) connections.delete(url);
  await Promise.all(own.map(([, sql]) => sql.close({ timeout: 0 })));
}
