import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { BUSY_MACHINE_MS } from "../support/busy-machine.ts";
import { spawnService, temporaryFolder } from "../support/process.ts";
import { skip } from "../support/skip.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const ROOT = join(import.meta.dir, "../..");
const PAGES = [
  ...readdirSync(ROOT).filter((name) => name.endsWith(".md")),
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];
const read = (page: string) => readFileSync(join(ROOT, page), "utf8");

/** The base URL in the snippets. */
const BASE = "http://127.0.0.1:8000";

/** Runs a shell script and returns its standard output. */
function sh(script: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["sh", "-ec", script], { stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`${script}\n${stderr.toString()}`);
  return stdout.toString();
}

const withoutTimes = (json: string): unknown =>
  JSON.parse(json.replaceAll(/"\d{4}-\d\d-\d\dT[^"]+Z"/g, '"TIME"'));

describe("documentation", () => {
  test.each(["README.md", "docs/api.md"])(
    "%s: curl snippets get the documented responses",
    async (page) => {
      if (Bun.which("curl") === null) return skip("the curl snippets, without curl");
      const snippets = Array.from(
        read(page).matchAll(/```sh\n(curl [^]*?)```\s+```json\n([^]*?)```/g),
        ([, command = "", answer = ""]) => ({ command, answer }),
      );
      expect(snippets.length).toBeGreaterThanOrEqual(2);
      using folder = temporaryFolder();
      await using service = await spawnService({
        DATABASE_URL: `file:${join(folder.path, "x.db")}`,
      });
      for (const { command, answer } of snippets) {
        const printed = sh(command.replaceAll(BASE, service.url));
        expect(withoutTimes(printed), command).toEqual(withoutTimes(answer));
      }
    },
  );

  test("docs/operations.md: the deployment recipe creates working keys for bot, dispatcher and owner", async () => {
    const tools = ["openssl", "curl"].filter((tool) => Bun.which(tool) === null);
    if (tools.length > 0) return skip(`the deployment recipe, without ${tools.join(", ")}`);
    const page = read("docs/operations.md");
    using folder = temporaryFolder();
    const file = join(folder.path, "nmservis.env");
    const [, variables = "", settings = ""] =
      /```sh\n(DOMAIN=[^]*?)\n\n[^]*?(cat > [^]*?\nEND\n)/.exec(page) ?? [];
    sh(`${variables}\n${settings.replace("/etc/nmservis.env", file)}`);
    const environment = Object.fromEntries(
      Array.from(readFileSync(file, "utf8").matchAll(/^(\w+)=(.*)$/gm), (line) => line.slice(1)),
    );
    await using service = await spawnService({
      ...environment,
      DATABASE_URL: `file:${join(folder.path, "x.db")}`,
      BACKUP_DIR: join(folder.path, "backups"),
    });

    const bot = { "x-api-key": environment["API_KEY"] };
    expect((await service.post("/register", { phone_number: "901234567" }, bot)).status).toBe(200);

    const [, putPrice = ""] = /```sh\n(\s*curl -sSw '\\n' -X PUT [^]*?)```/.exec(page) ?? [];
    const price = sh(
      putPrice
        .replace("https://orders.example.uz", service.url)
        .replace("the-owners-key", environment["ADMIN_API_KEY"]),
    );
    expect(JSON.parse(price).price_tiyin).toBe(35_000);

    const signedIn = await fetch(`${service.url}/board/sign-in`, {
      method: "POST",
      headers: { "sec-fetch-site": "same-origin" },
      body: new URLSearchParams({ key: environment["DISPATCHERS"].split(":")[1] }),
      redirect: "manual",
    });
    const cookie = signedIn.headers.get("set-cookie")?.split(";")[0] ?? "";
    const board = await fetch(`${service.url}/board`, { headers: { cookie }, redirect: "manual" });
    expect(board.status).toBe(200);
  });

  test("contains no broken links to files or headings", () => {
    const broken = PAGES.flatMap((page) =>
      Array.from(read(page).matchAll(/\]\(([^)\s]+)\)/g), ([, link = ""]) => link)
        .filter((link) => !link.includes("://") && !exists(page, link))
        .map((link) => `${page}: ${link}`),
    );
    expect(broken).toEqual([]);
  });
});

function exists(page: string, link: string): boolean {
  const [path = "", heading] = link.split("#");
  const target = path === "" ? page : join(dirname(page), path);
  if (!existsSync(join(ROOT, target))) return false;
  return heading === undefined || headingsOf(read(target)).includes(heading);
}

/** Returns the anchors that GitHub generates for the headings. */
function headingsOf(text: string): string[] {
  return Array.from(text.matchAll(/^#+ (.+)$/gm), ([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}
