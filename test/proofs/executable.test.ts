import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, copyFileSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../package.json";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { temporaryFolder } from "../support/process.ts";
import { serviceCommand } from "../support/service-command.ts";
import { skip } from "../support/skip.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const NOBODY = 65_534;

const folder = temporaryFolder();
// Alone in its folder, as on a server.
const executable = join(folder.path, "nmservis");
beforeAll(async () => {
  const [built = ""] = await serviceCommand();
  copyFileSync(built, executable);
  chmodSync(folder.path, 0o755);
});
afterAll(() => folder[Symbol.dispose]());

test("executable: --version prints the version in package.json", () => {
  const { stdout, exitCode } = Bun.spawnSync([executable, "--version"], { cwd: folder.path });
  expect([exitCode, stdout.toString()]).toEqual([0, `nmservis ${version}\n`]);
});

/** A client inside the network namespace: prints the statuses of its requests. */
const CONVERSATION = `
  const url = "http://127.0.0.1:8000";
  while (!(await fetch(url).catch(() => undefined))?.ok) await Bun.sleep(10);
  const body = JSON.stringify({ phone_number: "901234567" });
  const headers = { "content-type": "application/json" };
  const answers = [await fetch(url + "/register", { method: "POST", body, headers })];
  for (const path of ["", "/swagger-ui-bundle.js", "/swagger-ui.css", "/json"]) {
    answers.push(await fetch(url + "/swagger" + path));
  }
  for (const path of ["", "/board.js", "/sign-in.js", "/idiomorph.js", "/board.css", "/icon-192.png"]) {
    answers.push(await fetch(url + "/board" + path));
  }
  console.log(answers.map(({ status }) => status).join());
`;

test("executable: serves the API, Swagger UI and the board from an empty folder, unprivileged, offline", () => {
  if (process.getuid?.() !== 0 || Bun.which("ip") === null || Bun.which("unshare") === null) {
    return skip("the executable without a network, which needs root and Debian's iproute2");
  }
  const empty = join(folder.path, "empty");
  mkdirSync(empty);
  chownSync(empty, NOBODY, NOBODY);
  // The executable must ignore .env.
  writeFileSync(join(empty, ".env"), "PORT=nonsense\n");
  const asNobody = `setpriv --reuid=${NOBODY} --regid=${NOBODY} --clear-groups`;
  const script = `ip link set lo up && { ${asNobody} ${executable} > /dev/null & "$@"; kill $!; wait; }`;
  const { stdout, stderr } = Bun.spawnSync(
    ["unshare", "-n", "sh", "-c", script, "sh", process.execPath, "-e", CONVERSATION],
    { cwd: empty, env: { PATH: process.env["PATH"] ?? "" } },
  );
  expect([stdout.toString(), stderr.toString()]).toEqual([
    "200,200,200,200,200,200,200,200,200,200,200\n",
    "",
  ]);
  // Created files are private to their owner.
  const modeOf = (path: string) => statSync(join(empty, path)).mode & 0o777;
  expect([modeOf("data"), modeOf("data/nmservis.db")]).toEqual([0o700, 0o600]);
});
