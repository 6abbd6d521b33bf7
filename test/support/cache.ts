import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");

/** One per user, because a user can't replace another user's files. */
const CACHE = join(tmpdir(), `nmservis-test-cache-${process.getuid?.() ?? "user"}`);

/** How long an unused entry is kept. A long crash test uses its services for an hour. */
const KEPT_MS = 3 * 60 * 60_000;

/**
 * Returns the folder with this key in the cache. If it is missing, `make` fills a new one,
 * and unused entries are removed: those of the same kind after `keptMs`. Safe to call from several
 * processes: each gets a complete folder.
 */
export async function cachedFolder(
  kind: string,
  key: string,
  make: (folder: string) => Promise<void> | void,
  keptMs = KEPT_MS,
): Promise<string> {
  const path = join(CACHE, `${kind}-${key}`);
  if (markAsUsed(path)) return path;
  // Other users, such as PostgreSQL's, must be able to read it.
  mkdirSync(CACHE, { recursive: true, mode: 0o755 });
  const folder = mkdtempSync(join(CACHE, "new-"));
  chmodSync(folder, 0o755);
  try {
    await make(folder);
    renameSync(folder, path);
  } catch (fault) {
    rmSync(folder, { recursive: true, force: true });
    // Another process may have created the folder first, with the same content.
    if (!markAsUsed(path)) throw fault;
  }
  removeUnused(kind, keptMs);
  return path;
}

/** Updates the folder's time of last use. Returns false if it does not exist. */
export function markAsUsed(path: string): boolean {
  const now = new Date();
  try {
    utimesSync(path, now, now);
    return true;
  } catch {
    return false;
  }
}

/**
 * Returns a hash of these project files and folders, of Bun's version and of the checkout's path:
 * bundles contain that path, and another checkout may have other packages in node_modules.
 */
export function hashOf(paths: readonly string[]): string {
  const hash = new Bun.CryptoHasher("sha256").update(`${Bun.version_with_sha} ${ROOT}\n`);
  for (const path of paths) {
    const isFolder = statSync(join(ROOT, path)).isDirectory();
    const files = isFolder
      ? readdirSync(join(ROOT, path), { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name))
          .toSorted()
      : [join(ROOT, path)];
    for (const file of files) {
      const content = readFileSync(file);
      hash.update(`${file.slice(ROOT.length)} ${content.length}\n`).update(content);
    }
  }
  return hash.digest("hex").slice(0, 16);
}

function removeUnused(kind: string, keptMs: number) {
  for (const name of readdirSync(CACHE)) {
    const path = join(CACHE, name);
    const limitMs = name.startsWith(`${kind}-`) ? keptMs : KEPT_MS;
    try {
      if (Date.now() - statSync(path).mtimeMs < limitMs) continue;
      rmSync(path, { recursive: true, force: true });
    } catch {
      // Another process has removed it.
    }
  }
}
