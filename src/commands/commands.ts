import type { Command } from "./command.ts";

/** How many orders `nmservis orders` shows by default. */
const DEFAULT_LAST = 20;

/** All commands. Each loads its code when it runs, so that `--help` takes half the time. */
export const COMMANDS = {
  serve: {
    usage: "",
    summary: "serves requests; creates the database if needed",
    positionals: 0,
    load: async () => (await import("./serve.ts")).serve,
  },
  orders: {
    usage: "[--status STATUS] [--last N] [--json]",
    summary: `shows the newest orders (default: ${DEFAULT_LAST})`,
    options: {
      status: { type: "string" },
      last: { type: "string", default: String(DEFAULT_LAST) },
      json: { type: "boolean" },
    },
    positionals: 0,
    load: async () => (await import("./orders.ts")).orders,
  },
  tariffs: {
    usage: "",
    summary: "shows the tariffs and their prices",
    positionals: 0,
    load: async () => (await import("./tariffs.ts")).tariffs,
  },
  "sign-in-link": {
    usage: "NAME",
    summary: "prints a one-time link and QR code that sign a dispatcher in",
    positionals: 1,
    load: async () => (await import("./sign-in-link.ts")).signInLink,
  },
  check: {
    usage: "",
    summary: "verifies the database and counts unfinished orders",
    positionals: 0,
    load: async () => (await import("./check.ts")).check,
  },
  backup: {
    usage: "FILE",
    summary: "copies the database to a new file, even while the service runs",
    positionals: 1,
    load: async () => (await import("./backup.ts")).backup,
  },
  restore: {
    usage: "FILE",
    summary: "replaces the database with a backup, and keeps the old one",
    positionals: 1,
    load: async () => (await import("./restore.ts")).restore,
  },
  move: {
    usage: "--to postgres://user:password@host/database",
    summary: "copies the SQLite database into an empty PostgreSQL database",
    options: { to: { type: "string" } },
    positionals: 0,
    load: async () => (await import("./move.ts")).move,
  },
} as const satisfies Record<string, Command>;
