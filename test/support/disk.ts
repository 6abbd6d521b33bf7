import { mkdirSync, writeFileSync } from "node:fs";

/** Mounts a tmpfs of this size until the end of the block. Returns undefined if not permitted. */
export function mountDisk(path: string, size: string) {
  if (Bun.which("mount") === null) return undefined;
  mkdirSync(path, { recursive: true });
  const options = ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path];
  if (!Bun.spawnSync(["mount", ...options]).success) return undefined;
  return { [Symbol.dispose]: () => void Bun.spawnSync(["umount", "-l", path]) };
}

/** Bind-mounts the file until the end of the block. Returns undefined if not permitted. */
export function mountFile(file: string, path: string) {
  if (Bun.which("mount") === null) return undefined;
  writeFileSync(path, "");
  if (!Bun.spawnSync(["mount", "--bind", file, path]).success) return undefined;
  return { [Symbol.dispose]: () => void Bun.spawnSync(["umount", "-l", path]) };
}
