import { join } from "node:path";
import { createClient } from "./client.ts";
import { serviceCommand } from "./service-command.ts";

export { temporaryFolder } from "./temporary-folder.ts";

const ROOT = join(import.meta.dir, "../..");

/** In a process that runs for a second, the JIT takes 10 % of the CPU time and hardly helps. */
export const WITHOUT_JIT = { BUN_JSC_useJIT: "0" };

/** Starts the service on a free port; resolves when it listens. `command` replaces the executable. */
export async function spawnService(
  environment: Record<string, string>,
  command?: readonly string[],
) {
  const child = Bun.spawn([...(command ?? (await serviceCommand()))], {
    cwd: ROOT,
    env: { ...process.env, ...WITHOUT_JIT, PORT: "0", PAYMENT_STUB_DELAY_MS: "0", ...environment },
    stdout: "pipe",
    stderr: "pipe",
  });
  const output = { text: "" };
  const listening = Promise.withResolvers<string>();
  const ended = (async () => {
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      output.text += chunk;
      const url = /listening on (http:\S+)\n/.exec(output.text)?.[1];
      if (url !== undefined) listening.resolve(url);
    }
    output.text += await child.stderr.text();
    listening.reject(new Error(`the service exited before listening: ${output.text}`));
  })();
  const url = await listening.promise;
  return {
    ...createClient(fetch, url),
    url,
    /** Returns the output up to now. */
    printed: () => output.text,
    signal: (signal: NodeJS.Signals) => child.kill(signal),
    /** Ends the process and resolves to its exit status. */
    async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
      child.kill(signal);
      await ended;
      return await child.exited;
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Runs a service that is expected to fail to start. Resolves to its exit status and output. */
export async function failToStart(environment: Record<string, string>, args: string[] = []) {
  const { status, printed, complaints } = await runCommand(args, { PORT: "0", ...environment });
  return { status, printed: printed + complaints };
}

/** Runs a command of the program in the folder `cwd`. Resolves to its exit status and output. */
export async function runCommand(words: readonly string[], environment = {}, cwd = ROOT) {
  const child = Bun.spawn([...(await serviceCommand()), ...words], {
    cwd,
    env: { ...process.env, ...WITHOUT_JIT, ...environment },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [printed, complaints] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, printed, complaints };
}
