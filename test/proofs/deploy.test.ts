import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { createClient } from "../support/client.ts";
import { freePort } from "../support/free-port.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { skip } from "../support/skip.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const DEPLOY = join(import.meta.dir, "../../deploy");
const read = (name: string) => readFileSync(join(DEPLOY, name), "utf8");

/** The most that systemd may call exposed, of 10. */
const MAX_EXPOSURE = 1.5;

describe("the unit for systemd", () => {
  test("is understood whole, and exposes little", () => {
    if (Bun.which("systemd-analyze") === null) return skip("the unit, without Debian's systemd");
    using folder = temporaryFolder();
    const unit = join(folder.path, "nmservis.service");
    // What it starts must be there.
    writeFileSync(
      unit,
      read("nmservis.service").replace("/usr/local/bin/nmservis", process.execPath),
    );
    const verified = Bun.spawnSync(["systemd-analyze", "verify", unit]);
    // A misspelt key is said, and its status is 0.
    const ours = verified.stderr
      .toString()
      .split("\n")
      .filter((line) => line.includes(unit));
    expect(ours).toEqual([]);
    const security = Bun.spawnSync(["systemd-analyze", "security", "--offline=true", unit]);
    const exposure = /exposure level for nmservis\.service: ([\d.]+)/.exec(
      security.stdout.toString(),
    );
    expect(Number(exposure?.[1])).toBeLessThanOrEqual(MAX_EXPOSURE);
  });
});

/** A proxy of Debian's in front of real copies: how it is started, on which port, before which. */
interface Proxy {
  readonly program: string;
  readonly config: string;
  readonly copies: number;
  readonly prepare: (
    config: string,
    port: number,
    upstreams: readonly string[],
    folder: string,
  ) => string;
  readonly start: (config: string, folder: string) => string[];
}

const nginx = {
  program: "nginx",
  prepare: (config: string, port: number, upstreams: readonly string[], folder: string) => {
    const servers = [...upstreams];
    const server = config
      .replace("listen 80", `listen 127.0.0.1:${port}`)
      .replaceAll(/127\.0\.0\.1:800\d/g, () => servers.shift() ?? "");
    return `daemon off; pid ${folder}/pid; error_log stderr; events {}
      http { access_log off; ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join(" ")} ${server} }`;
  },
  start: (config: string, folder: string) => ["nginx", "-c", config, "-p", folder, "-e", "stderr"],
};

test.each<Proxy>([
  { ...nginx, config: "nginx.conf", copies: 1 },
  { ...nginx, config: "nginx-copies.conf", copies: 3 },
  {
    program: "caddy",
    config: "Caddyfile",
    copies: 1,
    prepare: (config, port, [upstream = ""]) =>
      `{\n\tadmin off\n}\n${config
        .replace("orders.example.uz {", `http://orders.example.uz:${port} {`)
        .replace("127.0.0.1:8000", upstream)}`,
    start: (config) => ["caddy", "run", "--adapter", "caddyfile", "--config", config],
  },
])(
  "behind $program with $config orders go through, also where one of several copies is dead",
  async ({ program, config, copies, prepare, start }) => {
    if (Bun.which(program) === null) return skip(`${config}, without Debian's ${program}`);
    using folder = temporaryFolder();
    await using services = new AsyncDisposableStack();
    const urls: string[] = [];
    let first: Awaited<ReturnType<typeof spawnService>> | undefined;
    for (let copy = 0; copy < copies; copy++) {
      // Copies of one shop are on PostgreSQL; what stands before them does not see that.
      const service = services.use(
        await spawnService({
          DATABASE_URL: `file:${join(folder.path, `${copy}.db`)}`,
          ALLOWED_HOSTS: "orders.example.uz",
        }),
      );
      urls.push(new URL(service.url).host);
      first ??= service;
    }
    const port = freePort();
    const file = join(folder.path, config);
    writeFileSync(file, prepare(read(config), port, urls, folder.path));
    const proxy = Bun.spawn(start(file, folder.path), {
      stdout: "ignore",
      stderr: "pipe",
      env: { ...process.env, HOME: folder.path },
    });
    services.defer(async () => {
      proxy.kill("SIGTERM");
      await proxy.exited;
    });
    const send = async (request: Request) => {
      request.headers.set("host", "orders.example.uz");
      const { body, status, headers } = await fetch(request);
      // The proxy's own.
      for (const name of ["server", "via"]) headers.delete(name);
      return new Response(body, { status, headers });
    };
    while (
      (await send(new Request(`http://127.0.0.1:${port}/`)).catch(() => undefined))?.ok !== true
    ) {
      if (proxy.exitCode !== null) throw new Error(await proxy.stderr.text());
      await Bun.sleep(20);
    }
    const { register, order } = createClient(send, `http://127.0.0.1:${port}`);
    for (let i = 0; i < 3 * copies; i++) {
      expect((await register("+998901234567")).status).toBe(200);
    }
    expect((await order(1)).status).toBe(200);
    if (copies === 1) return;
    await first?.end("SIGKILL");
    for (let i = 0; i < 3 * copies; i++) {
      expect((await register("+998901234567")).status).toBe(200);
    }
  },
);
