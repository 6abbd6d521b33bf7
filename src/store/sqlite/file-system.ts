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
  const file = openSync(path, "r");
  try {
    return readFrom(file, offset, length);
  } finally {
    closeSync(file);
  }
}

/** Works like `readAt` on an open file. */
export function readFrom(file: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  readSync(file, bytes, 0, length, offset);
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
