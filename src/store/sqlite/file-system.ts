import { closeSync, fsyncSync, openSync, readSync, type Stats, statSync } from "node:fs";

/** Returns the file's status; undefined if there is no file. */
export function fileAt(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

/** Returns the file's size in bytes; 0 if there is no file. */
export function sizeOf(path: string): number {
  return fileAt(path)?.size ?? 0;
}

/** Reads `length` bytes at `offset`; those beyond the end of the file are 0. */
export function readAt(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const file = openSync(path, "r");
  try {
    readSync(file, bytes, 0, length, offset);
  } finally {
    closeSync(file);
  }
  return bytes;
}

/** Syncs a file or folder to disk. */
export function sync(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
