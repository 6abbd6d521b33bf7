import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { SETTINGS } from "../src/settings.ts";

const ROOT = join(import.meta.dir, "..");
const HERE = import.meta.dir;

/** Folder for peers' packages, outside our dependencies and git. */
const PEERS = join(ROOT, "node_modules/.cache/bench-peers");

/** Empty means the default. Otherwise the service would read a developer's .env. */
const DEFAULTS = Object.fromEntries(
  Object.values(SETTINGS).map(({ variable }): [string, string] => [variable, ""]),
);

const ENVIRONMENT = {
  ...DEFAULTS,
  PORT: "0",
  PAYMENT_STUB_DELAY_MS: "0",
  ORDER_REPEAT_WINDOW_S: "0",
  LOG_LEVEL: "error",
  // Limits are on, but never reached.
  SMS_PER_HOUR: "1000000",
  ORDERS_PER_USER_PER_HOUR: "1000000",
};

for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

export interface Peer {
  readonly url: string;
  readonly pid: number;
  /** Time from the command to the first response. */
  readonly startMs: number;
  end(): Promise<void>;
}

/** Starts a program that prints its address. Resolves after its first response. */
export async function startPeer(
  command: string[],
  environment: Record<string, string> = {},
): Promise<Peer> {
  const startedAt = performance.now();
  const child = Bun.spawn(command, {
    cwd: ROOT,
    env: { ...process.env, ...ENVIRONMENT, ...environment },
    stdout: "pipe",
    stderr: "inherit",
  });
  // Leaves no process behind, however the bench ends.
  process.on("exit", () => child.kill("SIGKILL"));
  let printed = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    printed += chunk;
    if (/listening on \S+\n/.test(printed)) break;
  }
  const url = /listening on (\S+)\n/.exec(printed)?.[1];
  if (url === undefined)
    throw new Error(`${command.join(" ")} did not print its address: ${printed}`);
  await fetch(url);
  return {
    url,
    pid: child.pid,
    startMs: performance.now() - startedAt,
    async end() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}

export const startService = (databasePath: string, environment: Record<string, string> = {}) =>
  startPeer([process.execPath, "src/main.ts"], {
    DATABASE_URL: `file:${databasePath}`,
    ...environment,
  });

export const startLimit = () => startPeer([process.execPath, join(HERE, "empty-handlers.ts")]);

/** Starts the service up to a stage of an order: see partial-service.ts. */
export const startStage = (stage: "guard" | "observed" | "flow" | "sql") =>
  startPeer([process.execPath, join(HERE, "partial-service.ts"), stage]);

export const startWithoutGroupCommit = (databasePath: string) =>
  startPeer([process.execPath, join(HERE, "one-commit-per-step.ts")], {
    DATABASE_URL: `file:${databasePath}`,
  });

/** Starts FastAPI, if it is installed (Debian's python3-fastapi and python3-uvicorn). */
export async function startFastApi(): Promise<Peer | undefined> {
  const python = ["python3", "/usr/bin/python3"].find(
    (one) =>
      Bun.which(one) !== null &&
      Bun.spawnSync([one, "-c", "import fastapi, uvicorn"]).exitCode === 0,
  );
  if (python === undefined) return undefined;
  return startPeer([python, join(HERE, "fastapi_peer.py")]);
}

/** Starts Fastify with better-sqlite3 on Node.js, if they can be installed. */
export async function startFastify(databasePath: string): Promise<Peer | undefined> {
  const script = join(PEERS, "fastify-peer.mjs");
  if (!existsSync(join(PEERS, "node_modules/better-sqlite3/build"))) {
    if (Bun.which("npm") === null) return undefined;
    console.log("Building Fastify with better-sqlite3 (about a minute)");
    mkdirSync(PEERS, { recursive: true });
    await Bun.write(join(PEERS, "package.json"), "{}");
    const packages = ["fastify@5.12.8", "better-sqlite3@12.4.1"];
    const build = Bun.spawn(["npm", "install", "--no-audit", "--no-fund", ...packages], {
      cwd: PEERS,
      stdout: "ignore",
      stderr: "ignore",
    });
    if ((await build.exited) !== 0) return undefined;
  }
  await Bun.write(script, Bun.file(join(HERE, "fastify-peer.mjs")));
  return startPeer(["node", script, databasePath]);
}
