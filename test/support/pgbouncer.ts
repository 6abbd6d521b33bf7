import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import type { PostgresServer } from "./postgres.ts";

/** Where Debian puts it, which is not on the PATH of every user. */
const DEBIAN = "/usr/sbin/pgbouncer";

const USER = "postgres";

/** The program; undefined if it is not installed. */
const program = Bun.which("pgbouncer") ?? (existsSync(DEBIAN) ? DEBIAN : undefined);

export const NO_PGBOUNCER = "PgBouncer, which is not installed (Debian's pgbouncer)";

/**
 * PgBouncer in front of the server, gone at the end of the block, or with this process; undefined if it is
 * not installed. `settings` are lines of its file. It never runs as root, which it refuses.
 */
export async function startPgBouncer(server: PostgresServer, settings: Record<string, unknown>) {
  if (program === undefined) return undefined;
  const folder = mkdtempSync(join(tmpdir(), "nmservis-pgbouncer-"));
  const port = freePort();
  const [file, users] = [join(folder, "pgbouncer.ini"), join(folder, "users.txt")];
  const lines = Object.entries({
    listen_addr: "127.0.0.1",
    listen_port: port,
    unix_socket_dir: "",
    auth_type: "trust",
    auth_file: users,
    ...settings,
  }).map(([name, value]) => `${name} = ${value}`);
  writeFileSync(users, `"${USER}" ""\n`);
  writeFileSync(
    file,
    `[databases]\n* = host=127.0.0.1 port=${server.port}\n[pgbouncer]\n${lines.join("\n")}\n`,
  );
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    const id = Number(Bun.spawnSync(["id", "-u", USER]).stdout.toString());
    for (const path of [folder, file, users]) chownSync(path, id, -1);
  }
  const as = isRoot ? [`--reuid=${USER}`, `--regid=${USER}`, "--clear-groups"] : [];
  // However this process ends, PgBouncer ends with it.
  const child = Bun.spawn(["setpriv", "--pdeathsig=KILL", ...as, "--", program, file], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  await untilListening(port);

  return {
    /** The URL of the same database through PgBouncer. */
    through: (url: string) => url.replace(/:\d+\//, `:${port}/`),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function untilListening(port: number) {
  for (;;) {
    try {
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
      return socket.end();
    } catch {
      await Bun.sleep(5);
    }
  }
}
