import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PREFIX = "nmservis-test-";

/** This process's folders that still exist. */
const folders = new Set<string>();

/** Parents in which this process has removed leftovers. */
const swept = new Set<string>();

/** Creates a folder that is removed at the end of the block or by `removeTemporaryFolders`. */
export function temporaryFolder(parent = tmpdir()) {
  if (!swept.has(parent)) sweep(parent);
  const path = mkdtempSync(join(parent, `${PREFIX}${process.pid}-`));
  folders.add(path);
  return {
    path,
    [Symbol.dispose]() {
      rmSync(path, { recursive: true, force: true });
      folders.delete(path);
    },
  };
}

/** Removes the remaining folders, such as those of a test file that failed to load. */
export function removeTemporaryFolders(): void {
  for (const path of folders) rmSync(path, { recursive: true, force: true });
  folders.clear();
}

// `bun test` never emits this event, so preload.ts calls the function too.
process.on("exit", removeTemporaryFolders);

/** Removes the folders of processes that have exited. */
function sweep(parent: string) {
  swept.add(parent);
  for (const name of readdirSync(parent)) {
    const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    try {
      rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      // Another user's folder, or one with a mount in it.
    }
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (fault) {
    // EPERM: the process belongs to another user.
    return !(fault instanceof Error && "code" in fault && fault.code === "ESRCH");
  }
}
