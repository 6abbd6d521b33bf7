import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { createClient } from "../support/client.ts";
import { freePort } from "../support/free-port.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { skip } from "../support/skip.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const DEPLOY = join(import.meta.dir, "../../deploy");
const read = (name: string) => readFileSync(join(DEPLOY, name), "utf8");

/** Upper limit for the score of `systemd-analyze security`, which goes up to 10. */
const MAX_EXPOSURE = 1.5;

describe("systemd unit", () => {
  test("parses, and scores low on `systemd-analyze security`", () => {
    if (Bun.which("systemd-analyze") === null) return skip("the unit, without Debian's systemd");
    using folder = temporaryFolder();
    const unit = join(folder.path, "nmservis.service");
    // systemd-analyze checks that the executable exists.
    writeFileSync(
      unit,
      read("nmservis.service").replace("/usr/local/bin/nmservis", process.execPath),
    );
    const verified = Bun.spawnSync(["systemd-analyze", "verify", unit]);
    // A misspelt key only prints a warning; the exit status is 0.
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

  test("restarts the service without a limit, so that it comes back after a full disk", () => {
    const [unit = ""] = read("nmservis.service").split("[Service]");
    expect(unit).toContain("\nStartLimitIntervalSec=0\n");
    expect(read("nmservis.service")).toContain("\nRestart=always\n");
  });
});

/** A reverse proxy from Debian, and how to run it with a config file from deploy/. */
interface Proxy {
  readonly program: string;
  readonly config: string;
  readonly instances: number;
  readonly scheme: "http" | "https";
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
  scheme: "https" as const,
  prepare: (config: string, port: number, upstreams: readonly string[], folder: string) => {
    const servers = [...upstreams];
    makeCertificate(folder);
    const server = config
      .replace("listen 80;", `listen 127.0.0.1:${freePort()};`)
      .replace("listen 443 ", `listen 127.0.0.1:${port} `)
      .replaceAll("/etc/letsencrypt/live/orders.example.uz", folder)
      .replaceAll(/127\.0\.0\.1:800\d/g, () => servers.shift() ?? "");
    return `daemon off; pid ${folder}/pid; error_log stderr; events {}
      http { access_log off; ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${folder}/${name};`).join(" ")} ${server} }`;
  },
  start: (config: string, folder: string) => ["nginx", "-c", config, "-p", folder, "-e", "stderr"],
};

/** Creates a self-signed certificate with certbot's file names. */
function makeCertificate(folder: string) {
  const files = ["-keyout", `${folder}/privkey.pem`, "-out", `${folder}/fullchain.pem`];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const { exitCode, stderr } = Bun.spawnSync([
    ...["openssl", "req", "-x509", "-subj", "/CN=orders.example.uz", "-days", "2"],
    ...[...key, ...files],
  ]);
  if (exitCode !== 0) throw new Error(stderr.toString());
}

/** Returns the protocol that a TLS server picks if the client offers HTTP/2. */
function negotiate(port: number): Promise<string | false | null> {
  const { promise, resolve, reject } = Promise.withResolvers<string | false | null>();
  const options = { ALPNProtocols: ["h2", "http/1.1"], rejectUnauthorized: false };
  const socket = connect({ host: "127.0.0.1", port, ...options }, () => {
    resolve(socket.alpnProtocol);
    socket.destroy();
  });
  socket.on("error", reject);
  return promise;
}

test.each<Proxy>([
  { ...nginx, config: "nginx.conf", instances: 1 },
  { ...nginx, config: "nginx-instances.conf", instances: 3 },
  {
    program: "caddy",
    config: "Caddyfile",
    instances: 1,
    scheme: "http",
    prepare: (config, port, [upstream = ""]) =>
      `{\n\tadmin off\n}\n${config
        .replace("orders.example.uz {", `http://orders.example.uz:${port} {`)
        .replace("127.0.0.1:8000", upstream)}`,
    start: (config) => ["caddy", "run", "--adapter", "caddyfile", "--config", config],
  },
])(
  "$config: $program forwards orders and board forms, and tolerates a dead instance",
  async ({ program, config, instances, scheme, prepare, start }) => {
    if (Bun.which(program) === null) return skip(`${config}, without Debian's ${program}`);
    using folder = temporaryFolder();
    await using services = new AsyncDisposableStack();
    const urls: string[] = [];
    let first: Awaited<ReturnType<typeof spawnService>> | undefined;
    for (let instance = 0; instance < instances; instance++) {
      // Real instances share one PostgreSQL database, which makes no difference to the proxy.
      const service = services.use(
        await spawnService({
          DATABASE_URL: `file:${join(folder.path, `${instance}.db`)}`,
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
    const authority = `orders.example.uz:${port}`;
    const send = async (request: Request) => {
      request.headers.set("host", authority);
      const { body, status, headers } = await fetch(request, {
        redirect: "manual",
        tls: { rejectUnauthorized: false },
      });
      // Added by the proxy; not in the OpenAPI document.
      for (const name of ["server", "via"]) headers.delete(name);
      return new Response(body, { status, headers });
    };
    while (
      (await send(new Request(`${scheme}://127.0.0.1:${port}/`)).catch(() => undefined))?.ok !==
      true
    ) {
      if (proxy.exitCode !== null) throw new Error(await proxy.stderr.text());
      await Bun.sleep(20);
    }
    const { register, order } = createClient(send, `${scheme}://127.0.0.1:${port}`);
    for (let i = 0; i < 3 * instances; i++) {
      expect((await register("+998901234567")).status).toBe(200);
    }
    expect((await order(1)).status).toBe(200);
    // The origin of a board form includes the port, so the proxy must forward a Host with the port.
    const form = new Request(`${scheme}://127.0.0.1:${port}/board/sign-out`, {
      method: "POST",
      body: new URLSearchParams(),
      headers: { origin: `${scheme}://${authority}` },
    });
    expect((await send(form)).status).toBe(303);
    if (scheme === "https") expect(await negotiate(port)).toBe("h2");
    if (instances === 1) return;
    await first?.end("SIGKILL");
    for (let i = 0; i < 3 * instances; i++) {
      expect((await register("+998901234567")).status).toBe(200);
    }
  },
);
