import { defineConfig } from "drizzle-kit";

// The default is SQLite. `bun run migration` runs this for both dialects.
const isPostgres = process.env["DIALECT"] === "postgresql";

export default defineConfig({
  dialect: isPostgres ? "postgresql" : "sqlite",
  schema: `./src/store/${isPostgres ? "postgres" : "sqlite"}/schema.ts`,
  out: `./drizzle/${isPostgres ? "postgres" : "sqlite"}`,
  casing: "snake_case",
});
