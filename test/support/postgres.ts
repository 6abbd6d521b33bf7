import { SQL } from "bun";
import { chmodSync, chownSync, readdirSync, readFileSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cachedFolder } from "./cache.ts";
import { freePort } from "./free-port.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/** Debian's folder for the server's programs, with a subfolder per version. */
const DEBIAN = "/usr/lib/postgresql";

const USER = "postgres";

/** Returns /dev/shm if it has 1 GiB free, since test data need not be durable. */
function fastestFolder(): string {
  const memory = "/dev/shm";
  try {
    const { bavail, bsize } = statfsSync(memory);
    return bavail * bsize > 2 ** 30 ? memory : tmpdir();
  } catch {
    return tmpdir();
  }
}

/** Returns the folder of the server's programs, or undefined if they are not installed. */
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

const COMMON = { listen_addresses: "127.0.0.1", max_connections: 300 };

/** Settings for a server that runs for seconds and need not survive a power cut. */
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
 * Starts the server and prints its process id. A background watcher stops the server with the
 * signal it reads from stdin. If stdin closes because this process has died, it also removes the
 * folder. `bun test` kills the shell when a test times out, but not the watcher. Only the server
 * keeps stderr open, so the end of stderr shows that the server has exited.
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

/** Maximum attempts to start the server. */
const MAX_STARTS = 10;

/**
 * Starts a server on a free port until the end of the block or of this process. Returns undefined
 * if PostgreSQL is not installed. It refuses to run as root, so root starts it as user postgres.
 * `isDurable` uses PostgreSQL's default settings and files on disk.
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

  /** Starts the server. Resolves when it is ready, or to its log if it exits. */
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
    let hasExited = false;
    const logged = child.stderr.text().finally(() => (hasExited = true));
    const { value } = await child.stdout.getReader().read();
    const pid = new TextDecoder().decode(value).trim();
    while (!hasExited && !isReady(data, pid)) await Bun.sleep(5);
    const stop = async (signal: "INT" | "QUIT") => {
      await child.stdin.write(`${signal}\n`);
      await child.stdin.end();
      await logged;
    };
    if (!hasExited) return { stop };
    await stop("INT");
    return { logged: await logged };
  }

  /** Starts the server. Retries with the next port if it exits, as when the port is taken. */
  async function startWithRetries(nextPort: () => number) {
    for (let starts = 1; ; starts++) {
      port = nextPort();
      const { stop, logged } = await launch();
      if (stop !== undefined) return { stop };
      if (starts === MAX_STARTS) throw new Error(`PostgreSQL does not start: ${logged}`);
    }
  }

  let port = 0;
  let server = await startWithRetries(freePort);

  async function stop(signal: "INT" | "QUIT") {
    await closeConnections(port);
    await server.stop(signal);
  }

  return {
    port,
    /** The folder of all the server's files. */
    folder,
    /** The folder of PostgreSQL's programs. */
    programs,
    /** The server's data directory. */
    data,
    urlOf,
    /** Stops the server without a clean shutdown; resolves when it has exited. */
    crash: () => stop("QUIT"),
    /** Restarts the server on the same port; resolves when it is ready. */
    async start() {
      server = await startWithRetries(() => port);
    },
    async [Symbol.asyncDispose]() {
      await stop("INT");
      temporary[Symbol.dispose]();
    },
  };
}

export type PostgresServer = NonNullable<Awaited<ReturnType<typeof startPostgres>>>;

/** Returns a cached folder with a new server's files in `data`, because initdb takes a second. */
function initialData(programs: string): Promise<string> {
  const version = run([join(programs, "initdb"), "--version"]).replace(/[^\w.]+/g, "-");
  return cachedFolder("postgres", version, (folder) => {
    run([
      ...giveToServer(folder),
      join(programs, "initdb"),
      ...["-D", join(folder, "data"), "-A", "trust", "-U", USER, "-E", "UTF8", "--locale=C"],
      // Small WAL segments, because each server gets a copy.
      ...["--wal-segsize=1", "--no-sync"],
    ]);
  });
}

/** Gives the folder to the server's user. Returns the command prefix that runs programs as that user. */
function giveToServer(folder: string): readonly string[] {
  if (process.getuid?.() !== 0) return [];
  chownSync(folder, Number(run(["id", "-u", USER])), -1);
  chmodSync(folder, 0o755);
  return ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups", "--"];
}

/** Runs a command and returns its output. Throws if it fails. */
function run(command: readonly string[]): string {
  const { success, stdout, stderr } = Bun.spawnSync([...command]);
  if (!success) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout.toString().trim();
}

/** Returns whether the server with this process id is ready; the file may be an older server's. */
function isReady(data: string, pid: string): boolean {
  try {
    const lines = readFileSync(join(data, "postmaster.pid"), "utf8").split("\n");
    return lines[0] === pid && lines[7]?.trim() === "ready";
  } catch {
    // The file does not exist yet.
    return false;
  }
}

/** Creates an empty database on the server of this URL and returns its URL. */
export async function createDatabase(url: string): Promise<string> {
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`;
  await execute(url, `CREATE DATABASE ${name}`);
  return url.replace(/[^/]*$/, name);
}

/** One connection per database: connecting takes 45 ms, a statement 1 ms. */
const connections = new Map<string, SQL>();

/**
 * Executes statements and returns the rows of the last one. All calls for a database share a
 * connection, so they do not see later changes to its default settings.
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
