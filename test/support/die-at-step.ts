import { backupDatabase } from "../../src/store/sqlite/backup.ts";
import { restoreDatabase } from "../../src/store/sqlite/restore.ts";

// Backs a database up, or restores it, and dies by kill -9 at a step. Arguments: what, from, to, the step.

const [what, from = "", to = "", fatal] = process.argv.slice(2);

const onStep = (step: string) => {
  if (step === fatal) process.kill(process.pid, "SIGKILL");
};

if (what === "backup") backupDatabase(from, to, onStep);
else restoreDatabase(from, to, "then", onStep);
