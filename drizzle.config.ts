import { defineConfig } from "drizzle-kit";

// DIALECT=postgresql for PostgreSQL; `bun run migration` makes those of both.
const isPostgres = process.env["DIALECT"] === "postgresql";

export default defineConfig({
  dialect: isPostgres ? "postgresql" : "sqlite",
  schema: `./src/store/${isPostgres ? "postgres" : "sqlite"}/schema.ts`,
  out: `./drizzle/${isPostgres ? "postgres" : "sqlite"}`,
  casing: "snake_case",
});
