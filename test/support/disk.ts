import { mkdirSync, writeFileSync } from "node:fs";

/** A disk of this size at the path until the end of the block; undefined where the machine lets us have none. */
export function mountDisk(path: string, size: string) {
  if (Bun.which("mount") === null) return undefined;
  mkdirSync(path);
  const options = ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path];
  if (!Bun.spawnSync(["mount", ...options]).success) return undefined;
  return { [Symbol.dispose]: () => void Bun.spawnSync(["umount", "-l", path]) };
}

/** Mounts the file at another path until the end of the block; undefined if the machine does not let us. */
export function mountFile(file: string, path: string) {
  if (Bun.which("mount") === null) return undefined;
  writeFileSync(path, "");
  if (!Bun.spawnSync(["mount", "--bind", file, path]).success) return undefined;
  return { [Symbol.dispose]: () => void Bun.spawnSync(["umount", "-l", path]) };
}
