import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import type { PostgresServer } from "./postgres.ts";

/** Debian's path, which is not on every user's PATH. */
const DEBIAN = "/usr/sbin/pgbouncer";

const USER = "postgres";

const program = Bun.which("pgbouncer") ?? (existsSync(DEBIAN) ? DEBIAN : undefined);

export const NO_PGBOUNCER = "PgBouncer, which is not installed (Debian's pgbouncer)";

/**
 * Starts PgBouncer in front of the server until the end of the block or of this process. Returns
 * undefined if it is not installed. `settings` are entries of its config file. PgBouncer refuses to
 * run as root, so root starts it as the user postgres.
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
  // --pdeathsig: PgBouncer ends with this process, even after SIGKILL.
  const child = Bun.spawn(["setpriv", "--pdeathsig=KILL", ...as, "--", program, file], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  await waitUntilListening(port);

  return {
    /** Returns the URL of the same database through PgBouncer. */
    through: (url: string) => url.replace(/:\d+\//, `:${port}/`),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function waitUntilListening(port: number) {
  for (;;) {
    try {
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } });
      return socket.end();
    } catch {
      await Bun.sleep(5);
    }
  }
}
