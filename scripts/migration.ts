// Generates migrations for changes to src/store/schema.ts in both dialects. Passes its arguments to
// drizzle-kit.

const args = process.argv.slice(2);
for (const dialect of ["sqlite", "postgresql"]) {
  const { exitCode } = Bun.spawnSync([process.execPath, "x", "drizzle-kit", "generate", ...args], {
    env: { ...process.env, DIALECT: dialect },
    stdio: ["inherit", "inherit", "inherit"],
  });
  if (exitCode !== 0) process.exit(exitCode);
}
