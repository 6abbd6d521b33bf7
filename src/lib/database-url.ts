/** The database to use. A SQLite path may be relative to the working directory. */
export type DatabaseConfig =
  | { readonly kind: "sqlite"; readonly path: string }
  | { readonly kind: "postgres"; readonly url: string };

/** Parses a `DATABASE_URL`. Returns undefined if it is invalid. */
export function parseDatabaseUrl(text: string): DatabaseConfig | undefined {
  if (/^postgres(ql)?:\/\//.test(text)) {
    const url = URL.parse(text);
    const isValid = url !== null && url.hostname !== "" && /^\/[^/]+$/.test(url.pathname);
    return isValid && isDecodable(url.username + url.password + url.pathname)
      ? { kind: "postgres", url: text }
      : undefined;
  }
  // Rejects a host (file://host/path), `:memory:`, and leading or trailing spaces: bun:sqlite trims
  // paths, so the lock would be on a different file.
  const path = /^file:(?:\/\/(?=\/))?((?!\/\/|:memory:|\s).*[^/\s])$/.exec(text)?.[1];
  return path === undefined ? undefined : { kind: "sqlite", path };
}

/** Returns whether each percent sign begins an encoded character; otherwise the driver throws. */
function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** Returns the URL without its user and password. */
export function describeDatabase(database: DatabaseConfig): string {
  if (database.kind === "sqlite") return `file:${database.path}`;
  const { host, pathname } = new URL(database.url);
  return `postgres://${host}${pathname}`;
}
